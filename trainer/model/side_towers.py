"""Shallow towers beside the network: their outputs are added to the logits."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from feature_specs import FeatureSpec, TableSpec
from trainer.model.dense_inputs import DenseInputs
from trainer.model.embeddings import FeatureEmbeddings
from trainer.model.layers import BatchedDense, BranchedMLP


class SideTowers(tf.keras.layers.Layer):
    """N towers that read some features through embeddings of their own.

    The output starts at zero. Trail towers (SFV sec. 4.2) and BiasNet's tower (MFH
    fig. 8) are such.

    Args:
        features: What they read.
        tables: The spec's tables, for the sizes of id spaces.
        towers: N.
        units: Widths of the hidden layers; none makes a tower linear.
        dim: Width of a feature's embedding.
        shared: Whether all towers read the same embeddings, or each its own.
        sparse_gradients: See `FeatureEmbeddings`.
    """

    def __init__(
        self,
        features: Sequence[FeatureSpec],
        tables: dict[str, TableSpec],
        *,
        towers: int,
        units: Sequence[int],
        dim: int,
        shared: bool = True,
        sparse_gradients: bool = True,
        name: str = "side_towers",
    ):
        super().__init__(name=name)
        self.features = tuple(features)
        self.towers, self._dim, self._shared = towers, dim, shared
        self.embeddings = FeatureEmbeddings(
            features,
            tables,
            width=dim if shared else dim * towers,
            sparse_gradients=sparse_gradients,
            name=f"{name}_embeddings",
        )
        self.dense_inputs = DenseInputs(features, name=f"{name}_numbers")
        groups, branches = (1, towers) if shared else (towers, 1)
        self.hidden = BranchedMLP(groups, branches, units)
        self.output_layer = BatchedDense(towers, 1, use_bias=False, zero=True)

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Transformed features, [B] or [B, length] each -> [B, N] float32."""
        embedded = self.embeddings(inputs, self.features)
        plain = self.dense_inputs(inputs, self.features)[:, tf.newaxis]  # [B, 1, W]
        if self._shared:
            x = tf.concat([embedded[:, tf.newaxis], plain], axis=2)  # [B, 1, D]
        else:
            plain = tf.repeat(plain, self.towers, axis=1)
            x = tf.concat([self._apart(embedded), plain], axis=2)  # [B, N, D]
        hidden = self.hidden(x)
        hidden = tf.reshape(hidden, [-1, self.towers, hidden.shape[-1]])
        return tf.squeeze(self.output_layer(hidden), axis=2)

    def _apart(self, embedded: tf.Tensor) -> tf.Tensor:
        """A tower's columns of each feature: [B, F * N * dim] -> [B, N, F * dim]."""
        count = embedded.shape[1] // (self.towers * self._dim)
        pieces = tf.reshape(embedded, [-1, count, self.towers, self._dim])
        moved = tf.transpose(pieces, [0, 2, 1, 3])
        return tf.reshape(moved, [-1, self.towers, count * self._dim])
