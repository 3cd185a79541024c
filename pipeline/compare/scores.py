"""How good a ranker is on the evaluation days, as it would be served."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import tensorflow as tf

from feature_specs import Spec, TaskSpec, label_key, mask_key
from feature_specs.spec import KEY_USER
from pipeline.compare.metrics import metrics_of, user_feature
from pipeline.evaluation import quality as evaluation
from pipeline.reporting import metrics
from trainer.days.input import BatchReader, match_files
from trainer.days.layout import Layout
from trainer.days.loop import Day
from trainer.model.ranker import Batch, Ranker

Scores = dict[str, dict[str, float]]  # task -> metric -> value

_ROWS = 4096  # scored at once
_FIGURES = 12  # significant ones


def score(
    ranker: Ranker, spec: Spec, days: Sequence[Day], graph: str | None = None
) -> tuple[Scores, dict[str, int]]:
    """Every metric of every task, and the rows with label 1 of each binary one.

    `graph` encodes raw examples; without one they are encoded already.

    A metric that the rows do not have is NaN. GAUC goes by the id feature of the user,
    in the table's hashed form; without such a feature there is none.
    """
    return score_frame(spec, predict(ranker, spec, days, graph))


def score_frame(spec: Spec, frame: pl.DataFrame) -> tuple[Scores, dict[str, int]]:
    """The same of rows as `predict` gives them, whoever predicted."""
    qualities = evaluation.measure(spec, frame)
    scores = {
        task.name: {
            metric: _value(metric, task, frame, quality)
            for metric in metrics_of(task, spec)
        }
        for task, quality in zip(spec.tasks, qualities, strict=True)
    }
    counted = [t.name for t in spec.tasks if t.of_kind.is_probability]
    return scores, {q.task: q.positives for q in qualities if q.task in counted}


def predict(
    ranker: Ranker, spec: Spec, days: Sequence[Day], graph: str | None = None
) -> pl.DataFrame:
    """One row an impression: `key_user`, and label, mask and prediction of each task.

    The ranker gets the served features alone, so the trail's count as missing.
    """
    served = spec.served_inputs

    @tf.function(autograph=False)
    def forward(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return ranker(features)

    frames = []
    for batch in batches(spec, days, graph, evaluation=True):
        predictions = forward({name: batch.features[name] for name in served})
        frames.append(_frame(spec, batch, predictions))
    return pl.concat(frames)


def batches(
    spec: Spec, days: Sequence[Day], graph: str | None, *, evaluation: bool
) -> Iterator[Batch]:
    """All rows of days, always in one order.

    Args:
        spec: What they hold.
        days: To judge, or to train on.
        graph: See `score`.
        evaluation: Which of both, for messages.
    """
    reader = BatchReader(Layout(spec, graph), _ROWS)
    for name, patterns in days:
        files = match_files(name, patterns, evaluation=evaluation)
        yield from reader.batches(files, seed=0)


def _frame(spec: Spec, batch: Batch, predictions: dict[str, tf.Tensor]) -> pl.DataFrame:
    """The rows of a batch that are no padding."""
    real = batch.weight.numpy() > 0
    user = user_feature(spec)
    users = batch.features[user].numpy() if user else np.zeros(len(real), np.int32)
    columns = {KEY_USER: users}
    for index, task in enumerate(spec.tasks):
        columns[label_key(task.name)] = batch.labels[:, index].numpy()
        columns[mask_key(task.name)] = batch.masks[:, index].numpy()
        columns[f"prediction_{task.name}"] = predictions[task.name].numpy()
    frame = pl.DataFrame({name: values[real] for name, values in columns.items()})
    return frame.with_columns(pl.selectors.float().cast(pl.Float64))


def _value(
    metric: str, task: TaskSpec, frame: pl.DataFrame, quality: evaluation.TaskQuality
) -> float:
    value = {
        "auc": quality.auc,
        "gauc": quality.gauc,
        "log_loss": _log_loss(task, frame),
        "mse": quality.rmse**2,
        "rmse": quality.rmse,
        "r2": _explained(quality),
    }[metric]
    # GAUC's last digits follow the order of a hash table; figures are to repeat.
    return float(f"{value:.{_FIGURES}g}")


def _explained(quality: evaluation.TaskQuality) -> float:
    """R²; NaN where all labels are equal."""
    spread = quality.constant_rmse**2
    return 1 - quality.rmse**2 / spread if spread else math.nan


def _log_loss(task: TaskSpec, frame: pl.DataFrame) -> float:
    """Mean of -log(the probability of the label that came)."""
    rows = frame.filter(pl.col(mask_key(task.name)) > 0)
    if not task.of_kind.is_probability or rows.is_empty():
        return math.nan
    labels = rows[label_key(task.name)].to_numpy()
    return metrics.log_loss(labels, rows[f"prediction_{task.name}"].to_numpy())
