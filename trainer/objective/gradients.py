"""What each leaf's loss alone would do to the shared weights.

L = leaves, V = variables. Used by GradNorm, by gradient surgery and to look inside: the
features of SFV sec. 5.3 are per-task gradients of each layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.replicas import global_sum


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


def norms(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Norm of each leaf's gradient over all variables, [L]."""
    squares = [tf.reduce_sum(tf.square(g), axis=_all_but_first(g)) for g in gradients]
    return tf.sqrt(tf.add_n(squares))


def _all_but_first(gradient: tf.Tensor) -> list[int]:
    return list(range(1, gradient.shape.rank))
