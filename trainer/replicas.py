"""One global batch on several replicas: sums and random draws that do not depend on how
many there are."""

from __future__ import annotations

import tensorflow as tf


def replica_count() -> int:
    """Replicas that take this step together; 1 outside a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """The sum of every replica's `value`; differentiable."""
    if replica_count() == 1:
        return value
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def global_rows(value: tf.Tensor) -> tf.Tensor:
    """Every replica's rows one after the other, [B, ...] -> [B * replicas, ...].

    Differentiable, the same on every replica, and in the order of the global batch.
    """
    replicas = replica_count()
    if replicas == 1:
        return value
    context = tf.distribute.get_replica_context()
    place = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=value.dtype)
    place = tf.reshape(place, [replicas, *[1] * value.shape.rank])
    gathered = global_sum(place * value)  # [replicas, B, ...], zeros but for its own
    return tf.reshape(gathered, [-1, *value.shape[1:]])


def uniform_rows(rows: int, columns: int, seed: tf.Tensor) -> tf.Tensor:
    """Uniform draws in [0, 1), float32 [rows, columns], for this replica's rows.

    The draws of the whole batch follow from `seed` (int32 [2]) alone, so that a run
    on eight chips, or a resumed one, drops the same rows as a run on one.
    """
    replicas = replica_count()
    # Named, as each device would choose another one.
    draws = tf.random.stateless_uniform([rows * replicas, columns], seed, alg="philox")
    if replicas == 1:
        return draws
    context = tf.distribute.get_replica_context()
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * rows
    return tf.slice(draws, [first, 0], [rows, columns])
