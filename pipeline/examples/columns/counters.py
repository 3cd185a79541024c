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
from pipeline.arrays import Bools, Floats, Ints, Numbers
from pipeline.examples.columns.carried import USER, VALUE, Carried, places, taken
from pipeline.examples.columns.evaluate import evaluate, holds, number_values, numbers
from pipeline.examples.columns.past import Before, Past
from pipeline.examples.columns.stages import DatedStages, Stages, Versions, add_ranges
from pipeline.examples.columns.statistics import smoothed
from pipeline.examples.columns.timeline import TIME_MS, Timeline

_NEVER = np.iinfo(np.int64).min


def add_counters(
    frame: pl.DataFrame,
    spec: Spec,
    timeline: Timeline,
    versions: Versions | None = None,
    carried: Carried | None = None,
) -> pl.DataFrame:
    """Adds a column a counter: `count` int64, `seconds_since` and `mean` float64.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Its `counters` may be none.
        timeline: The frame's.
        versions: Of the impressions that events change; by default there are none.
        carried: What earlier days left: sums that those of the rows are added to.
    """
    if not spec.counters:
        return frame
    known = _Rows.of(frame, timeline, versions or Versions.none())
    tables = {} if carried is None else carried.counters
    pairs = {
        match: _Pairs.of(frame, match, timeline, spec.log.user, tables.get(match))
        for match in {counter.match for counter in spec.counters}
    }
    return frame.with_columns(
        _count(known, counter, pairs[counter.match]) for counter in spec.counters
    )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """The impressions [B], and what they are known for.

    Attributes:
        frame: Of the impressions.
        timeline: The frame's.
        versions: Those that events change [M].
        stages: All [S].
    """

    frame: pl.DataFrame
    timeline: Timeline
    versions: Versions
    stages: Stages

    @classmethod
    def of(cls, frame: pl.DataFrame, timeline: Timeline, versions: Versions) -> _Rows:
        """The impressions with their stages."""
        return cls(frame, timeline, versions, Stages.of(frame, timeline, versions))

    def holds(self, condition: str) -> Bools:
        """Where a condition is true, of impressions and versions, bool [B + M]."""
        return self.versions.evaluate(self.frame, condition, holds)

    def numbers(self, text: str) -> Floats:
        """The same of an expression's numbers, float64 [B + M]."""
        return self.versions.evaluate(self.frame, text, numbers)

    def past(self, pairs: _Pairs, counts: Bools) -> Past:
        """The past of each pair, among the stages that count [S]."""
        return Past.of_stages(self.stages, pairs.groups, counts, pairs.rows)


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Each impression with each value it is matched by: P pairs, sorted by group.

    Attributes:
        rows: The pair's row, ascending within a group, int64 [P].
        groups: The number of its (user, value), from 0 and ascending, int64 [P].
        known: Whether a row has a value to be matched by, bool [B].
        earlier: What earlier days left, one row a (user, value); None for nothing.
        places: Where each pair stands in it, -1 for nowhere, int64 [P].
    """

    rows: Ints
    groups: Ints
    known: Bools
    earlier: pl.DataFrame | None
    places: Ints

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        match: str,
        timeline: Timeline,
        user: str,
        earlier: pl.DataFrame | None = None,
    ) -> _Pairs:
        """The pairs of `match`, a value or a list; without it one pair a row.

        Null is no value, and a list gives each of its values once.
        """
        rows = np.arange(frame.height)
        key, groups, known = [frame[user].alias(USER)], timeline.users, rows >= 0
        if match:
            values = values_of(frame, match)
            rows, groups, chosen = _grouped(
                values["row"].to_numpy(), values[VALUE], timeline
            )
            key = [key[0].gather(rows), values[VALUE].gather(chosen)]
            known = np.bincount(rows, minlength=frame.height) > 0
        asked = pl.DataFrame(key)
        return cls(rows, groups, known, earlier, places(asked, earlier, asked.columns))

    def left(self, column: str, missing: int | float) -> Numbers:
        """What earlier days left of each pair; `missing` for nothing [P]."""
        table = None if self.earlier is None else self.earlier[column]
        return taken(table, self.places, missing)

    def per_row(self, values: Numbers) -> Numbers:
        """Sum of the values [P] of each impression's pairs, float64 [B].

        Groups are in the order of values, so that no other user changes the order in
        which a list's sums are added.
        """
        return np.bincount(self.rows, values, minlength=len(self.known))


def values_of(frame: pl.DataFrame, match: str) -> pl.DataFrame:
    """Each `row` with each `VALUE` it is matched by; a list may tell one again."""
    pairs = pl.DataFrame(
        {"row": np.arange(frame.height), VALUE: evaluate(frame, match)}
    )
    if isinstance(pairs.schema[VALUE], pl.List):
        pairs = pairs.explode(VALUE)
    return pairs.drop_nulls()


def _grouped(
    rows: Ints, values: pl.Series, timeline: Timeline
) -> tuple[Ints, Ints, Ints]:
    """(rows, groups, places among the given) of the different pairs, by group."""
    numbered = number_values(values)
    keys = timeline.users[rows] * (numbered.max(initial=0) + 1) + numbered
    order = np.argsort(keys, kind="stable")
    rows, keys = rows[order], keys[order]
    new_group = np.diff(keys, prepend=-1) != 0
    different = new_group | (np.diff(rows, prepend=-1) != 0)
    groups = np.cumsum(new_group)[different] - 1
    return rows[different], groups, order[different]


def _count(known: _Rows, counter: CounterSpec, pairs: _Pairs) -> pl.Series:
    """A counter's column; null where there is nothing to be matched by."""
    measure = {"count": _events, "seconds_since": _seconds_since, "mean": _mean}
    values = measure[counter.measure](known, counter, pairs)  # [B]
    column = pl.Series(counter.name, values, nan_to_null=True)
    return column.set(pl.Series(~pairs.known), None)


