"""What impressions are known for, stage by stage: it changes with each of their events.

An impression's outcomes are known from its end on, and for all time. What is made of
events (`Spec.events`) changes at each of them: a like that comes an hour later is in
nobody's history before that hour, and an unlike takes it out again. Most impressions
have one stage; those that do not are few.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import polars as pl

from feature_specs import expressions
from pipeline.arrays import Bools, Ints, Numbers
from pipeline.examples.columns.timeline import TIME_MS, Timeline


@dataclasses.dataclass(frozen=True)
class Versions:
    """The rows [M] of impressions as they are known from some moment on.

    Attributes:
        rows: Row of each in the frame of impressions, ascending, int64 [M].
        known_ms: Unix milliseconds from which it holds, ascending within a row, int64
            [M]. The first one of a row holds from the impression's end on.
        values: The columns made of events [M].
    """

    rows: Ints
    known_ms: Ints
    values: pl.DataFrame

    @classmethod
    def none(cls) -> Versions:
        """Nothing that is known ever changes."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, pl.DataFrame())

    def __len__(self) -> int:
        return len(self.rows)

    def evaluate(
        self,
        impressions: pl.DataFrame,
        text: str,
        read: Callable[[pl.DataFrame, str], Numbers],
    ) -> Numbers:
        """An expression's values of impressions [B] and of their versions [B + M].

        Args:
            impressions: With the columns made of events as they are in the end.
            text: The expression.
            read: Gives its values of a frame's rows.
        """
        found = read(impressions, text)
        if not len(self):
            return found
        names = expressions.columns_of(text)
        changing = names & set(self.values.columns)
        if not changing:
            return np.concatenate([found, found[self.rows]])
        columns = [self.values[name] for name in sorted(changing)]
        columns += [impressions[name][self.rows] for name in sorted(names - changing)]
        return np.concatenate([found, read(pl.DataFrame(columns), text)])


@dataclasses.dataclass(frozen=True)
class _Order:
    """The S stages of B impressions, sorted by (row, time).

    Attributes:
        rows: The impression, int64 [S].
        source: Where it stands among the impressions [B] and their versions [B + M],
            int64 [S].
    """

    rows: Ints
    source: Ints

    @functools.cached_property
    def is_first(self) -> Bools:
        """Whether a stage is its impression's first, bool [S]."""
        first: Bools = np.diff(self.rows, prepend=-1) != 0
        return first

    @functools.cached_property
    def firsts(self) -> Ints:
        """Each impression's first stage, and one past the last, int64 [B + 1]."""
        return np.append(np.flatnonzero(self.is_first), len(self.rows))

    @property
    def are_final(self) -> bool:
        """Whether every impression has one stage only."""
        return len(self.rows) == len(self.firsts) - 1

    def changes(self, values: Numbers) -> Numbers:
        """By how much each stage changes what its impression adds to a sum [S].

        Args:
            values: Of impressions and versions [B + M].
        """
        now = values[self.source]
        if self.are_final:
            return now
        changed: Numbers = now - np.where(self.is_first, 0, np.roll(now, 1))
        return changed


def _in_order(height: int, versions: Versions) -> tuple[Ints, Ints, Ints, Ints]:
    """(rows, source) of all stages, and (impressions of one, the order) to sort by."""
    changes = np.zeros(height, bool)
    changes[versions.rows] = True
    lasting = np.flatnonzero(~changes)
    rows = np.concatenate([lasting, versions.rows])
    order = np.argsort(rows, kind="stable")
    source = np.concatenate([lasting, height + np.arange(len(versions))])
    return rows[order], source[order], lasting, order


@dataclasses.dataclass(frozen=True)
class DatedStages(_Order):
    """Stages by the clock.

    Attributes:
        known_ms: Unix milliseconds from which each holds, int64 [S].
    """

    known_ms: Ints

    @classmethod
    def of(cls, known_from_ms: Ints, versions: Versions) -> DatedStages:
        """The stages of impressions known from some times on, int64 [B]."""
        rows, source, lasting, order = _in_order(len(known_from_ms), versions)
        known = np.concatenate([known_from_ms[lasting], versions.known_ms])
        return cls(rows, source, known[order])


@dataclasses.dataclass(frozen=True)
class Stages(_Order):
    """Stages on a timeline.

    Attributes:
        known_from: Where on the axis each begins, int64 [S].
        seen_by: The user's first row that knows it, or the one after his last, int64
            [S].
    """

    known_from: Ints
    seen_by: Ints

    @classmethod
    def of(cls, frame: pl.DataFrame, timeline: Timeline, versions: Versions) -> Stages:
        """The stages of a frame that is sorted as the timeline is."""
        if not len(versions):
            rows = np.arange(frame.height)
            return cls(rows, rows, timeline.known_from, timeline.seen_by)
        rows, source, lasting, order = _in_order(frame.height, versions)
        shifts = timeline.begins - frame[TIME_MS].to_numpy()
        later = versions.known_ms + shifts[versions.rows]
        later = np.minimum(later, timeline.latest[versions.rows])
        known = np.concatenate([timeline.known_from[lasting], later])[order]
        return cls(rows, source, known, np.searchsorted(timeline.begins, known))

    @functools.cached_property
    def ranks(self) -> Ints:
        """Each stage's rank by (user, `known_from`, row), int64 [S]."""
        ranks = np.empty_like(self.rows)
        ranks[np.argsort(self.known_from, kind="stable")] = np.arange(len(ranks))
        return ranks

    def at(self, rows: Ints, seen_from: Ints) -> Ints:
        """Which stage [P] of impressions others know, as `source` has it.

        Args:
            rows: The impressions, int64 [P].
            seen_from: The rows that know them, int64 [P].
        """
        height = len(self.firsts)  # above every row and `seen_by`
        axis = self.rows * (height + 1) + self.seen_by
        asked = rows * (height + 1) + seen_from
        return self.source[np.searchsorted(axis, asked, side="right") - 1]


def add_ranges(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """(number of the range, value) of start[0]..stop[0]-1, start[1]..stop[1]-1, ..."""
    lengths = np.maximum(stop - start, 0)
    numbers = np.repeat(np.arange(len(start)), lengths)
    before = np.cumsum(lengths) - lengths
    return numbers, np.arange(len(numbers)) + (start - before)[numbers]
