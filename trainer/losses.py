"""Each task's loss, all tasks at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.replicas import global_sum

_HUBER_DELTA = 1.0  # labels come on a scale of about 1


def task_losses(
    tasks: Sequence[TaskSpec], logits: tf.Tensor, labels: tf.Tensor, masks: tf.Tensor
) -> tf.Tensor:
    """Mean loss of each task over the rows of its sample space (PLE eq. 9).

    Cross-entropy for a binary task; squared error or Huber's loss for a regression.
    A task without a row in the batch has loss 0 and no gradient.

    Args:
        tasks: K tasks, in the order of the columns.
        logits: float32 [B, K]; a regression's logit is its prediction.
        labels: float32 [B, K].
        masks: float32 [B, K], 1 in the sample space, 0 outside and in padded rows.

    Returns:
        float32 [K], before `loss_weight`. With several replicas it is this replica's
        share; their sum is the mean over the global batch.
    """
    rows = global_sum(tf.reduce_sum(masks, axis=0))
    total = tf.reduce_sum(_row_losses(tasks, logits, labels) * masks, axis=0)
    return tf.math.divide_no_nan(total, rows)


def loss_weights(tasks: Sequence[TaskSpec]) -> np.ndarray:
    """float32 [K], the factor of each task's loss (SFV sec. 5.2)."""
    return np.array([task.loss_weight for task in tasks], np.float32)


def _row_losses(
    tasks: Sequence[TaskSpec], logits: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    """[B, K]. All three are computed for all columns, which is cheaper than splitting
    14 columns; each is finite for every finite logit, so the unused add no NaN."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    error = logits - labels
    squared = tf.square(error)
    clipped = tf.clip_by_value(error, -_HUBER_DELTA, _HUBER_DELTA)
    huber = clipped * (error - 0.5 * clipped)
    binary = np.array([task.kind == "binary" for task in tasks])
    robust = np.array([task.loss == "huber" for task in tasks])
    return tf.where(binary, cross_entropy, tf.where(robust, huber, squared))
