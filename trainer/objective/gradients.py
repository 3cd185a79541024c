"""What each leaf's loss alone would do to the shared weights.

L = leaves, V = variables. Used by weightings that read gradients, and to look inside:
the features of SFV sec. 5.3 are per-task gradients of each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from trainer.replicas import global_sum, replica_count


def task_gradients(
    tape: tf.GradientTape, losses: tf.Tensor, variables: Sequence[tf.Variable]
) -> list[tf.Tensor]:
    """The gradient of each leaf's loss over the global batch: V of [L, *shape].

    It costs one backward pass a leaf. They run one after the other in a loop, each with
    products of the whole batch: all at once (pfor) took 1.1 to 1.6 times the processor
    time with 17 leaves, up to twice as long to trace, and L times the memory.

    Args:
        tape: Persistent, if another gradient is taken from it; has seen `losses`.
        losses: [L], this replica's shares.
        variables: Dense ones; zeros for one that no loss reaches.
    """
    shares = tape.jacobian(
        losses,
        list(variables),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
        experimental_use_pfor=tf.executing_eagerly(),  # which knows no other way
    )
    return [global_sum(share) for share in shares]


def gram(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Products of the leaves' gradients over all variables, [L, L]."""
    flat = [tf.reshape(g, [g.shape[0], -1]) for g in gradients]
    return tf.add_n([tf.matmul(f, f, transpose_b=True) for f in flat])


def recombined(
    gradients: Sequence[tf.Tensor],
    weights: tf.Tensor,
    factors: Callable[[tf.Tensor], tf.Tensor],
) -> list[tf.Tensor]:
    """sum_k c_k w_k g_k less the plain sum_k w_k g_k, in the entries that leaves share.

    An entry that one leaf alone moves (its gate, its own expert) is not shared: it has
    no part in the products, and its difference is 0.

    Args:
        gradients: V of [L, *shape], g, over the global batch and of unweighted losses.
        weights: [L], w, the factor of each loss.
        factors: From the products of the w_k g_k, [L, L], to c, [L].

    Returns:
        V of [*shape]; on several replicas this replica's share.
    """
    shared = [_shared(gradient) for gradient in gradients]
    products = gram([g * s for g, s in zip(gradients, shared, strict=True)])
    products *= weights[:, tf.newaxis] * weights
    change = (factors(products) - 1) * weights / replica_count()
    return [
        tf.tensordot(change, gradient, 1) * own
        for gradient, own in zip(gradients, shared, strict=True)
    ]


def _shared(gradient: tf.Tensor) -> tf.Tensor:
    """[*shape], 1 where at least two leaves have a gradient, else 0."""
    leaves = tf.math.count_nonzero(gradient, axis=0, dtype=tf.int32)
    return tf.cast(leaves >= 2, gradient.dtype)


def norms(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Norm of each leaf's gradient over all variables, [L]."""
    squares = [tf.reduce_sum(tf.square(g), axis=_all_but_first(g)) for g in gradients]
    return tf.sqrt(tf.add_n(squares))


def _all_but_first(gradient: tf.Tensor) -> list[int]:
    return list(range(1, gradient.shape.rank))
