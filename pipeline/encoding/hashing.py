"""Ids -> rows of a table: whole numbers by arithmetic, text by FarmHash.

Arithmetic can be compiled, into a TPU's program or a request's, and does not write each
number out as text first.
"""

from __future__ import annotations

import tensorflow as tf

# The generator splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number
# generators", OOPSLA 2014, fig. 17; its constants are Stafford's "mix 13".
_GAMMA = 0x9E3779B97F4A7C15
_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31


def hash_ids(values: tf.Tensor, buckets: int) -> tf.Tensor:
    """[B] int64 or string -> [B] int64 in [1, buckets); 0 for -1 and "", the missing.

    A whole number's row is 1 + splitmix64(it) mod (buckets - 1), in unsigned 64 bits.
    """
    if values.dtype == tf.string:
        hashed = tf.strings.to_hash_bucket_fast(values, buckets - 1) + 1
        return tf.where(values == "", tf.zeros_like(hashed), hashed)
    places = tf.math.floormod(_mixed(values), tf.constant(buckets - 1, tf.uint64))
    hashed = tf.cast(places, tf.int64) + 1
    return tf.where(values == -1, tf.zeros_like(hashed), hashed)


def _mixed(values: tf.Tensor) -> tf.Tensor:
    """The first output of splitmix64 whose state is the value, [B] uint64."""
    mixed = tf.bitcast(values, tf.uint64) + tf.constant(_GAMMA, tf.uint64)
    for shift, factor in _STEPS:
        mixed = _folded(mixed, shift) * tf.constant(factor, tf.uint64)
    return _folded(mixed, _LAST_SHIFT)


def _folded(values: tf.Tensor, shift: int) -> tf.Tensor:
    moved = tf.bitwise.right_shift(values, tf.constant(shift, tf.uint64))
    return tf.bitwise.bitwise_xor(values, moved)
