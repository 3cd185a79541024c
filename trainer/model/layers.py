"""Dense layers for many small networks at once, each layer one product.

B = batch, G = groups: networks of one shape, each with its own input and weights.
Groups lie next to each other in one tensor, so that twenty experts or towers are one
product and not twenty. Such a product wants the groups first, [G, B, I]; layers that
are `group_major` take and give that order, which spares moving axes between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def by_group(x: tf.Tensor) -> tf.Tensor:
    """[B, G, I] -> [G, B, I], and back."""
    return tf.transpose(x, [1, 0, 2])


def grouped_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x [B, G, I], kernel [G, I, U] -> [B, G, U]; every group has its own matrix."""
    if kernel.shape[0] == 1:  # a plain product, without moving an axis
        product = tf.matmul(tf.squeeze(x, axis=1), tf.squeeze(kernel, axis=0))
        return tf.expand_dims(product, axis=1)
    return by_group(tf.matmul(by_group(x), kernel))


def mixed(gates: tf.Tensor, experts: tf.Tensor) -> tf.Tensor:
    """gates [B, G, Q, E], experts [B, G, E, H] -> [B, G, Q, H], as the experts' type.

    Row q is the sum over e of gates_qe * experts_e.
    """
    return tf.matmul(tf.cast(gates, experts.dtype), experts)


