"""What is known of a group of events when an impression begins; never the future.

Only events whose outcome is known by then count: a video that still runs has none yet.
Two impressions that begin together never see each other. History, counters and trails
ask this one question, of groups that lie within one user: all his events, those of an
author, those of a trail.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from pipeline.arrays import Bools, Ints, Numbers
from pipeline.examples.columns.stages import Stages, add_ranges
from pipeline.examples.columns.timeline import Timeline


class _Events(NamedTuple):
    """E events of groups, in any order.

    Attributes:
        owners: Number of each one's group, int64 [E].
        places: Its row, or its stage, int64 [E].
        ranks: Of every row or stage: its rank in time within a user.
        seen_by: Of every row or stage: the first row that knows it.
    """

    owners: Ints
    places: Ints
    ranks: Ints
    seen_by: Ints


class Before(NamedTuple):
    """What the events of earlier days add up to, for each question [P].

    Attributes:
        known: Whether the question's group has such events, bool [P].
        sums: Their sum, in order; the same for all questions of a group [P].
    """

    known: Bools
    sums: Numbers


@dataclasses.dataclass(frozen=True)
class Past:
    """The past of P questions among E events; question p sees `start[p]:stop[p]`.

    Attributes:
        events: Row (or stage) of each event, sorted by group, then by (known_from,
            row), int64 [E].
        start: Position of the first event of each question's group, int64 [P].
        stop: Position after the last one known at the question, int64 [P].
    """

    events: Ints
    start: Ints
    stop: Ints

    @classmethod
    def of(
        cls,
        timeline: Timeline,
        groups: Ints,
        counts: Bools,
        rows: Ints | None = None,
    ) -> Past:
        """Answers for every row, or for every pair of a row and a group.

        Args:
            timeline: Of the B rows.
            groups: Number of each pair's group, from 0 and ascending, at most P, int64
                [P]. A group lies within one user.
            counts: Whether the pair is an event that counts, bool [P].
            rows: Each pair's row, ascending within a group, int64 [P]; by default
                there is one pair a row.
        """
        if rows is None:
            rows = np.arange(len(timeline.users))
        chosen = np.flatnonzero(counts)
        events = _Events(groups[chosen], rows[chosen], timeline.ranks, timeline.seen_by)
        return cls._of(events, groups, rows)

    @classmethod
    def of_stages(cls, stages: Stages, groups: Ints, counts: Bools, rows: Ints) -> Past:
        """The same where what counts are stages of impressions: `events` are those.

        Args:
            stages: Of the B rows.
            groups: Of each pair, int64 [P].
            counts: Which stages count, in every pair of their row, bool [S].
            rows: Of each pair, int64 [P].
        """
        if stages.are_final:
            pairs, found = np.arange(len(rows)), rows
        else:
            pairs, found = add_ranges(stages.firsts[rows], stages.firsts[rows + 1])
        chosen = np.flatnonzero(counts[found])
        owners, found = groups[pairs[chosen]], found[chosen]
        events = _Events(owners, found, stages.ranks, stages.seen_by)
        return cls._of(events, groups, rows)

    @classmethod
    def _of(cls, events: _Events, groups: Ints, rows: Ints) -> Past:
        """Answers for pairs [P] of a group and a row."""
        ranks = events.ranks[events.places]
        order = np.argsort(events.owners * len(events.ranks) + ranks, kind="stable")
        places, owners = events.places[order], events.owners[order]
        # Within a group events are seen in order, so one axis holds all groups.
        width = len(events.ranks) + 1
        axis = owners * width + events.seen_by[places]
        stop = np.searchsorted(axis, groups * width + rows, side="right")
        return cls(places, np.searchsorted(owners, groups), stop)

    @property
    def count(self) -> Ints:
        """How many events each question knows, int64 [P]."""
        return self.stop - self.start

    @property
    def last(self) -> Ints:
        """Row of the last known event by (known_from, row), int64 [P]; -1 for none."""
        return np.append(self.events, -1)[self._place_of_last]

    def count_changes(self, changes: Ints) -> Ints:
        """Sum of whole numbers of events [?] over each question's known ones [P]."""
        running = np.concatenate([[0], np.cumsum(changes[self.events])])
        found: Ints = running[self.stop] - running[self.start]
        return found

    def sums(self, values: Numbers, before: Before | None = None) -> Numbers:
        """Sum of `values` [B] over each question's known events [P], added in order.

        Each group is added by itself, so that rounding does not depend on who else
        shares the shard.

        Args:
            values: Of rows, or of stages.
            before: What earlier days' events of each question's group add up to; it
                is the first addend, so that the sum has the bits of all in a row.
        """
        starts = self.start[np.diff(self.start, prepend=-1) != 0]  # they ascend
        starts = starts[starts < len(self.events)]
        added = values[self.events]
        if before is not None:
            # Groups without an event begin where the next one does: the last is meant.
            whose = np.searchsorted(self.start, starts, side="right") - 1
            known = before.known[whose]
            added[starts[known]] += before.sums[whose[known]]
        sums = running_sums(added, starts)
        found: Numbers = np.append(sums, 0)[self._place_of_last]
        if before is not None:
            found = np.where((self.count == 0) & before.known, before.sums, found)
        return found

    @property
    def _place_of_last(self) -> Ints:
        """Position of the last known event [P]; -1, one past the end, for none."""
        return np.where(self.count > 0, self.stop - 1, -1)


def running_sums(values: Numbers, starts: Ints) -> Numbers:
    """Cumulative sums [E] of groups that begin at `starts` [G]; the first begins at 0.

    Groups of one size are added side by side.
    """
    sums = np.empty_like(values)
    sizes = np.diff(starts, append=len(values))
    order = np.argsort(sizes, kind="stable")
    edges = np.flatnonzero(np.diff(sizes[order])) + 1
    for groups in np.split(order, edges):
        if len(groups):
            places = starts[groups] + np.arange(sizes[groups[0]])[:, np.newaxis]
            sums[places] = np.cumsum(values[places], axis=0)  # [size, groups]
    return sums
