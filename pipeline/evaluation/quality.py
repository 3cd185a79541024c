"""How good is a model as served? Every task against a constant and an oracle.

Numbers in, numbers out: who scored the rows, and how many there are, `rows` knows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import polars as pl

from feature_specs import Spec, TaskSpec
from feature_specs.registry import RoomTable
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER
from feature_specs.task_kinds import Binary, Regression
from pipeline.evaluation import task_sums, user_sums
from pipeline.evaluation.rows import Rows, oracle_key, prediction_key
from pipeline.evaluation.sampled_pairs import sampled_xauc
from pipeline.evaluation.task_sums import EVERYTHING, Slicing
from pipeline.evaluation.user_sums import UserSums
from pipeline.reporting import metrics

_NAN = math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskQuality:
    """One row of the evaluation table.

    Attributes:
        rows: Evaluation rows in the task's sample space.
        positives: Rows with label 1 (binary tasks).
        label_mean: Mean label; the constant prediction everything is compared with.
        prediction_mean: Mean prediction.
        auc: Area under the ROC curve; 0.5 for the constant.
        auc_error: Its standard error (Hanley and McNeil, 1982).
        gauc: Mean of the users' own AUCs, weighted by their rows; users without both
            labels are left out.
        request_gauc: The same of requests; NaN where the spec has none (`log.request`).
        oracle_auc: AUC of the true probabilities, where they are known.
        rmse: Root of the mean squared error (regressions).
        constant_rmse: The same for the label mean as prediction.
        xauc: Share of pairs with different labels that are in order (regressions): of
            all rows, not by slice. See `sampled_xauc` for many rows.
    """

    task: str
    kind: str
    rows: int
    positives: int = 0
    label_mean: float = _NAN
    prediction_mean: float = _NAN
    auc: float = _NAN
    auc_error: float = _NAN
    gauc: float = _NAN
    request_gauc: float = _NAN
    oracle_auc: float = _NAN
    rmse: float = _NAN
    constant_rmse: float = _NAN
    xauc: float = _NAN

    @property
    def calibration(self) -> float:
        """Mean prediction / mean label; 1 is calibrated."""
        return self.prediction_mean / self.label_mean if self.label_mean else _NAN


@dataclasses.dataclass(frozen=True)
class Measured:
    """One task, measured on all rows or by a slice.

    Attributes:
        qualities: Name of the slice -> the quality there; "" for all rows.
        sums: By slice and user, what they are made of: see `UserSums`.
    """

    qualities: dict[str, TaskQuality]
    sums: pl.DataFrame


def measure(
    spec: Spec, predictions: pl.DataFrame, truth: pl.DataFrame | None = None
) -> list[TaskQuality]:
    """The quality of every task, of rows in one frame.

    Args:
        spec: What the rows are of.
        predictions: Keys, `label_<task>`, `mask_<task>` and `prediction_<task>`.
        truth: The keys and an `oracle_<task>` for each task that has one.

    Raises:
        MetricError: A prediction or a label is no number, or the label of a binary task
            neither 0 nor 1; the message names the task.
    """
    if truth is not None:
        predictions = with_truth(predictions, truth)
    rows = Rows.of(predictions)
    return [measure_task(rows, task).qualities[user_sums.ALL] for task in spec.tasks]


def with_truth(rows: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Rows with the true probabilities; null where the truth has none."""
    return rows.join(truth, on=[KEY_USER, KEY_ITEM, KEY_TIME], how="left")


def measure_task(
    rows: Rows,
    task: TaskSpec,
    model: int = 0,
    slicing: Slicing = EVERYTHING,
    *,
    alone: bool = False,
) -> Measured:
    """One task of the model of that number, by slice.

    Args:
        rows: Scored ones.
        task: Of the spec.
        model: Its number.
        slicing: All rows, or by a slice.
        alone: Whether to leave out what no gate compares: XAUC, the oracle, and GAUC
            by slice.

    Raises:
        MetricError: As `measure`.
    """
    column = prediction_key(task.name, model)
    try:
        whole = slicing is EVERYTHING
        sums = task_sums.sums_by_user(
            rows, task, column, slicing, with_areas=whole or not alone
        )
        qualities = _qualities(task, sums, slicing)
        if whole and not alone and qualities[user_sums.ALL].rows:
            found = _of_all_rows(rows, task, column, qualities[user_sums.ALL])
            qualities[user_sums.ALL] = found
    except metrics.NotFiniteError as error:
        raise metrics.NotFiniteError(
            f"Task {task.name!r}: {error} The model has diverged, or rows have absurd "
            "numbers. Lower the learning rates of the preset or set "
            "optimizer.clip_norm, and train again."
        ) from error
    except metrics.MetricError as error:
        raise metrics.MetricError(
            f"Task {task.name!r}, label {task.label!r}: {error}"
        ) from error
    return Measured(qualities, sums)


def _qualities(
    task: TaskSpec, sums: pl.DataFrame, slicing: Slicing
) -> dict[str, TaskQuality]:
    parts = sums.partition_by(user_sums.SLICE, as_dict=True)
    found = {}
    for name in slicing.names:
        rows = parts.get((name,))
        found[name] = (
            TaskQuality(task=task.name, kind=task.kind, rows=0)
            if rows is None
            else quality_of(task, user_sums.of_frame(rows))
        )
    return found


def quality_of(task: TaskSpec, sums: UserSums) -> TaskQuality:
    """The quality of a task that the sums of all its users make."""
    quality = TaskQuality(
        task=task.name,
        kind=task.kind,
        rows=int(sums.total("rows")),
        label_mean=sums.value("label_mean"),
        prediction_mean=sums.value("prediction_mean"),
    )
    return MEASURES[task.of_kind](sums, quality)


# Kind of task -> its metrics: (sums by user, quality so far) -> quality.
_Measure: TypeAlias = Callable[[UserSums, TaskQuality], TaskQuality]
MEASURES: RoomTable[_Measure] = RoomTable(
    "pipeline.evaluation.quality",
    "measures tasks of",
    "@pipeline.evaluation.quality.measures",
)
measures = MEASURES.register


@measures(Regression)
def _measure_regression(sums: UserSums, quality: TaskQuality) -> TaskQuality:
    return dataclasses.replace(
        quality, rmse=sums.value("rmse"), constant_rmse=sums.value("constant_rmse")
    )


@measures(Binary)
def _measure_binary(sums: UserSums, quality: TaskQuality) -> TaskQuality:
    positives = int(sums.total("positives"))
    area = sums.value("auc")
    return dataclasses.replace(
        quality,
        positives=positives,
        auc=area,
        auc_error=metrics.auc_error(area, positives, quality.rows - positives),
        gauc=sums.value("gauc") if "area" in sums.sums else _NAN,
        request_gauc=sums.value("request_gauc")
        if "request_area" in sums.sums
        else _NAN,
    )


def _of_all_rows(
    rows: Rows, task: TaskSpec, column: str, quality: TaskQuality
) -> TaskQuality:
    """With what pairs of rows are needed for that no user has alone."""
    if not task.of_kind.is_probability:
        return dataclasses.replace(quality, xauc=sampled_xauc(rows, task, column))
    oracle = oracle_key(task.name)
    if oracle not in rows.columns:
        return quality
    return dataclasses.replace(quality, oracle_auc=task_sums.area(rows, task, oracle))