class BatchedDense(tf.keras.layers.Layer):
    """G dense layers of one shape: [B, G, I] -> [B, G, units].

    Args:
        groups: G.
        units: Output width of each.
        activation: Of the output; none by default.
        use_bias: Whether a bias is added.
        zero: Whether the kernel starts at zero, so that the untrained output is the
            bias. By default it starts uniform in Glorot's range of one network.
        group_major: Whether input and output are [G, B, .] instead.
    """

    def __init__(
        self,
        groups: int,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        zero: bool = False,
        group_major: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.groups, self.units = groups, units
        self.activation = tf.keras.activations.get(activation)
        self.use_bias, self.zero = use_bias, zero
        self.group_major = group_major

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
        """x [B, G, I] -> [B, G, units], or [G, B, I] -> [G, B, units]."""
        y = self._product(x)
        if self.use_bias:
            y += tf.expand_dims(self.bias, axis=1) if self.group_major else self.bias
        return self.activation(y)

    def _product(self, x: tf.Tensor) -> tf.Tensor:
        if self.group_major:
            return tf.matmul(x, self.kernel)
        if self.groups > 1 and self.units == 1:  # G dot products: faster than a product
            row = tf.squeeze(self.kernel, axis=2)  # [G, I]
            return tf.reduce_sum(x * row, axis=2, keepdims=True)
        return grouped_product(x, self.kernel)


class Branches(tf.keras.layers.Layer):
    """Several dense layers on each of G inputs: [B, G, I] -> [B, G, branches, units].

    One product a group, whatever the number of branches.

    Args:
        groups: G.
        branches: Dense layers that read the same input.
        units: Output width of each.
        activation: Of the output; none by default.
        use_bias: Whether a bias is added.
    """

    def __init__(
        self,
        groups: int,
        branches: int,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.groups, self.branches, self.units = groups, branches, units
        self.activation = tf.keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, shape: tf.TensorShape) -> None:
        width = shape[-1]
        limit = math.sqrt(6 / (width + self.units))  # Glorot's range of one branch
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.groups, width, self.branches * self.units),
            initializer=tf.keras.initializers.RandomUniform(-limit, limit),
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.groups, self.branches * self.units),
                initializer="zeros",
            )
        super().build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, G, I] -> [B, G, branches, units]."""
        y = grouped_product(x, self.kernel)
        y = self.activation(y + self.bias if self.use_bias else y)
        return tf.reshape(y, [-1, self.groups, self.branches, self.units])


class BatchedMLP(tf.keras.layers.Layer):
    """G stacks of ReLU layers: [B, G, I] -> [B, G, units[-1]].

    Without units every group passes its input on.

    Args:
        groups: G.
        units: Widths of the layers of each.
        group_major: Whether input and output are [G, B, .] instead.
        last: Activation of the last layer; None leaves it linear.
    """

    def __init__(
        self,
        groups: int,
        units: Sequence[int],
        *,
        group_major: bool = False,
        last: str | None = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.groups = groups
        # Axes are moved around the whole stack, not around each layer.
        self.moves = groups > 1 and len(units) > 0 and not group_major
        self.stack = [
            BatchedDense(
                groups,
                width,
                activation=activation,
                group_major=group_major or self.moves,
                dtype=self.dtype_policy,
            )
            for width, activation in zip(units, _activations(units, last), strict=True)
        ]

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = by_group(x) if self.moves else x
        for layer in self.stack:
            x = layer(x)
        return by_group(x) if self.moves else x

    @property
    def last_kernel(self) -> tf.Tensor:
        """[G, I, units[-1]], of the last layer."""
        return self.stack[-1].kernel


class BranchedMLP(tf.keras.layers.Layer):
    """Stacks of ReLU layers, several on each input: experts, or the tasks' bottoms.

    [B, G, I] -> [B, G, branches, units[-1]]. Without units every branch passes the
    group's input on.

    Args:
        groups: G.
        branches: Stacks on each input.
        units: Widths of the layers of each.
        last: Activation of the last layer; None leaves it linear.
    """

    def __init__(
        self,
        groups: int,
        branches: int,
        units: Sequence[int],
        *,
        last: str | None = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.groups, self.branches = groups, branches
        first, others, policy = units[:1], units[1:], self.dtype_policy
        activations = _activations(units, last)
        self.first = [
            Branches(groups, branches, width, activation=activation, dtype=policy)
            for width, activation in zip(first, activations, strict=False)
        ]
        self.others = BatchedMLP(groups * branches, others, last=last, dtype=policy)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if not self.first:
            return tf.repeat(tf.expand_dims(x, axis=2), self.branches, axis=2)
        y = self.first[0](x)
        width = y.shape[-1]
        y = self.others(tf.reshape(y, [-1, self.groups * self.branches, width]))
        return tf.reshape(y, [-1, self.groups, self.branches, y.shape[-1]])

    @property
    def last_kernel(self) -> tf.Tensor:
        """[G * branches, I, units[-1]], of the last layer."""
        if self.others.stack:
            return self.others.last_kernel
        kernel = self.first[0].kernel  # [G, I, branches * units[0]]
        width = kernel.shape[1]
        kernel = tf.reshape(kernel, [self.groups, width, self.branches, -1])
        return tf.reshape(
            tf.transpose(kernel, [0, 2, 1, 3]),
            [self.groups * self.branches, width, -1],
        )


class ParallelMLP(tf.keras.layers.Layer):
    """Stacks of ReLU layers, each with an input of its own: experts above others.

    [B, G, branches, I] -> [B, G, branches, units[-1]]. The arguments are those of
    `BranchedMLP`.
    """

    def __init__(
        self,
        groups: int,
        branches: int,
        units: Sequence[int],
        *,
        last: str | None = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.groups, self.branches = groups, branches
        self.networks = BatchedMLP(
            groups * branches, units, last=last, dtype=self.dtype_policy
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        y = tf.reshape(x, [-1, self.groups * self.branches, x.shape[-1]])
        y = self.networks(y)
        return tf.reshape(y, [-1, self.groups, self.branches, y.shape[-1]])


class Gates(tf.keras.layers.Layer):
    """Softmax gates: w_k(x) = softmax(W_k x), without bias (PLE eq. 3).

    Args:
        groups: G.
        readers: Gates on each input: the tasks, mostly.
        experts: Weights of each.
    """

    def __init__(self, groups: int, readers: int, experts: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.scores = Branches(
            groups, readers, experts, use_bias=False, dtype=self.dtype_policy
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, G, I] -> [B, G, readers, experts], float32; each sums to 1."""
        return tf.nn.softmax(tf.cast(self.scores(x), tf.float32), axis=-1)


def _activations(units: Sequence[int], last: str | None) -> list[str | None]:
    """Of each layer of a stack: ReLU but for the last."""
    return ["relu"] * (len(units) - 1) + [last] * (len(units) > 0)
