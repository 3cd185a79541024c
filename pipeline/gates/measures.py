"""What the gates measure of each model: every task's metrics, its slices, and the fused
score's NDCG@10, with draws of users."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from feature_specs import Spec, TaskSpec
from feature_specs.spec import EvaluationSpec
from pipeline.gates import draws as bootstrap
from pipeline.gates import statistics
from pipeline.gates.rows import Floats, Ints, JudgedRows, TaskRows, checked
from pipeline.gates.statistics import Estimate, Statistic
from pipeline.reporting.metrics import MetricError

FUSED = "fused score"
MIN_GROUPS = 10  # of users that a value must come from for its draws to say something
MOST_SLICES = 50  # values of a column, those with the most rows
_LEAST = 1e-12  # of what a change is a share of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric with its keys in the spec's `evaluation`.

    Attributes:
        name: As in `verdict.Gate.measure`.
        limits: Key of the limits on values; "" if there are none.
        change: Key of the largest loss.
        worse: 1 if a larger value is worse, -1 if a smaller one is.
        share: Whether a change is a share of the best value.
    """

    name: str
    limits: str
    change: str
    worse: int = -1
    share: bool = False

    def loss(self, value: Any, best: Any) -> Any:
        """How much worse; of numbers, or of draws [D]."""
        apart = self.worse * (value - best)
        return apart / np.maximum(best, _LEAST) if self.share else apart


AUC = Measure(name="auc", limits="min_auc", change="max_auc_drop")
GAUC = Measure(name="gauc", limits="min_gauc", change="max_gauc_drop")
RMSE = Measure(
    name="rmse", limits="max_rmse", change="max_rmse_rise", worse=1, share=True
)
MISCALIBRATION = Measure(
    name="miscalibration",
    limits="miscalibration",
    change="max_miscalibration_rise",
    worse=1,
    share=True,
)
NDCG = Measure(name="ndcg", limits="min_ndcg", change="max_ndcg_drop")
SLICE_AUC = dataclasses.replace(
    AUC, limits="min_slice_auc", change="max_slice_auc_drop"
)
SLICE_RMSE = dataclasses.replace(RMSE, limits="")  # a limit is for all rows

_STATISTICS: dict[str, Statistic] = {
    "auc": statistics.auc,
    "gauc": statistics.gauc,
    "rmse": statistics.rmse,
    "miscalibration": statistics.miscalibration,
}


class Measured(NamedTuple):
    """One metric of some rows, of all models.

    Attributes:
        measure: Which.
        of: Task, or `FUSED`.
        slice: `tab = 1`, or "".
        estimates: One a model, the one to be judged first.
        lacks: What there is too little of for a comparison; "" if there is enough.
        limit: Of the value, as the spec writes it; NaN without one.
    """

    measure: Measure
    of: str
    slice: str
    estimates: list[Estimate]
    lacks: str
    limit: float


def measure_all(spec: Spec, rows: JudgedRows) -> tuple[list[Measured], list[Measured]]:
    """The metrics of all rows, and those of slices.

    Raises:
        NotFiniteError: A label or a prediction is NaN or infinite; says whose.
        MetricError: Columns of different lengths, or a probability's label that is
            neither 0 nor 1.
    """
    groups = bootstrap.groups_of(rows.users)
    draws = bootstrap.draw(groups, spec.evaluation.draws)
    whole: list[Measured] = []
    slices: list[Measured] = []
    for task in spec.tasks:
        there = _Rows(rows, checked(rows, task.name), groups, draws, spec.evaluation)
        chances = task.of_kind.is_probability
        if chances:
            _check_binary(task, there.own)
        measures = (AUC, GAUC, MISCALIBRATION) if chances else (RMSE, MISCALIBRATION)
        whole += [there.measured(measure, task.name) for measure in measures]
        slices += there.of_slices(SLICE_AUC if chances else SLICE_RMSE, task.name)
    if rows.ranked is not None:
        whole.append(_fused(rows, draws, spec.evaluation))
    return whole, slices


class _Rows(NamedTuple):
    """One task's rows, with their users drawn."""

    all: JudgedRows
    own: TaskRows
    groups: Ints
    draws: Floats
    evaluation: EvaluationSpec

    def measured(
        self, measure: Measure, task: str, slice: str = "", part: Ints | None = None
    ) -> Measured:
        """A metric of all models, on the rows `part` of the task's, or on all."""
        rows = np.flatnonzero(self.own.mask)
        columns = [self.own.labels, *self.own.predictions]
        if part is not None:
            rows, columns = rows[part], [column[part] for column in columns]
        users, groups = np.asarray(self.all.users)[rows], self.groups[rows]
        labels, *predictions = columns
        statistic = _STATISTICS[measure.name]
        estimates = [
            statistic(labels, column, users, groups, self.draws)
            for column in predictions
        ]
        lacks = _lacking(measure, labels, estimates[0], self.evaluation.min_positives)
        limits = getattr(self.evaluation, measure.limits) if measure.limits else {}
        limit = limits.get(task, math.nan)
        return Measured(measure, task, slice, estimates, lacks, limit)

    def of_slices(self, measure: Measure, task: str) -> Iterator[Measured]:
        """The metric in each slice; of many values those with the most rows."""
        for column, values in sorted(self.all.slices.items()):
            own = np.asarray(values)[self.own.mask]
            found, place, counts = np.unique(
                own, return_inverse=True, return_counts=True
            )
            largest = np.argsort(-counts, kind="stable")[:MOST_SLICES]
            for index in np.sort(largest):
                part = np.flatnonzero(place == index)
                yield self.measured(measure, task, _slice(column, found[index]), part)


def _fused(rows: JudgedRows, draws: Floats, evaluation: EvaluationSpec) -> Measured:
    """NDCG@10 of all models' fused scores."""
    ranked = rows.ranked
    assert ranked is not None
    groups = bootstrap.groups_of(ranked.users)
    estimates = [statistics.mean(column, groups, draws) for column in ranked.ndcg]
    lists, least = int((~np.isnan(ranked.ndcg[0])).sum()), evaluation.min_positives
    lacks = "" if lists >= least else _needed(lists, "lists with a gain", least)
    limit = evaluation.min_ndcg or math.nan
    return Measured(NDCG, FUSED, "", estimates, lacks or _few(estimates[0]), limit)


def _slice(column: str, value: Any) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return f"{column} = {text}"


def _lacking(
    measure: Measure, labels: npt.NDArray[Any], estimate: Estimate, least: int
) -> str:
    """What there is too little of for the metric to be compared."""
    positives = int((labels > 0).sum())
    if measure.name in ("auc", "gauc"):
        counts = {"positive rows": positives, "negative rows": len(labels) - positives}
    elif measure.name == "miscalibration":
        counts = {"rows with a label above 0": positives}
    else:
        counts = {"rows": len(labels)}
    for what, count in counts.items():
        if count < least:
            return _needed(count, what, least)
    if math.isnan(estimate.value):
        return "there is no such number of these rows"
    return _few(estimate)


def _few(estimate: Estimate) -> str:
    if estimate.groups >= MIN_GROUPS:
        return ""
    return _needed(estimate.groups, "users that tell", MIN_GROUPS)


def _needed(count: int, what: str, least: int) -> str:
    return f"there are {count:,} {what}, and {least:,} are needed"


def _check_binary(task: TaskSpec, own: TaskRows) -> None:
    others = own.labels[(own.labels != 0) & (own.labels != 1)]
    if others.size:
        raise MetricError(
            f"Task {task.name!r}: labels must be 0 or 1. Got {others[0]:g}."
        )
