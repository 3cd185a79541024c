"""Dense layers for many small networks at once, each layer one product."""

from __future__ import annotations

import math
from collections.abc import Sequence

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf


class BatchedDense(tf.keras.layers.Layer):
    """G dense layers of one shape, computed as one product.

    B = batch, G = groups (experts or tasks), I = input width, U = `units`. Every group
    has its own kernel and bias. Input [B, I] is read by all groups; [B, G, I] gives
    each its own.

    Args:
        groups: G.
        units: U.
        activation: Of the output; none by default.
        use_bias: Whether a bias is added.
        zero: Whether the kernel starts at zero, so that the untrained output is the
            bias. By default it starts uniform in Glorot's range of one group.
    """

    def __init__(
        self,
        groups: int,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        zero: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.groups, self.units = groups, units
        self.activation = tf.keras.activations.get(activation)
        self.use_bias, self.zero = use_bias, zero

    def build(self, shape: tf.TensorShape) -> None:
        width = shape[-1]
        limit = 0.0 if self.zero else math.sqrt(6 / (width + self.units))
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.groups, width, self.units),
            initializer=tf.keras.initializers.RandomUniform(-limit, limit),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.groups, self.units), initializer="zeros"
            )
        super().build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, I] or [B, G, I] -> [B, G, U]."""
        y = self._product(x)
        return self.activation(y + self.bias if self.use_bias else y)

    def _product(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank == 2:
            return tf.einsum("bi,giu->bgu", x, self.kernel)
        if self.units == 1:  # G dot products: the batched product is slower by far
            row = tf.squeeze(self.kernel, axis=2)  # [G, I]
            return tf.reduce_sum(x * row, axis=2, keepdims=True)
        return tf.einsum("bgi,giu->bgu", x, self.kernel)


class BatchedMLP(tf.keras.layers.Layer):
    """G stacks of ReLU layers: [B, I] or [B, G, I] -> [B, G, units[-1]].

    Without units every group passes its input on.
    """

    def __init__(self, groups: int, units: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.groups = groups
        self.stack = [
            BatchedDense(groups, width, activation="relu", dtype=self.dtype_policy)
            for width in units
        ]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self.stack:
            x = layer(x)
        if x.shape.rank == 2:
            x = tf.repeat(x[:, tf.newaxis], self.groups, axis=1)
        return x


class Gates(tf.keras.layers.Layer):
    """One softmax gate a task: w_k(x) = softmax(W_k x), without bias (PLE eq. 3)."""

    def __init__(self, tasks: int, experts: int, **kwargs):
        super().__init__(**kwargs)
        self.scores = BatchedDense(
            tasks, experts, use_bias=False, dtype=self.dtype_policy
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, I] -> [B, K, E], float32; each task's weights sum to 1."""
        return tf.nn.softmax(tf.cast(self.scores(x), tf.float32), axis=-1)
