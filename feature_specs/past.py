"""The spec's classes for what an impression knows of earlier ones: trail, history,
counters, statistics; and quantiles, the labels made of a whole distribution.

An earlier impression is known from its end on: a user's own past as soon as it ended,
everybody's statistics from the next day on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

import polars as pl

from feature_specs import expressions
from feature_specs.fields import (
    Days,
    Length,
    Minutes,
    NonNegativeFloat,
    PositiveFloat,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrailColumn:
    """A column that every trail gives (SFV sec. 4.1).

    Attributes:
        name: Of the column; `pipeline.examples` computes it.
        dtype: Of its values.
        says: What it holds, for people.
        is_future: Whether it is known only when the trail is over: trained on, never
            served.
        needs: Columns of `log.time` that it is computed from.
    """

    name: str
    dtype: pl.DataType
    says: str
    is_future: bool = False
    needs: tuple[str, ...] = ()


# The only list of them, in the order in which they are added to the log's columns.
TRAIL_COLUMNS: dict[str, TrailColumn] = {
    column.name: column
    for column in (
        TrailColumn(
            name="trail_position", dtype=pl.Int64(), says="impressions so far, from 1"
        ),
        TrailColumn(name="trail_seconds", dtype=pl.Float64(), says="seconds so far"),
        TrailColumn(
            name="trail_length",
            dtype=pl.Int64(),
            says="impressions in all",
            is_future=True,
        ),
        TrailColumn(
            name="trail_relative",
            dtype=pl.Float64(),
            says="position / length",
            is_future=True,
        ),
        TrailColumn(
            name="trail_watched_share",
            dtype=pl.Float64(),
            says="watched / length of the videos so far",
            needs=("watched", "length"),
        ),
    )
}
TRAIL_FUTURE = frozenset(c.name for c in TRAIL_COLUMNS.values() if c.is_future)
TRAIL_LAST = "trail_last_"
HISTORY = "history_"
# Columns that requests give (`log.request`), and what they hold. No feature may read
# one: a video's place is what the ranker is about to decide, and how many of its
# candidates are shown nobody knows when it is asked.
REQUEST_POSITION, REQUEST_SIZE = "request_position", "request_size"
REQUEST_COLUMNS: dict[str, str] = {
    REQUEST_POSITION: "place in its request, from 1",
    REQUEST_SIZE: "impressions of its request",
}


def history_column(history: str, name: str) -> str:
    """The list column that one of `histories` gives."""
    return f"{HISTORY}{history}_{name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrailSpec:
    """Where a watch trail ends (SFV sec. 4.1), and what of it becomes a column.

    Attributes:
        gap_minutes: Silence, from an impression's end to the next one's begin, that
            ends a trail.
        scope: Columns whose change ends a trail too; the user's column is the first.
        last: Log columns; each becomes `trail_last_<column>`, its value in the trail's
            last impression that ended before this one began.
    """

    gap_minutes: Minutes = 30
    scope: tuple[str, ...]
    last: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class HistorySpec:
    """The user's last positive impressions, seen from each impression.

    Attributes:
        positive: SQL condition; may use outcomes, as only the past is read.
        columns: Columns to keep; each becomes `history_<column>`, newest last.
        length: How many are kept.
    """

    positive: str
    columns: tuple[str, ...]
    length: Length = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class CounterSpec:
    """One number about the user's own past, seen from each impression.

    Attributes:
        name: The column it becomes.
        match: SQL, one value or a list: only past impressions that share a value with
            this one count (the same author, a tag in common). Without it all do.
        where: SQL condition on a past impression; may use outcomes.
        measure: `count` (int64), `seconds_since` the last one's end (float64; none
            gives null), or the `mean` of `value` (float64).
        value: SQL over a past impression, for `mean`; may use outcomes.
        prior: Mean before anything is seen.
        strength: How many impressions the prior weighs:
            (sum + prior * strength) / (n + strength).
    """

    name: str
    match: str = ""
    where: str = "TRUE"
    measure: Literal["count", "seconds_since", "mean"] = "count"
    value: str = ""
    prior: float = 0.0
    strength: NonNegativeFloat = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatisticSpec:
    """One number about all users' impressions of earlier days, by a log column.

    Attributes:
        name: The column it becomes.
        by: Log column; impressions with the same value are taken together.
        value: SQL over log columns; may use outcomes. Rows where it is null count not.
        measure: `mean`, `sum` (float64) or `count` (int64) of the values.
        days: How many days before the impression's own are read; 0 reads all.
        prior: Mean before anything is seen.
        strength: How many impressions the prior weighs:
            (sum + prior * strength) / (n + strength).
    """

    name: str
    by: str
    value: str = "1"
    measure: Literal["mean", "sum", "count"] = "mean"
    days: Days = 0
    prior: float = 0.0
    strength: NonNegativeFloat = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantileSpec:
    """A value's rank, 0 to 1, among the training days' impressions of its group.

    Ranks of watch time within groups of like duration are labels free of duration bias
    (D2Q: Zhan et al., KDD 2022, sec. 4).

    Attributes:
        name: The column it becomes; an outcome, so a label may read it, a feature not.
        value: SQL over log columns, a number.
        by: SQL over log columns, a number that sorts impressions into groups.
        boundaries: Increasing cut points of `by`; none puts all into one group.
        step: Width of a bin of the histogram of `value`.
        max: Where `value` is clipped; below 0 it is clipped too.
    """

    name: str
    value: str
    by: str = ""
    boundaries: tuple[float, ...] = ()
    step: PositiveFloat
    max: float


def with_readers(columns: Iterable[str], derived: dict[str, str]) -> frozenset[str]:
    """`columns`, and the derived ones that read one of them, at any remove."""
    found = set(columns)
    for name, text in derived.items():  # each reads only earlier ones
        if expressions.columns_of(text) & found:
            found.add(name)
    return frozenset(found)
