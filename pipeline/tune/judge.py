"""Hears what days say of a trial, and ends it when enough is known."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import optuna

from pipeline.compare.metrics import FEW
from pipeline.tune.errors import TuneError
from pipeline.tune.plan import Plan


class _Enough(Exception):
    """The last day is judged: training on it would tell nothing more."""


class Judge:
    """Is told by the day loop what each day says, and reports it to Optuna.

    Args:
        trial: Of Optuna. One that was killed, and is run again, has reports already.
        plan: Which days count, and what is made of them.
    """

    def __init__(self, trial: optuna.Trial, plan: Plan):
        self._trial, self._plan = trial, plan
        self._first, self._last = plan.examples.train[0][0], plan.examples.train[-1][0]
        self._days: list[Mapping[str, Any]] = []
        known = trial.study.get_trials(deepcopy=False)[trial.number]
        self._reported = set(known.intermediate_values)

    @staticmethod
    def until_enough() -> contextlib.AbstractContextManager[None]:
        """Around a training, which ends when the last day has been judged."""
        return contextlib.suppress(_Enough)

    @property
    def value(self) -> float:
        """Of the days that were judged.

        Raises:
            TuneError: None of them has the metric.
        """
        found = self._plan.objective.of_days(self._days)
        if found is None:
            raise TuneError(
                f"--metric: no search day has {self._plan.objective} of rows enough "
                f"({FEW} of label 1). Name tasks that have by --metric, or add days."
            )
        return found

    def of_day(self, day: str, says: Mapping[str, Any]) -> None:
        """Of a day, before it is trained on; the last one ends `until_enough`.

        Raises:
            TrialPruned: The trial is given up.
        """
        if day == self._first:  # judged by weights that have learned nothing
            return
        if self._plan.by_passes:
            self._days = [says]  # the last day's in the end, as `of_pass` has it
        else:
            self._days.append(says)
            self._report()
        if day == self._last:
            raise _Enough
        # Asked of trial 0 too, which others are ranked with, but never given up.
        is_behind = not self._plan.by_passes and self._trial.should_prune()
        if is_behind and self._trial.number:
            raise optuna.TrialPruned

    def of_pass(self, day: str, says: Mapping[str, Any]) -> None:
        """Of the day that judges passes, after one that is the best so far."""
        self._days = [says]

    def finish(self) -> float:
        """The value of a trial that came to its end, which is reported."""
        self._report()
        return self.value

    def _report(self) -> None:
        value, step = self._plan.objective.of_days(self._days), len(self._days)
        if value is not None and step not in self._reported:
            self._trial.report(value, step)
            self._reported.add(step)
