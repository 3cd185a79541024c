"""Gradients of tasks that pull against each other, bent apart (PCGrad)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.objective.gradients import recombined


def correction(
    gradients: Sequence[tf.Tensor], weights: tf.Tensor, seed: tf.Tensor
) -> list[tf.Tensor]:
    """What to add to the gradient of the weighted sum of the leaves' losses.

    PCGrad (Yu et al., 2020, alg. 1): with g_i the gradient of leaf i's weighted loss,
    each starts as itself, and for all other j in random order

        if g_i . g_j < 0:  g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j

    where g_j is the one at the start. The result is the sum of all; it comes as the
    difference to the plain sum, which one ordinary backward pass gives along with the
    gradient of all else in the loss.

    All steps stay in the span of the gradients, so they are taken on L coefficients a
    leaf and the products g_i . g_j, and the gradients are read twice, whatever L is.

    Args:
        gradients: V of [L, *shape], over the global batch and of the unweighted losses,
            of the variables that leaves share: see `task_gradients`, and `recombined`
            for their entries.
        weights: [L], the factor of each loss.
        seed: int32 [2], of the random orders; the same on every replica.

    Returns:
        V of [*shape]; on several replicas this replica's share.
    """

    def factors(products: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(_mixed(products, _orders(products.shape[0], seed)), axis=0)

    return recombined(gradients, weights, factors)


def after(
    weights: tf.Tensor, gradients: Sequence[tf.Tensor | None]
) -> list[tf.Tensor | None]:
    """The gradients, to be had only once the weights [L] are read.

    Weights that are learned are updated by these gradients. TensorFlow orders a reading
    before the update, but its graph optimizer drops that order where, as here, no data
    flows from one to the other: some steps were bent by the weights of the next one.
    """
    with tf.control_dependencies([weights]):
        return [None if g is None else tf.identity(g) for g in gradients]


def _orders(leaves: int, seed: tf.Tensor) -> tf.Tensor:
    """[L, L] int32: each row a random order of all leaves."""
    return tf.argsort(
        tf.random.stateless_uniform([leaves, leaves], seed, alg="philox"), axis=1
    )


def _mixed(products: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """How much of every gradient is in each projected one, [L, L]."""
    leaves = products.shape[0]
    squares = tf.linalg.diag_part(products)
    no_other = 1 - tf.eye(leaves)

    def project(place: tf.Tensor, mixed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Every leaf at once, each against its own next one."""
        against = tf.gather(orders, place, axis=1)  # [L]
        along = tf.reduce_sum(mixed * tf.gather(products, against), axis=1)
        share = tf.math.divide_no_nan(
            tf.minimum(along, 0.0), tf.gather(squares, against)
        )
        removed = share[:, tf.newaxis] * tf.one_hot(against, leaves) * no_other
        return place + 1, mixed - removed

    _, mixed = tf.while_loop(
        lambda place, _: place < leaves,
        project,
        (tf.constant(0), tf.eye(leaves)),
        maximum_iterations=leaves,
    )
    return mixed
