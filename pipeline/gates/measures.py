"""What the gates compare: every task's metrics, its slices, and the fused score's
NDCG@10, of several models on the same rows, with draws of users."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from feature_specs import Spec, TaskSpec
from feature_specs.spec import EvaluationSpec
from pipeline.evaluation.model_evaluation import ModelEvaluation
from pipeline.evaluation.quality import TaskQuality
from pipeline.evaluation.user_sums import ALL, FUSED, UserSums
from pipeline.gates.draws import Draws, Floats

FUSED_NAME = "fused score"
FARTHEST = 1e6  # factor between two sums that is told as it is
MIN_GROUPS = 10  # of users that a value must come from for its draws to say something
MOST_SLICES = 200  # those with the most rows
_LEAST = 1e-12  # of what a change is a share of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric with its keys in the spec's `evaluation`.

    Attributes:
        name: As in `verdict.Gate.measure`.
        metric: As in `UserSums.draws`.
        tells: Sum that is above 0 for the users whom the metric knows something of.
        limits: Key of the limits on values; "" if there are none.
        change: Key of the largest loss.
        worse: 1 if a larger value is worse, -1 if a smaller one is.
        share: Whether a change is a share of the best value.
    """

    name: str
    metric: str
    tells: str
    limits: str
    change: str
    worse: int = -1
    share: bool = False

    def loss(self, value: Any, best: Any) -> Any:
        """How much worse; of numbers, or of draws [D]."""
        apart = self.worse * (value - best)
        return apart / np.maximum(best, _LEAST) if self.share else apart


AUC = Measure(
    name="auc",
    metric="auc",
    tells="positives",
    limits="min_auc",
    change="max_auc_drop",
)
GAUC = Measure(
    name="gauc",
    metric="gauc",
    tells="mixed",
    limits="min_gauc",
    change="max_gauc_drop",
)
RMSE = Measure(
    name="rmse",
    metric="rmse",
    tells="rows",
    limits="max_rmse",
    change="max_rmse_rise",
    worse=1,
    share=True,
)
MISCALIBRATION = Measure(
    name="miscalibration",
    metric="calibration",
    tells="label",
    limits="miscalibration",
    change="max_miscalibration_rise",
    worse=1,
    share=True,
)
NDCG = Measure(
    name="ndcg",
    metric="ndcg@10",
    tells="groups",
    limits="min_ndcg",
    change="max_ndcg_drop",
)
SLICE_AUC = dataclasses.replace(
    AUC, limits="min_slice_auc", change="max_slice_auc_drop"
)
SLICE_RMSE = dataclasses.replace(RMSE, limits="")  # a limit is for all rows


class Estimate(NamedTuple):
    """A value and what it is in other draws.

    Attributes:
        value: NaN if there is none.
        drawn: [D]; the value where a draw has none.
    """

    value: float
    drawn: Floats


