"""How good is a model as served? Every task against a constant and an oracle.

The evaluation days go through the exported SavedModel's `score_examples`, so that what
is measured is what is served: trail features are missing.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import tensorflow as tf

from feature_specs import Spec, TaskSpec, label_key, mask_key
from feature_specs.registry import RoomTable
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER, slice_key
from feature_specs.task_kinds import Binary, Regression

_BATCH = 4096
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
        oracle_auc: AUC of the true probabilities, where they are known.
        rmse: Root of the mean squared error (regressions).
        constant_rmse: The same for the label mean as prediction.
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
    oracle_auc: float = _NAN
    rmse: float = _NAN
    constant_rmse: float = _NAN

    @property
    def calibration(self) -> float:
        """Mean prediction / mean label; 1 is calibrated."""
        return self.prediction_mean / self.label_mean if self.label_mean else _NAN


def score(
    spec: Spec, model_dir: str, examples_dir: str, splits: Sequence[str]
) -> pl.DataFrame:
    """Scores raw examples with an exported model.

    Returns:
        One row an impression: keys, slices, `label_<task>`, `mask_<task>`,
        `prediction_<task>` and `score`.
    """
    model = tf.saved_model.load(model_dir)
    signature = model.signatures["score_examples"]
    frames = []
    for serialized in _batches(examples_dir, splits):
        frame = _labels(spec, serialized)
        outputs = signature(examples=serialized)
        predictions = {
            "score" if name == "score" else f"prediction_{name}": values.numpy()
            for name, values in outputs.items()
        }
        frames.append(frame.with_columns(**_series(predictions)))
    return pl.concat(frames)


def measure(
    spec: Spec, predictions: pl.DataFrame, truth: pl.DataFrame | None = None
) -> list[TaskQuality]:
    """The quality of every task; `truth` has the keys and `oracle_<task>` columns."""
    if truth is not None:
        keys = [KEY_USER, KEY_ITEM, KEY_TIME]
        predictions = predictions.join(truth, on=keys, how="left")
    return [_measure_task(task, predictions) for task in spec.tasks]


def measure_slices(
    spec: Spec, predictions: pl.DataFrame
) -> dict[str, list[TaskQuality]]:
    """`column=value` of each of the spec's slices -> the quality of every task."""
    found = {}
    for column in spec.evaluation.slices:
        key = slice_key(column)
        for (value,), rows in sorted(
            predictions.partition_by(key, as_dict=True).items()
        ):
            found[f"{column}={value}"] = measure(spec, rows)
    return found


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half.

    Args:
        labels: [N] 0 or 1.
        scores: [N] float.

    Returns:
        NaN if one of the classes is missing.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return _NAN
    ranks = pl.Series(scores).rank("average").to_numpy()
    above = float(ranks[labels > 0].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def auc_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC (Hanley and McNeil, 1982, eq. 1)."""
    if not positives or not negatives:
        return _NAN
    q1 = area / (2 - area)
    q2 = 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (q1 - area**2)
        + (negatives - 1) * (q2 - area**2)
    ) / (positives * negatives)
    return math.sqrt(max(variance, 0.0))


def gauc(users: Sequence | pl.Series, labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean AUC inside each user, weighted by the user's rows; NaN if none has one."""
    frame = pl.DataFrame({"user": users, "label": labels, "score": scores})
    ranked = frame.with_columns(rank=pl.col("score").rank("average").over("user"))
    per_user = ranked.group_by("user").agg(
        rows=pl.len(),
        positives=pl.col("label").sum(),
        ranks=pl.col("rank").filter(pl.col("label") > 0).sum(),
    )
    mixed = per_user.filter(
        (pl.col("positives") > 0) & (pl.col("positives") < pl.col("rows"))
    )
    p, n = pl.col("positives"), pl.col("rows") - pl.col("positives")
    areas = mixed.select(
        area=(pl.col("ranks") - p * (p + 1) / 2) / (p * n), rows="rows"
    )
    if areas.is_empty():
        return _NAN
    return float(np.average(areas["area"].to_numpy(), weights=areas["rows"].to_numpy()))


def _measure_task(task: TaskSpec, predictions: pl.DataFrame) -> TaskQuality:
    rows = predictions.filter(pl.col(mask_key(task.name)) > 0)
    labels, values = _labels_and_predictions(task, rows)
    if not len(labels):
        return TaskQuality(task=task.name, kind=task.kind, rows=0)
    quality = TaskQuality(
        task=task.name,
        kind=task.kind,
        rows=len(labels),
        label_mean=float(labels.mean()),
        prediction_mean=float(values.mean()),
    )
    return MEASURES[task.of_kind](task, rows, quality)


# Kind of task -> its metrics: (task, its rows, quality so far) -> quality.
_Measure: TypeAlias = Callable[[TaskSpec, pl.DataFrame, TaskQuality], TaskQuality]
MEASURES: RoomTable[_Measure] = RoomTable(
    "pipeline.evaluation.quality",
    "measures tasks of",
    "@pipeline.evaluation.quality.measures",
)
measures = MEASURES.register


@measures(Regression)
def _measure_regression(
    task: TaskSpec, rows: pl.DataFrame, quality: TaskQuality
) -> TaskQuality:
    labels, values = _labels_and_predictions(task, rows)
    return dataclasses.replace(
        quality,
        rmse=float(np.sqrt(np.mean((values - labels) ** 2))),
        constant_rmse=float(labels.std()),
    )


@measures(Binary)
def _measure_binary(
    task: TaskSpec, rows: pl.DataFrame, quality: TaskQuality
) -> TaskQuality:
    labels, values = _labels_and_predictions(task, rows)
    positives = int(labels.sum())
    area = auc(labels, values)
    return dataclasses.replace(
        quality,
        positives=positives,
        auc=area,
        auc_error=auc_error(area, positives, len(labels) - positives),
        gauc=gauc(rows[KEY_USER], labels, values),
        oracle_auc=_oracle_auc(task, rows),
    )


def _labels_and_predictions(
    task: TaskSpec, rows: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    labels = rows[label_key(task.name)].to_numpy()
    return labels, rows[f"prediction_{task.name}"].to_numpy()


def _oracle_auc(task: TaskSpec, rows: pl.DataFrame) -> float:
    column = f"oracle_{task.name}"
    if column not in rows.columns:
        return _NAN
    known = rows.filter(pl.col(column).is_not_null())
    return auc(known[label_key(task.name)].to_numpy(), known[column].to_numpy())


def _batches(examples_dir: str, splits: Sequence[str]) -> Iterator[tf.Tensor]:
    for split in splits:
        pattern = os.path.join(examples_dir, f"Split-{split}", "*.gz")
        files = sorted(tf.io.gfile.glob(pattern))
        yield from tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH)


def _labels(spec: Spec, serialized: tf.Tensor) -> pl.DataFrame:
    """Keys, slices, labels and masks of serialized raw examples [B]."""
    types = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}
    names = {
        KEY_USER: types[spec.column_types[spec.log.user]],
        KEY_ITEM: types[spec.column_types[spec.log.item]],
        KEY_TIME: tf.int64,
    }
    for column in spec.evaluation.slices:
        names[slice_key(column)] = types[spec.column_types[column]]
    for task in spec.tasks:
        names[label_key(task.name)] = names[mask_key(task.name)] = tf.float32
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in names.items()}
    parsed = tf.io.parse_example(serialized, features)
    return pl.DataFrame(_series({name: parsed[name].numpy() for name in names}))


def _series(columns: dict[str, np.ndarray]) -> dict[str, pl.Series]:
    """NumPy columns as Polars ones, bytes as text."""
    return {
        name: pl.Series(
            name,
            [value.decode() for value in values] if values.dtype == object else values,
        )
        for name, values in columns.items()
    }
