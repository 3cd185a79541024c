"""The summary of a day's examples, and how summaries of days are put together.

Everything in them is a whole number or an extreme, so that merging is exact and its
order does not matter.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from feature_specs.values import Dtype
from pipeline.summaries.exact import Moments, merge_moments
from pipeline.summaries.histogram import Histogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnSummary:
    """What some rows hold in one column of the raw examples.

    A label counts inside its task's sample space only (where its mask is 1): elsewhere
    it is missing. The values of a list are its items, those of a text its words, in
    lower case, as the encoding splits them; all of them, whatever `length` is.

    Attributes:
        dtype: Type of the column in the examples.
        rows: All rows.
        missing: Rows without a value: `FeatureSpec.missing`, an empty list, NaN.
        values: Values in all other rows; items and words may be several a row, and
            items that are missing are left out.
        moments: Of numbers and of whole numbers that are no list; of a vector, of all
            of its floats. Else None.
        log1p: Of log(1 + max(x, 0)), as `transform: log1p` has it, of features of one
            number.
        histogram: Of numbers, for `quantile`.
        lengths: Length of a list -> rows with such lists, 0 for missing ones.
        words: Words of a text -> rows with such texts, likewise.
        norms: Of the Euclidean norms of vectors.
        top: Value -> how often, the most frequent first, equal ones by value. All
            values where `others` is 0; of more than `columns.MANY` (ids and other
            hashed values: `columns.FEW`) the most frequent.
        distinct: Different values; None where they are not counted (floats).
        others: How many of `values` are not in `top`.
        distinct_is_exact: False once days are merged whose `top` leaves values out:
            then `distinct` is the fewest there may be, and counts in `top` lack the
            days on which a value was not among the most frequent.
    """

    dtype: Dtype
    rows: int = 0
    missing: int = 0
    values: int = 0
    moments: Moments | None = None
    log1p: Moments | None = None
    histogram: Histogram | None = None
    lengths: dict[int, int] = dataclasses.field(default_factory=dict)
    words: dict[int, int] = dataclasses.field(default_factory=dict)
    norms: Moments | None = None
    top: dict[Any, int] = dataclasses.field(default_factory=dict)
    distinct: int | None = None
    others: int = 0
    distinct_is_exact: bool = True

    @property
    def missing_share(self) -> float:
        """Share of the rows without a value; 0 if there is no row."""
        return self.missing / self.rows if self.rows else 0.0

    def quantile(self, share: float) -> float:
        """A number that about `share` of all do not exceed; see `Histogram.quantile`.

        NaN where there is no number.
        """
        found = (self.histogram or Histogram()).quantile(share)
        if self.moments is None or self.moments.smallest is None:
            return found
        assert self.moments.largest is not None
        return min(max(found, self.moments.smallest), self.moments.largest)

    def merge(self, other: ColumnSummary) -> ColumnSummary:
        """Of the rows of both."""
        return merge_columns([self, other])


@dataclasses.dataclass(frozen=True, kw_only=True)
class DaySummary:
    """What the examples of a split hold that are trained on, and what it was made of.

    Attributes:
        split: `day-YYYYMMDD`; of merged splits all names, joined by `+`.
        rows: Examples.
        users: Different ones; of merged splits the sum.
        videos: Likewise.
        read: Rows of its days in the log, readable or not.
        rejected: The unreadable ones.
        trail_lengths: Impressions of a trail on its days -> such trails, of all
            impressions, also of those that a filter keeps out of the examples.
        columns: Key of the example -> its summary.
    """

    split: str
    rows: int
    users: int
    videos: int
    read: int
    rejected: int
    trail_lengths: dict[int, int]
    columns: dict[str, ColumnSummary]

    @property
    def reject_share(self) -> float:
        """Share of the log's rows that were unreadable; 0 if there is none."""
        return self.rejected / self.read if self.read else 0.0

    def merge(self, other: DaySummary) -> DaySummary:
        """Of both splits."""
        return merge_days([self, other])


def merge_days(days: Iterable[DaySummary]) -> DaySummary:
    """Of all splits together, one at least; a column that one lacks has no row there.

    Raises:
        ValueError: There is none.
    """
    days = sorted(days, key=lambda day: day.split)
    if not days:
        raise ValueError("merge_days: no day is given; one is needed at least.")
    names = list(dict.fromkeys(name for day in days for name in day.columns))
    return DaySummary(
        split="+".join(day.split for day in days),
        rows=sum(day.rows for day in days),
        users=sum(day.users for day in days),
        videos=sum(day.videos for day in days),
        read=sum(day.read for day in days),
        rejected=sum(day.rejected for day in days),
        trail_lengths=added(day.trail_lengths for day in days),
        columns={
            name: merge_columns(d.columns[name] for d in days if name in d.columns)
            for name in names
        },
    )


def merge_columns(parts: Iterable[ColumnSummary]) -> ColumnSummary:
    """A column of several days, whose values may be the same."""
    parts = list(parts)
    top = by_frequency(added(part.top for part in parts))
    whole = all(part.distinct_is_exact and not part.others for part in parts)
    counted = [part.distinct for part in parts if part.distinct is not None]
    distinct = len(top) if whole else max([len(top), *counted])
    values = sum(part.values for part in parts)
    return dataclasses.replace(
        _sums(parts),
        top=top,
        distinct=distinct if counted else None,
        others=values - sum(top.values()) if counted else 0,
        distinct_is_exact=whole,
    )


def join_columns(parts: Iterable[ColumnSummary], most: int) -> ColumnSummary:
    """A column from parts that share no value: of rows, or of values, of one split.

    Args:
        parts: Their `top` have no value in common, and each at least its `most` most
            frequent values.
        most: Values that are kept.
    """
    parts = list(parts)
    top = by_frequency({v: n for part in parts for v, n in part.top.items()})
    kept = dict(list(top.items())[:most])
    counted = [part.distinct for part in parts if part.distinct is not None]
    others = sum(part.others for part in parts)
    return dataclasses.replace(
        _sums(parts),
        top=kept,
        distinct=sum(counted) if counted else None,
        others=others + sum(top.values()) - sum(kept.values()),
    )


def by_frequency(counts: Mapping[Any, int]) -> dict[Any, int]:
    """The most frequent first, equal ones in the order of their values."""
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def added(counts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    """The sums of counts by key, in the order of the keys."""
    total: collections.Counter[Any] = collections.Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _sums(parts: list[ColumnSummary]) -> ColumnSummary:
    """All that adds up in the same way, whether or not parts share values."""
    histograms = [part.histogram for part in parts if part.histogram is not None]
    return ColumnSummary(
        dtype=parts[0].dtype,
        rows=sum(part.rows for part in parts),
        missing=sum(part.missing for part in parts),
        values=sum(part.values for part in parts),
        moments=merge_moments(part.moments for part in parts),
        log1p=merge_moments(part.log1p for part in parts),
        histogram=_reduced(Histogram.merge, histograms),
        lengths=added(part.lengths for part in parts),
        words=added(part.words for part in parts),
        norms=merge_moments(part.norms for part in parts),
    )


_Part = TypeVar("_Part")


def _reduced(
    merge: Callable[[_Part, _Part], _Part], parts: list[_Part]
) -> _Part | None:
    found = parts[0] if parts else None
    for part in parts[1:]:
        found = merge(found, part) if found is not None else part
    return found
