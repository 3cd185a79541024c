"""What a user did before with something that the impression shows: a video's author...

    counters:
      - {name: author_views, match: author_id, where: "long_view = 1"}

counts the user's earlier long views of the impression's author.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import CounterSpec
from pipeline.examples.columns.evaluate import evaluate, holds, number_values, numbers
from pipeline.examples.columns.past import Past
from pipeline.examples.columns.statistics import smoothed
from pipeline.examples.columns.timeline import Timeline


def add_counters(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> pl.DataFrame:
    """Adds a column a counter: `count` int64, `seconds_since` and `mean` float64.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Its `counters` may be none.
        timeline: The frame's.
    """
    matches = {counter.match for counter in spec.counters}
    pairs = {match: _Pairs.of(frame, match, timeline) for match in matches}
    return frame.with_columns(
        _count(frame, counter, pairs[counter.match], timeline)
        for counter in spec.counters
    )


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Each impression with each value it is matched by: P pairs, sorted by group.

    Attributes:
        rows: The pair's row, ascending within a group, int64 [P].
        groups: The number of its (user, value), from 0 and ascending, int64 [P].
        known: Whether a row has a value to be matched by, bool [B].
    """

    rows: np.ndarray
    groups: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, frame: pl.DataFrame, match: str, timeline: Timeline) -> _Pairs:
        """The pairs of `match`, a value or a list; without it one pair a row.

        Null is no value, and a list gives each of its values once.
        """
        rows = np.arange(frame.height)
        if not match:
            return cls(rows, timeline.users, np.ones(frame.height, bool))
        pairs = pl.DataFrame({"row": rows, "value": evaluate(frame, match)})
        if isinstance(pairs.schema["value"], pl.List):
            pairs = pairs.explode("value")
        pairs = pairs.drop_nulls()
        rows, groups = _grouped(pairs["row"].to_numpy(), pairs["value"], timeline)
        return cls(rows, groups, np.bincount(rows, minlength=frame.height) > 0)

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values [P] of each impression's pairs, float64 [B].

        Groups are in the order of values, so that no other user changes the order in
        which a list's sums are added.
        """
        return np.bincount(self.rows, values, minlength=len(self.known))


def _grouped(
    rows: np.ndarray, values: pl.Series, timeline: Timeline
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, groups) of the different pairs of a row and a value, sorted by group."""
    numbered = number_values(values)
    keys = timeline.users[rows] * (numbered.max(initial=0) + 1) + numbered
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    new_group = np.diff(keys, prepend=-1) != 0
    different = new_group | (np.diff(rows, prepend=-1) != 0)
    return rows[different], np.cumsum(new_group)[different] - 1


def _count(
    frame: pl.DataFrame, counter: CounterSpec, pairs: _Pairs, timeline: Timeline
) -> pl.Series:
    """A counter's column; null where there is nothing to be matched by."""
    measure = {"count": _events, "seconds_since": _seconds_since, "mean": _mean}
    values = measure[counter.measure](frame, counter, pairs, timeline)  # [B]
    column = pl.Series(counter.name, values, nan_to_null=True)
    return column.set(pl.Series(~pairs.known), None)


def _events(
    frame: pl.DataFrame, counter: CounterSpec, pairs: _Pairs, timeline: Timeline
) -> np.ndarray:
    """How many pairs of the past there are, int64 [B]."""
    past = _past(pairs, timeline, holds(frame, counter.where))
    return pairs.per_row(past.count).astype(np.int64)


def _seconds_since(
    frame: pl.DataFrame, counter: CounterSpec, pairs: _Pairs, timeline: Timeline
) -> np.ndarray:
    """Seconds since the last one was known, float64 [B]; NaN if there was none."""
    past = _past(pairs, timeline, holds(frame, counter.where))
    last = past.last
    since_ms = timeline.begins[pairs.rows] - timeline.known_from[last]
    least = np.full(frame.height, np.inf)
    np.minimum.at(least, pairs.rows[last >= 0], since_ms[last >= 0])
    return np.where(np.isfinite(least), least, np.nan) / 1000


def _mean(
    frame: pl.DataFrame, counter: CounterSpec, pairs: _Pairs, timeline: Timeline
) -> np.ndarray:
    """Smoothed mean of the past's values, float64 [B]; NaN if there is nothing."""
    values = numbers(frame, counter.value)
    # One that is not finite (x / 0) would stay in every later sum.
    where = holds(frame, counter.where) & np.isfinite(values)
    past = _past(pairs, timeline, where)
    total = pairs.per_row(past.sums(values))
    return smoothed(total, pairs.per_row(past.count), counter.prior, counter.strength)


def _past(pairs: _Pairs, timeline: Timeline, where: np.ndarray) -> Past:
    """The past of each pair, among the rows `where` [B] holds."""
    return Past.of(timeline, pairs.groups, where[pairs.rows], pairs.rows)
