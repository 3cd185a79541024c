"""How good is a model as served? Every task against a constant and an oracle.

The evaluation days go through the exported SavedModel's `score_examples`, so that what
is measured is what is served: trail features are missing.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import tensorflow as tf

from feature_specs import Spec, TaskSpec, label_key, mask_key
from feature_specs.places import as_glob
from feature_specs.registry import RoomTable
from feature_specs.spec import (
    KEY_ITEM,
    KEY_REQUEST,
    KEY_TIME,
    KEY_USER,
    NO_REQUEST,
    slice_key,
)
from feature_specs.task_kinds import Binary, Regression
from pipeline.reporting import metrics
from serving.manifest import damaged_file
from serving.servable import LoadError, named
from trainer.days.input import match_files
from trainer.days.shards import check_whole

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
        request_gauc: The same of requests; NaN where the spec has none (`log.request`).
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
    request_gauc: float = _NAN
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
    model, signature = _load(model_dir)
    frames = []
    for serialized in _batches(examples_dir, splits):
        frame = labels_of(spec, serialized)
        outputs = signature(examples=serialized)
        predictions = {
            "score" if name == "score" else f"prediction_{name}": values.numpy()
            for name, values in outputs.items()
        }
        frames.append(frame.with_columns(**_series(predictions)))
    del model  # the signature's variables live as long as it does
    return pl.concat(frames)


def _load(model_dir: str) -> tuple[Any, Any]:
    """An exported model, and its signature for examples."""
    remedy = "Bring it back from a copy, or run the pipeline into a new directory."
    if damage := damaged_file(model_dir):
        raise LoadError(f"{model_dir}: {damage}. {remedy}")
    try:
        model = tf.saved_model.load(model_dir)
        return model, model.signatures["score_examples"]
    except Exception as error:  # a broken graph raises KeyError, TypeError, ...
        raise LoadError(
            f"{model_dir}: cannot be loaded: {named(error)}. {remedy}"
        ) from error


def measure(
    spec: Spec, predictions: pl.DataFrame, truth: pl.DataFrame | None = None
) -> list[TaskQuality]:
    """The quality of every task.

    Args:
        spec: What the rows are of.
        predictions: See `score`.
        truth: The keys and an `oracle_<task>` for each task that has one.

    Raises:
        MetricError: A prediction or a label is no number, or the label of a binary task
            neither 0 nor 1; the message names the task.
    """
    if truth is not None:
        keys = [KEY_USER, KEY_ITEM, KEY_TIME]
        predictions = predictions.join(truth, on=keys, how="left")
    return [_measure_by_name(task, predictions) for task in spec.tasks]


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


def _measure_by_name(task: TaskSpec, predictions: pl.DataFrame) -> TaskQuality:
    try:
        return _measure_task(task, predictions)
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


def _measure_task(task: TaskSpec, predictions: pl.DataFrame) -> TaskQuality:
    rows = predictions.filter(pl.col(mask_key(task.name)) > 0)
    labels, values = _labels_and_predictions(task, rows)
    if not len(labels):
        return TaskQuality(task=task.name, kind=task.kind, rows=0)
    metrics.require_finite("predictions", values)
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
        rmse=metrics.rmse(labels, values),
        constant_rmse=float(labels.std()),
    )


@measures(Binary)
def _measure_binary(
    task: TaskSpec, rows: pl.DataFrame, quality: TaskQuality
) -> TaskQuality:
    labels, values = _labels_and_predictions(task, rows)
    positives = int(labels.sum())
    area = metrics.auc(labels, values)
    return dataclasses.replace(
        quality,
        positives=positives,
        auc=area,
        auc_error=metrics.auc_error(area, positives, len(labels) - positives),
        gauc=metrics.gauc(rows[KEY_USER], labels, values),
        request_gauc=_request_gauc(rows, labels, values),
        oracle_auc=_oracle_auc(task, rows),
    )


def _request_gauc(rows: pl.DataFrame, labels: np.ndarray, values: np.ndarray) -> float:
    """GAUC by request, without the rows of none."""
    if KEY_REQUEST not in rows.columns:
        return _NAN
    known = (rows[KEY_REQUEST] != NO_REQUEST).to_numpy()
    return metrics.gauc(
        rows[KEY_REQUEST].filter(pl.Series(known)), labels[known], values[known]
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
    return metrics.auc(known[label_key(task.name)], known[column])


def _batches(examples_dir: str, splits: Sequence[str]) -> Iterator[tf.Tensor]:
    for split in splits:
        pattern = os.path.join(as_glob(examples_dir), f"Split-{split}", "*.gz")
        files = match_files(split, [pattern])
        check_whole(files)
        yield from tf.data.TFRecordDataset(files, "GZIP").batch(_BATCH)


def labels_of(spec: Spec, serialized: tf.Tensor) -> pl.DataFrame:
    """Keys, slices, labels and masks of serialized raw examples [B]."""
    types = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}
    names = {
        KEY_USER: types[spec.column_types[spec.log.user]],
        KEY_ITEM: types[spec.column_types[spec.log.item]],
        KEY_TIME: tf.int64,
    }
    if spec.log.request:
        names[KEY_REQUEST] = tf.int64
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
