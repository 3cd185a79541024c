"""Progressive validation: every day is predicted before it is trained on, so that its
metrics are those that the model would have had online."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import Spec, TaskSpec
from feature_specs.spec import KEY_REQUEST
from pipeline.reporting import metrics
from pipeline.reporting.files import plain
from trainer.days.divergence import DivergedError
from trainer.days.training import Training
from trainer.model.ranker import Batch


class Validator:
    """Predicts rows as served: averaged weights, trail features missing.

    Args:
        training: Whose ranker is judged.
        rows: Of each day; those of whole batches, the first in a fixed order.
    """

    def __init__(self, training: Training, rows: int):
        self._training = training
        self._batches = -(-rows // training.reader.batch_size)
        self._judge = _traced(training)

    def validate(self, files: Sequence[str]) -> dict[str, Any]:
        """Metrics of a day's rows.

        Returns:
            `rows`; by task `loss` (a mean over its sample space); of binary tasks
            `auc`, `calibration` (sum of predictions over sum of labels), `log_loss` and
            `positives`; of regressions `r2`. None where the rows do not have it, as AUC
            where a class has no row.

        Raises:
            DivergedError: A prediction is no number; the message names the task.
            MetricError: A binary task's label is neither 0 nor 1.
        """
        with self._training.average.applied():
            batches = self._training.sample(files, self._batches)
            found = [self._judge(batch) for batch in batches]
        if not found:
            return {}
        return _metrics(
            self._training.spec, *map(np.concatenate, zip(*found, strict=True))
        )


def _traced(training: Training) -> Callable[[Batch], list[npt.NDArray[Any]]]:
    """A batch -> arrays of all replicas: see `judged`."""
    strategy, ranker = training.strategy, training.ranker
    spec = ranker.spec
    # Losses of pairs ask for the request, too.
    names = [*spec.served_inputs, *([KEY_REQUEST] if spec.keeps_requests else [])]

    def judged(batch: Batch) -> list[tf.Tensor]:
        """Losses [1, T], then predictions, labels and masks, each [B, T]."""
        batch = training.of_static_shape(batch)
        served = {name: batch.features[name] for name in names}
        features = ranker.with_vectors(served)  # once, for losses and predictions
        losses = ranker.task_losses(batch._replace(features=features)).tasks
        columns = ranker(features)
        predictions = tf.stack([columns[task.name] for task in ranker.spec.tasks], 1)
        return [losses[tf.newaxis], predictions, batch.labels, batch.masks]

    @tf.function(autograph=False)
    def run(batch: Batch) -> Any:
        return strategy.run(judged, (batch,))

    def call(batch: Batch) -> list[npt.NDArray[Any]]:
        losses, *rows = (strategy.gather(v, axis=0).numpy() for v in run(batch))
        masks = rows[-1]
        # Replicas have shares of the mean over the batch; a day's mean is over rows.
        sums = losses.sum(axis=0) * masks.sum(axis=0)
        return [sums[np.newaxis], *rows]

    return call


def _metrics(
    spec: Spec,
    losses: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    masks: npt.NDArray[Any],
) -> dict[str, Any]:
    """Of sums of losses [batches, T] and of rows [N, T], padded ones included."""
    means = losses.sum(axis=0, dtype=np.float64) / np.maximum(masks.sum(axis=0), 1)
    found: dict[str, Any] = {
        "rows": int((masks.max(axis=1) > 0).sum()),
        "loss": {t.name: float(m) for t, m in zip(spec.tasks, means, strict=True)},
        **{name: {} for name in ("auc", "calibration", "log_loss", "positives", "r2")},
    }
    for column, task in enumerate(spec.tasks):
        own = masks[:, column] > 0
        truth, scores = labels[own, column], predictions[own, column]
        for name, value in _judge(task, truth, scores).items():
            found[name][task.name] = plain(value)
    return found


def _judge(
    task: TaskSpec, labels: npt.NDArray[Any], scores: npt.NDArray[Any]
) -> dict[str, float]:
    """What a task's rows [N] say."""
    try:
        if not task.of_kind.is_probability:
            return {"r2": metrics.explained(labels, scores)}
        return {
            "auc": metrics.auc(labels, scores),
            "calibration": metrics.calibration(labels, scores),
            "log_loss": metrics.log_loss(labels, scores),
            "positives": int((labels > 0).sum()),
        }
    except metrics.NotFiniteError as error:
        raise DivergedError(
            f"Task {task.name!r}, judged before the day is trained on: {error} Look "
            "for absurd numbers in the day's rows, lower the learning rates of the "
            "preset, or set optimizer.clip_norm; the same command then goes on from "
            "the checkpoint before."
        ) from error
