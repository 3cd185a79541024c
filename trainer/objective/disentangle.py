"""Experts that do not repeat each other (SFV sec. 5.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.replicas import global_sum

# A column whose standard deviation is below this share of its mean is constant: what
# is left of it after centring is float32 rounding.
_CONSTANT = 1e-5


def disentangle_loss(
    experts: tf.Tensor, weight: tf.Tensor, pairs: npt.NDArray[np.float32]
) -> tf.Tensor:
    """mean over pairs i < j of || rho(Z_i, Z_j) ||_F^2 / H (SFV sec. 5.1).

    rho is the H x H matrix of Pearson correlations, over the rows of the global batch,
    between the units of expert i and those of expert j of the same group. So it is the
    share of a unit's variance that each unit of another expert has, too, summed over
    these and meant over everything else. Of experts whose own units do not correlate it
    is the R^2 of one expert's units given another expert, 1 for two that span the same;
    the most is H. A factor then means as much whatever the number of experts, groups
    and units. Constant units correlate with nothing.

    Z are the units before their activation. A ReLU that is hardly ever on correlates
    with nothing either, so that experts kept apart after it fall silent instead.

    Args:
        experts: [B, G, E, H], any float type; computed in float32.
        weight: float32 [B], 0 for padded rows, 1 for others.
        pairs: [G, E, E], symmetric, 1 for experts that are to be kept apart, 0 for
            others and on the diagonal; `all_pairs` keeps all apart.

    Returns:
        float32 scalar, the mean over groups, too, the same on every replica; 0 without
        a pair.
    """
    groups, count, width = experts.shape[1:]
    kept = float(pairs.sum()) / 2
    if not kept:
        return tf.zeros([])
    unit = _standardised(tf.cast(experts, tf.float32), weight)
    unit = tf.reshape(unit, [-1, groups, count * width])
    # rho is symmetric: holding one factor fixed leaves half of the gradient, at half
    # of its cost, so twice the loss has the right one and only its value is corrected.
    rho = global_sum(_products(tf.stop_gradient(unit), unit))  # [G, E * H, E * H]
    entries = np.kron(pairs, np.ones([width, width], np.float32))  # [G, E * H, E * H]
    twice = tf.reduce_sum(tf.square(rho * entries))
    twice /= kept * width
    return twice - tf.stop_gradient(twice) / 2


def _products(fixed: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    if unit.shape[1] == 1:  # a plain product, without moving an axis
        rho = tf.matmul(fixed[:, 0], unit[:, 0], transpose_a=True)
        return rho[tf.newaxis]
    return tf.einsum("bgi,bgj->gij", fixed, unit)


def all_pairs(groups: int, count: int) -> npt.NDArray[np.float32]:
    """[G, E, E]: 1 but on the diagonal."""
    return np.repeat(1 - np.eye(count, dtype=np.float32)[np.newaxis], groups, axis=0)


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
