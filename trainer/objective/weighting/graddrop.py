"""Gradients of one sign at a time, drawn by how much of each there is (GradDrop)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.objective.weighting.base import task_weights
from trainer.objective.weighting.fixed import Fixed
from trainer.replicas import replica_count


@task_weights("graddrop")
class GradDrop(Fixed):
    """Gradient sign dropout (Chen et al., 2020, eq. 1 and alg. 1, with f(P) = P).

    Of each entry of the dense weights that leaves share, with g_k the gradient of leaf
    k's weighted loss there,

        P = (1 + sum_k g_k / sum_k |g_k|) / 2

    is the share of the positive ones. With U uniform in [0, 1) the positive g_k are
    kept where U < P, else the negative ones, and the others dropped: leaves that pull
    one way move the entry, and which way changes from step to step. The mean over draws
    is the plain sum. An entry that all leaves pull one way is left as it is.

    The paper draws for activations, multiplied by their sign and summed over the batch,
    of which the gradient of a weight is a sum already. Tables and what leaves have of
    their own move along the plain sum.
    """

    def correction(
        self, gradients: Sequence[tf.Tensor], weights: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """See `TaskWeights.correction`; one draw an entry."""
        sizes = [gradient[0].shape.num_elements() for gradient in gradients]
        draws = tf.random.stateless_uniform([sum(sizes)], seed, alg="philox")
        own = tf.split(draws, sizes)
        return [
            _dropped(gradient, weights, tf.reshape(draw, gradient.shape[1:]))
            / -replica_count()
            for gradient, draw in zip(gradients, own, strict=True)
        ]


def _dropped(gradient: tf.Tensor, weights: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """gradient [L, *shape], draws [*shape] -> the sum of what is dropped, [*shape]."""
    up = tf.tensordot(weights, tf.maximum(gradient, 0.0), 1)
    down = tf.tensordot(weights, tf.minimum(gradient, 0.0), 1)
    purity = tf.math.divide_no_nan(up, up - down)
    return tf.where(draws < purity, down, up)