def _events(known: _Rows, counter: CounterSpec, pairs: _Pairs) -> Ints:
    """How many pairs of the past there are, int64 [B]."""
    changes = known.stages.changes(known.holds(counter.where).astype(np.int64))
    past = known.past(pairs, changes != 0)
    counted = past.count_changes(changes) + pairs.left(counter.name, 0)
    return pairs.per_row(counted).astype(np.int64)


def _seconds_since(known: _Rows, counter: CounterSpec, pairs: _Pairs) -> Floats:
    """Seconds since the last one was known, float64 [B]; NaN if there was none.

    One that an event made hold is known from that event on.
    """
    stages, begins = known.stages, known.timeline.begins
    runs = Runs.of(stages, known.holds(counter.where))
    past = known.past(pairs, runs.begins & (runs.ends < 0))
    last = past.last
    since_ms = begins[pairs.rows] - stages.known_from[last]
    least = np.full(len(pairs.known), np.inf)
    np.minimum.at(least, pairs.rows[last >= 0], since_ms[last >= 0])
    before = pairs.left(counter.name, _NEVER)
    there = before > _NEVER
    rows = pairs.rows[there]
    begin_ms = known.frame[TIME_MS].to_numpy()[rows]
    np.minimum.at(least, rows, begin_ms - before[there])
    rows, stage = runs.ended_pairs(stages, pairs)
    np.minimum.at(least, rows, begins[rows] - stages.known_from[stage])
    return np.where(np.isfinite(least), least, np.nan) / 1000


def _mean(known: _Rows, counter: CounterSpec, pairs: _Pairs) -> Floats:
    """Smoothed mean of the past's values, float64 [B]; NaN if there is nothing."""
    values = known.numbers(counter.value)
    # One that is not finite (x / 0) would stay in every later sum.
    where = known.holds(counter.where) & np.isfinite(values)
    counts = known.stages.changes(where.astype(np.int64))
    values = known.stages.changes(np.where(where, values, 0.0))
    past = known.past(pairs, (counts != 0) | (values != 0))
    earlier = pairs.left(count_column(counter), 0)
    before = Before(earlier > 0, pairs.left(sum_column(counter), 0.0))
    total = pairs.per_row(past.sums(values, before if earlier.any() else None))
    count = pairs.per_row(past.count_changes(counts) + earlier)
    return smoothed(total, count, counter.prior, counter.strength)


def sum_column(counter: CounterSpec) -> str:
    """The column of what is carried that has a mean's sum."""
    return f"{counter.name}.sum"


def count_column(counter: CounterSpec) -> str:
    """The column of what is carried that says of how many values the sum is."""
    return f"{counter.name}.count"


@dataclasses.dataclass(frozen=True)
class Runs:
    """Stages [S] in which a condition holds, from the first to the last in a row.

    Attributes:
        begins: Whether a run begins with a stage, bool [S].
        ends: The stage that a beginning run ends before; -1 if it lasts, int64 [S].
    """

    begins: Bools
    ends: Ints

    @classmethod
    def of(cls, stages: Stages | DatedStages, condition: Bools) -> Runs:
        """The runs of a condition, of impressions and versions [B + M]."""
        true = condition[stages.source]
        ends = np.full(len(true), -1)
        if stages.are_final:
            return cls(true, ends)
        again = ~stages.is_first & np.roll(true, 1)  # it held a stage before
        begins, over = true & ~again, np.flatnonzero(again & ~true)
        started = np.flatnonzero(begins)
        ends[started[np.searchsorted(started, over) - 1]] = over
        return cls(begins, ends)

    def ended_pairs(self, stages: Stages, pairs: _Pairs) -> tuple[Ints, Ints]:
        """(rows that know of a run which ended later, the stage that began it)."""
        ended = np.flatnonzero(self.begins & (self.ends >= 0))
        first, after = stages.seen_by[ended], stages.seen_by[self.ends[ended]]
        seen = first < after
        ended, first, after = ended[seen], first[seen], after[seen]
        if not len(ended):
            return ended, ended
        of_row = np.argsort(pairs.rows, kind="stable")
        rows, own = pairs.rows[of_row], stages.rows[ended]
        last = np.searchsorted(rows, own, side="right")
        run, at = add_ranges(np.searchsorted(rows, own), last)
        groups = pairs.groups[of_row[at]]  # those of the run's row
        width = len(pairs.known) + 1
        axis = pairs.groups * width + pairs.rows  # ascending
        start = np.searchsorted(axis, groups * width + first[run])
        stop = np.searchsorted(axis, groups * width + after[run])
        number, found = add_ranges(start, stop)
        return pairs.rows[found], ended[run[number]]
