"""Experts that do not repeat each other (SFV sec. 5.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.replicas import global_sum

# A column whose standard deviation is below this share of its mean is constant: what
# is left of it after centring is float32 rounding.
_CONSTANT = 1e-5


def disentangle_loss(experts: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """sum over i < j of || rho(Z_i, Z_j) ||_F^2 (SFV sec. 5.1).

    rho is the H x H matrix of Pearson correlations, over the rows of the global batch,
    between the outputs of expert i and those of expert j of the same group. The sum is
    the paper's: it is not divided by the number of pairs or of entries, so a group's
    lies between 0 and E (E - 1) / 2 * H^2, and a useful factor shrinks as H grows.
    Constant outputs (a dead ReLU) correlate with nothing.

    Args:
        experts: [B, G, E, H], any float type; computed in float32.
        weight: float32 [B], 0 for padded rows, 1 for others.

    Returns:
        float32 scalar, the sum over groups, the same on every replica.
    """
    groups, count, width = experts.shape[1:]
    unit = _standardised(tf.cast(experts, tf.float32), weight)
    unit = tf.reshape(unit, [-1, groups, count * width])
    # rho is symmetric: holding one factor fixed leaves half of the gradient, at half
    # of its cost, so twice the loss has the right one and only its value is corrected.
    rho = global_sum(_products(tf.stop_gradient(unit), unit))  # [G, E * H, E * H]
    twice = tf.reduce_sum(tf.square(rho * _between_experts(count, width)))
    return twice - tf.stop_gradient(twice) / 2


def _products(fixed: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    if unit.shape[1] == 1:  # a plain product, without moving an axis
        rho = tf.matmul(fixed[:, 0], unit[:, 0], transpose_a=True)
        return rho[tf.newaxis]
    return tf.einsum("bgi,bgj->gij", fixed, unit)


def _between_experts(count: int, width: int) -> npt.NDArray[np.float32]:
    """[E * H, E * H]: 0 where both columns are of one expert, else 1."""
    return np.kron(1 - np.eye(count), np.ones([width, width])).astype(np.float32)


def _standardised(experts: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Columns with mean 0 and squares that sum to 1 over the global batch's rows."""
    w = weight[:, tf.newaxis, tf.newaxis, tf.newaxis]
    rows = global_sum(tf.reduce_sum(weight))
    total = global_sum(tf.reduce_sum(experts * w, axis=0))  # [G, E, H]
    mean = tf.math.divide_no_nan(total, rows)
    centred = (experts - mean) * w
    squares = global_sum(tf.reduce_sum(tf.square(centred), axis=0))  # [G, E, H]
    moves = squares > tf.square(_CONSTANT * mean) * rows
    scale = tf.where(moves, tf.math.rsqrt(tf.where(moves, squares, 1.0)), 0.0)
    return centred * scale
