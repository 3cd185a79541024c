"""A history as one candidate sees it (DIN, Zhou et al., 2018)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_UNITS = 32  # of the activation unit's hidden layer; DIN has 36


class Attention(tf.keras.layers.Layer):
    """Weighs the steps of a history by what each has in common with the candidate.

    B = batch, T = steps, D = embedding width. The weight of step i is the activation
    unit's a(e_i, v), a small network on [e_i, v, e_i - v, e_i * v]. As in DIN the
    weights are not normalised: the sum tells how much of the history is alike. A row
    without a step gives zeros.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.hidden = tf.keras.layers.Dense(_UNITS, activation="relu", dtype=policy)
        self.weight = tf.keras.layers.Dense(1, dtype=policy)

    def call(self, steps: tf.Tensor, valid: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
        """steps [B, T, D], valid [B, T] bool, target [B, D] -> [B, D]."""
        target = tf.repeat(target[:, tf.newaxis], steps.shape[1], axis=1)  # [B, T, D]
        pairs = tf.concat([steps, target, steps - target, steps * target], axis=2)
        weights = tf.squeeze(self.weight(self.hidden(pairs)), axis=2)  # [B, T]
        weights *= tf.cast(valid, weights.dtype)
        return tf.einsum("bt,btd->bd", weights, tf.cast(steps, weights.dtype))
