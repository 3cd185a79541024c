"""What an experiment found: effects of every treatment on every measure, by day."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import polars as pl

from pipeline.arrays import Array, Ints
from pipeline.experiment.design import Design
from pipeline.experiment.effects import Effect, UserSums, effect, ratio
from pipeline.experiment.measures import ENJOYMENT, Measures, count_column, sum_column


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A finished experiment.

    Attributes:
        design: Its arms, days and users.
        measures: Of its users.
        totals: Column of `Measures.of_day` -> its values, float64 [days, users].
        impressions: Served, on all days.
        seconds: That this run took to serve what was not finished before; no part of
            the tables.
        fresh: Impressions that this run served.
    """

    design: Design
    measures: Measures
    totals: dict[str, Array]
    impressions: int
    seconds: float
    fresh: int

    @classmethod
    def of(
        cls, design: Design, measures: Measures, days: list[pl.DataFrame], **run: float
    ) -> Experiment:
        """Of one frame a served day, each with all users by id."""
        columns = [c for c in days[0].columns if c.startswith(("sum of ", "count of "))]
        totals = {c: np.stack([day[c].to_numpy() for day in days]) for c in columns}
        shown = totals[sum_column("impressions")].sum()
        return cls(
            design=design,
            measures=measures,
            totals=totals,
            impressions=int(shown),
            seconds=float(run["seconds"]),
            fresh=int(run["fresh"]),
        )

    @property
    def control(self) -> str:
        """Name of the control."""
        return self.design.arms[0].name

    @property
    def treatments(self) -> tuple[str, ...]:
        """Names of the treatments."""
        return tuple(arm.name for arm in self.design.arms[1:])

    @property
    def impressions_per_s(self) -> float:
        """Served a second by this run; 0 if all was finished before."""
        return self.fresh / self.seconds if self.seconds else 0.0

    @functools.cached_property
    def arm_of(self) -> Ints:
        """[users] number of the arm."""
        return self.design.assign(np.arange(self.design.users))

    def users_of(self, arm: str) -> int:
        """How many users an arm has."""
        return int((self.arm_of == self._number(arm)).sum())

    def is_same(self, treatment: str) -> bool:
        """Whether a treatment serves as the control does (A/A)."""
        arms = self.design.arms
        return arms[self._number(treatment)].serves_as(arms[0])

    def effect(
        self, treatment: str, measure: str = ENJOYMENT, day: int | None = None
    ) -> Effect:
        """A treatment over the control, from the start of the treatment on.

        Args:
            treatment: Its name.
            measure: One of `measures.names`.
            day: The last day that counts, 1 is the treatment's first; all by default.
        """
        sums = self._sums(measure, self._window(day))
        before = None
        if self.design.pre_days:
            before = self._sums(measure, slice(0, self.design.pre_days))
        mine = self.arm_of == self._number(treatment)
        theirs = self.arm_of == 0
        return effect(
            sums.of(theirs),
            sums.of(mine),
            None if before is None else (before.of(theirs), before.of(mine)),
        )

    def curve(self, treatment: str, measure: str = ENJOYMENT) -> list[Effect]:
        """The effect as it stood at the end of each day."""
        days = range(1, self.design.days + 1)
        return [self.effect(treatment, measure, day) for day in days]

    def value(self, arm: str, measure: str, day: int | None = None) -> float:
        """The measure of an arm's users, as it is, over the treatment's days."""
        sums = self._sums(measure, self._window(day))
        return ratio(sums.of(self.arm_of == self._number(arm)))

    def on_day(self, arm: str, measure: str, day: int) -> float:
        """The measure of an arm's users on one served day, 0 is the first of all."""
        sums = self._sums(measure, slice(day, day + 1))
        return ratio(sums.of(self.arm_of == self._number(arm)))

    def _window(self, day: int | None) -> slice:
        first = self.design.pre_days
        return slice(first, first + (self.design.days if day is None else day))

    def _sums(self, measure: str, days: slice) -> UserSums:
        return UserSums(
            y=self.totals[sum_column(measure)][days].sum(axis=0),
            n=self.totals[count_column(measure)][days].sum(axis=0),
        )

    def _number(self, arm: str) -> int:
        return [one.name for one in self.design.arms].index(arm)
