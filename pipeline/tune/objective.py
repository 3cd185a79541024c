"""What a trial is worth: the mean over tasks of what days say before they are trained.

AUC of binary tasks and R² of regressions have no unit, and a higher one is better, so
that they can be averaged; log loss counts with its sign turned, by itself.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from feature_specs import Spec
from feature_specs.build import closest
from pipeline.compare.metrics import DIRECTIONS, FEW, NAMES
from pipeline.tune.errors import TuneError

_BINARY, _REGRESSION = ("auc", "log_loss"), ("r2",)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One metric of one task."""

    task: str
    metric: str

    def __str__(self) -> str:
        return f"{self.task}.{self.metric}"

    @property
    def direction(self) -> int:
        """1 if a higher value is better, -1 if a lower one is."""
        return DIRECTIONS[self.metric]


@dataclasses.dataclass(frozen=True)
class Objective:
    """The mean of some metrics, each turned so that higher is better."""

    measures: tuple[Measure, ...]

    def of_days(self, days: Sequence[Mapping[str, Any]]) -> float | None:
        """The value after some days; None if none of them counts.

        Of each measure the mean over its days, then the mean over the measures. A day
        counts for a measure where it has a value, of `FEW` positives or more if the
        task is binary: that is the rows', the same for every trial.

        Args:
            days: What `trainer.days.validation` says of each.
        """
        return self._mean(
            [[self._of_day(m, day) for day in days] for m in self.measures]
        )

    def of_scores(
        self,
        scores: Mapping[str, Mapping[str, float]],
        positives: Mapping[str, int],
    ) -> float | None:
        """The same of `pipeline.compare.scores.score`'s."""
        day: dict[str, dict[str, Any]] = {"positives": dict(positives)}
        for task, metrics in scores.items():
            for metric, value in metrics.items():
                day.setdefault(metric, {})[task] = (
                    value if math.isfinite(value) else None
                )
        return self.of_days([day])

    def _of_day(self, measure: Measure, day: Mapping[str, Any]) -> float | None:
        value = day.get(measure.metric, {}).get(measure.task)
        few = day.get("positives", {}).get(measure.task, FEW) < FEW
        return None if value is None or few else measure.direction * value

    def _mean(self, found: Sequence[Sequence[float | None]]) -> float | None:
        known = [[v for v in values if v is not None] for values in found]
        means = [sum(values) / len(values) for values in known if values]
        return sum(means) / len(means) if means else None

    def __str__(self) -> str:
        """What it is, in words."""
        named: dict[str, list[str]] = {}
        for measure in self.measures:
            named.setdefault(measure.metric, []).append(measure.task)
        told = [f"{NAMES[m]} of {', '.join(tasks)}" for m, tasks in named.items()]
        sign = "minus the " if self.measures[0].direction < 0 else ""
        return f"{sign}mean of {'; '.join(told)}"


def choose_objective(spec: Spec, wanted: Sequence[str] = ()) -> Objective:
    """The metrics that are wanted; by default AUC or R² of every task.

    Args:
        spec: Whose tasks they are of.
        wanted: `TASK.METRIC`: `auc` or `log_loss` of a binary task, `r2` of a
            regression.

    Raises:
        TuneError: There is no such task or metric; or log loss is mixed with others.
    """
    known = {task.name: _metrics(spec, task.name) for task in spec.tasks}
    if not wanted:
        return Objective(tuple(Measure(t, metrics[0]) for t, metrics in known.items()))
    measures = []
    for text in wanted:
        task, _, metric = text.rpartition(".")
        if metric not in known.get(task, ()):
            all_known = [f"{t}.{m}" for t, metrics in known.items() for m in metrics]
            raise TuneError(
                f"--metric {text!r}: must be a task of spec {spec.name!r} and its "
                f"metric, TASK.METRIC.{closest(text, all_known)}"
            )
        measures.append(Measure(task, metric))
    if len(set(measures)) < len(measures):
        raise TuneError("--metric: names one twice; leave it out once.")
    if len({measure.direction for measure in measures}) > 1:
        raise TuneError(
            "--metric: log loss has a unit and cannot be averaged with AUC or R². Take "
            "one or the other."
        )
    return Objective(tuple(measures))


def _metrics(spec: Spec, task: str) -> tuple[str, ...]:
    return _BINARY if spec.task(task).of_kind.is_probability else _REGRESSION
