"""Weights that find a direction in which no task gets worse (MGDA)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.objective.gradients import recombined
from trainer.objective.weighting.base import task_weights
from trainer.objective.weighting.fixed import Fixed

# Of Frank-Wolfe, O(L^2) each: of the mean square, 17 vectors are within 1e-5 then, 64
# within 1e-4, and far closer where there are more entries than vectors.
_STEPS = 200
_LEAST_GAIN = 1e-9  # of the square that a step takes off, of which the largest is 1
_LEAST = 1e-12  # of squares, the largest of which is 1


@task_weights("mgda")
class Mgda(Fixed):
    """Pareto weights (Sener & Koltun, 2018, eq. 3 and alg. 2), found anew in each step.

    alpha minimises || sum_k alpha_k w_k g_k ||^2 over alpha_k >= 0 with sum 1, where
    g_k is the gradient of leaf k in the dense weights that leaves share, and w_k its
    scheduled weight. These weights move along sum_k alpha_k w_k g_k, which lowers every
    loss, or is 0 where none can be lowered without another one's rise; all others (a
    leaf's own, as in the paper, and tables) along the plain sum. alpha is multiplied by
    the number of leaves with a gradient, so that equal ones are the plain sum.

    A leaf with a small gradient gets a large alpha: a larger `loss_weight` gives it a
    smaller one. A leaf without a gradient, which has no rows in the batch, has no part.
    """

    def correction(
        self, gradients: Sequence[tf.Tensor], weights: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """See `TaskWeights.correction`; nothing is drawn."""

        def factors(products: tf.Tensor) -> tf.Tensor:
            return _count(products) * least_norm(products)

        return recombined(gradients, weights, factors)


def least_norm(products: tf.Tensor) -> tf.Tensor:
    """alpha of the shortest vector in the convex hull of L vectors, float32 [L].

    Frank-Wolfe with exact line search, pairwise (Lacoste-Julien & Jaggi, 2015): each
    step moves weight from one vector to another, the pair that gains most. A weight
    becomes 0 exactly, and the error falls geometrically; the paper's own steps, towards
    a corner from all others, need hundreds of times as many. With two vectors the first
    step is the closed form.

    Args:
        products: [L, L], of the vectors; vectors of length 0 have no part.

    Returns:
        At least 0, with sum 1; zeros if all vectors are 0.
    """
    leaves = products.shape[0]
    squares = tf.linalg.diag_part(products)
    products = tf.math.divide_no_nan(products, tf.reduce_max(squares))
    present = squares > 0
    scaled = tf.linalg.diag_part(products)
    apart = scaled + scaled[:, tf.newaxis] - 2 * products  # |v_i - v_j|^2
    apart = tf.maximum(apart, _LEAST)

    def move(
        step: tf.Tensor, alpha: tf.Tensor, _: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        along = tf.linalg.matvec(products, alpha)
        falls = along - along[:, tf.newaxis]  # [to, from]
        may = present[:, tf.newaxis] & (alpha > 0) & (falls > 0)
        gains = tf.where(may, tf.square(falls) / apart, 0.0)
        gains = tf.reshape(gains, [-1])
        best = tf.argmax(gains, output_type=tf.int32)
        size = tf.reshape(tf.where(may, falls / apart, 0.0), [-1])
        size = tf.minimum(tf.gather(size, best), tf.gather(alpha, best % leaves))
        to, off = (tf.one_hot(i, leaves) for i in (best // leaves, best % leaves))
        return step + 1, alpha + size * (to - off), tf.gather(gains, best)

    first = tf.cast(present, tf.float32)
    first = tf.math.divide_no_nan(first, tf.reduce_sum(first))
    _, alpha, _ = tf.while_loop(
        lambda step, _, gain: (step < _STEPS) & (gain > _LEAST_GAIN),
        move,
        (tf.constant(0), first, tf.constant(1.0)),
        maximum_iterations=_STEPS,
    )
    return alpha


def _count(products: tf.Tensor) -> tf.Tensor:
    """Vectors that are not 0."""
    return tf.reduce_sum(tf.cast(tf.linalg.diag_part(products) > 0, tf.float32))
