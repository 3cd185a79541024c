"""The fused score: score = prod_t p_t^w_t * f(video length) (PLE eq. 1).

Computed as exp(sum_t w_t log p_t + w log f), so that no product of small probabilities
underflows on the way. The score itself is float32: below some 1e-38 it is 0, and above
3e38 infinite.
"""

from __future__ import annotations

import tensorflow as tf

from feature_specs import Spec
from feature_specs.spec import LengthSpec

SMALLEST = 1e-6  # predictions and f(length) below it count as it: log 0 has no value


def default_weights(spec: Spec) -> tf.Tensor:
    """The spec's exponents, [K] float32 in the order of its tasks."""
    weights = [spec.fusion.weights.get(task.name, 0.0) for task in spec.tasks]
    return tf.constant(weights, tf.float32)


def fused_score(
    spec: Spec,
    predictions: dict[str, tf.Tensor],
    length: tf.Tensor | None = None,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """One score a row, higher is better.

    B = rows, K = tasks.

    Args:
        spec: Tasks, in the order of `weights`, and the defaults.
        predictions: Task -> [B] float32; what is below `SMALLEST` counts as that.
        length: Raw values of `fusion.length.feature`, [B] or [1]; None without one.
        weights: Exponents of this request, [K]; NaN stands for the spec's.

    Returns:
        [B] float32.
    """
    defaults = default_weights(spec)
    if weights is None:
        weights = defaults
    weights = tf.where(tf.math.is_nan(weights), defaults, weights)
    columns = tf.stack([predictions[task.name] for task in spec.tasks], axis=1)
    log_score = tf.linalg.matvec(_safe_log(columns), weights)  # [B]
    if spec.fusion.length is not None and length is not None:
        log_score += spec.fusion.length.weight * _log_length(spec.fusion.length, length)
    return tf.exp(log_score)


def _log_length(length_spec: LengthSpec, length: tf.Tensor) -> tf.Tensor:
    """log f(length) [B]; an unknown length neither helps nor harms: f = 1."""
    if length_spec.transform == "sigmoid":
        log_f = tf.maximum(tf.math.log_sigmoid(length), tf.math.log(SMALLEST))
    else:
        log_f = _safe_log(tf.math.log1p(tf.maximum(length, 0.0)))
    return tf.where(tf.math.is_nan(length), 0.0, log_f)


def _safe_log(values: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(values, SMALLEST))