class Measured(NamedTuple):
    """One metric of some rows, of all models.

    Attributes:
        measure: Which.
        of: Task, or `FUSED_NAME`.
        slice: `tab=1`, or "".
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


def measure_all(
    spec: Spec, models: Sequence[ModelEvaluation]
) -> tuple[list[Measured], list[Measured]]:
    """The metrics of all rows, and those of slices.

    A task that the first model does not have is left out; another model that lacks it
    has no value.
    """
    comparison = _Comparison(spec.evaluation, models)
    whole: list[Measured] = []
    slices: list[Measured] = []
    for task in spec.tasks:
        if any(found.task == task.name for found in models[0].tasks):
            all_rows, parts = comparison.of_task(task)
            whole += all_rows
            slices += parts
    if models[0].ranking is not None:
        whole.append(comparison.of_fused())
    return whole, slices


class _Comparison:
    """Models whose sums by user are drawn alike."""

    def __init__(self, evaluation: EvaluationSpec, models: Sequence[ModelEvaluation]):
        self._evaluation, self._models = evaluation, models
        self._draws = Draws(evaluation.draws)
        self._slices = _largest(models[0])

    def of_task(self, task: TaskSpec) -> tuple[list[Measured], list[Measured]]:
        """Of all rows, and of each slice."""
        chances = task.of_kind.is_probability
        measures = (AUC, GAUC, MISCALIBRATION) if chances else (RMSE, MISCALIBRATION)
        in_slices = SLICE_AUC if chances else SLICE_RMSE
        sums = [self._sums(one, task.name) for one in self._models]
        whole = [self._measured(m, task.name, ALL, sums) for m in measures]
        parts = [
            self._measured(in_slices, task.name, slice, sums)
            for slice in self._slices
            if slice in sums[0]
        ]
        return whole, parts

    def of_fused(self) -> Measured:
        """NDCG@10 of the fused order."""
        sums = [
            {ALL: self._draws.grouped(found[ALL])} if ALL in found else {}
            for found in (
                one.user_sums(FUSED) if one.ranking is not None else {}
                for one in self._models
            )
        ]
        return self._measured(NDCG, FUSED_NAME, ALL, sums)

    def _sums(self, model: ModelEvaluation, task: str) -> dict[str, UserSums]:
        """Slice -> sums by group of users; nothing if the model lacks the task."""
        if all(found.task != task for found in model.tasks):
            return {}
        found = model.user_sums(task, [ALL, *self._slices])
        return {slice: self._draws.grouped(sums) for slice, sums in found.items()}

    def _measured(
        self, measure: Measure, of: str, slice: str, sums: list[dict[str, UserSums]]
    ) -> Measured:
        estimates = [
            self._estimate(measure, one[slice]) if slice in one else self._none()
            for one in sums
        ]
        lacks = "there are no rows"
        if slice in sums[0]:
            least = self._evaluation.min_positives
            lacks = _lacking(measure, sums[0][slice], estimates[0], least)
        limits = getattr(self._evaluation, measure.limits) if measure.limits else {}
        if not isinstance(limits, dict):
            limits = {of: limits} if limits else {}
        limit = limits.get(of, math.nan)
        return Measured(measure, of, slice, estimates, lacks, limit)

    def _estimate(self, measure: Measure, sums: UserSums) -> Estimate:
        value = sums.value(measure.metric)
        drawn = self._draws.of_metric(measure.metric, sums)
        if measure is MISCALIBRATION:
            if sums.sums["label"].min(initial=0) < 0:
                return self._none()  # a ratio of sums says nothing there
            value, drawn = float(_factor(np.array(value))), _factor(drawn)
        return Estimate(value, np.where(np.isnan(drawn), value, drawn))

    def _none(self) -> Estimate:
        return Estimate(math.nan, np.full(self._evaluation.draws, math.nan))


def _largest(model: ModelEvaluation) -> list[str]:
    """The slices with the most rows, by name."""

    def rows(found: tuple[TaskQuality, ...]) -> int:
        return max((quality.rows for quality in found), default=0)

    names = sorted(model.slices, key=lambda name: (-rows(model.slices[name]), name))
    return sorted(names[:MOST_SLICES])


def _factor(ratios: Floats) -> Floats:
    """Ratios or their inverses, whichever are larger, at most `FARTHEST`; NaN stays."""
    near = np.clip(ratios, 1 / FARTHEST, FARTHEST)
    found: Floats = np.maximum(near, 1 / near)
    return found


def _lacking(measure: Measure, sums: UserSums, estimate: Estimate, least: int) -> str:
    """What there is too little of for the metric to be compared."""
    for what, count in _counts(measure, sums):
        if count < least:
            return _needed(count, what, least)
    if math.isnan(estimate.value):
        return "there is no such number of these rows"
    tell = [sums.sums[measure.tells]]
    if measure.metric == "auc":
        tell.append(sums.sums["rows"] - tell[0])
    groups = min(int(np.count_nonzero(column)) for column in tell)
    return (
        "" if groups >= MIN_GROUPS else _needed(groups, "users that tell", MIN_GROUPS)
    )


def _counts(measure: Measure, sums: UserSums) -> Iterator[tuple[str, int]]:
    """What must be as many as `evaluation.min_positives`."""
    if measure.name == "ndcg":
        yield "lists with a gain", round(sums.total("groups"))
        return
    rows = round(sums.total("rows"))
    if "positives" not in sums.sums:
        yield "rows", rows
        return
    positives = round(sums.total("positives"))
    yield "positive rows", positives
    if measure.name in ("auc", "gauc"):
        yield "negative rows", rows - positives


def _needed(count: int, what: str, least: int) -> str:
    return f"there are {count:,} {what}, and {least:,} are needed"
