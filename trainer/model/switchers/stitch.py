"""A network for each output, stitched together at each level; no gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.model.layers import BatchedMLP, BranchedMLP, by_group
from trainer.model.switchers.base import Switched, Switcher, switcher


@switcher("cross_stitch")
class CrossStitch(Switcher):
    """Cross-stitch network (Misra et al., 2016, eq. 1; PLE fig. 1 f).

    In each level output k has layers of its own, h_k; what goes to its next level, or
    out, is sum over j of alpha_kj * h_j. Each level has its own learned alpha [K, K],
    which starts at `stitch` on the diagonal; the rest of 1 is shared out evenly. Mixing
    all with all is K^2 products of an output's width: small beside the layers until K
    nears their widths.
    """

    parts = 1  # of each output's layer, which alpha mixes one by one

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        policy = self.dtype_policy
        self.first = BranchedMLP(groups, self.tasks, config.units, dtype=policy)
        self.others = [
            BatchedMLP(
                groups * self.tasks, config.units, group_major=True, dtype=policy
            )
            for _ in range(config.levels - 1)
        ]

    def build(self, shape: tf.TensorShape) -> None:
        mixed = self.tasks * self.parts
        start = _alpha(mixed, self.config.stitch)
        self.alpha = self.add_weight(
            name="alpha",
            shape=(self.config.levels, self.groups, mixed, mixed),
            initializer=lambda shape, dtype: tf.broadcast_to(
                tf.cast(start, dtype), shape
            ),
        )
        super().build(shape)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        return Switched(self._by_row(self._levels(x)[-1]))

    def _levels(self, x: tf.Tensor) -> list[tf.Tensor]:
        """What each level hands on, [G * K, B, H]: networks first, as its products."""
        y = self.first(x)  # [B, G, K, H]
        y = tf.reshape(y, [-1, self.groups * self.tasks, y.shape[-1]])
        stitched = [self._stitched(by_group(y), 0)]
        for level, network in enumerate(self.others, start=1):
            stitched.append(self._stitched(network(stitched[-1]), level))
        return stitched

    def _stitched(self, y: tf.Tensor, level: int) -> tf.Tensor:
        """Mixes all parts of all outputs: [G * K, B, H] -> [G * K, B, H]."""
        networks, _, width = y.shape
        if self.parts > 1:
            y = tf.reshape(y, [networks, -1, self.parts, width // self.parts])
            y = tf.transpose(y, [0, 2, 1, 3])  # [G * K, S, B, H / S]
        y = tf.reshape(y, [self.groups, self.tasks * self.parts, -1])
        y = tf.matmul(self.alpha[level], y)  # one product for all rows
        if self.parts > 1:
            y = tf.reshape(y, [networks, self.parts, -1, width // self.parts])
            y = tf.transpose(y, [0, 2, 1, 3])
        return tf.reshape(y, [networks, -1, width])

    def _by_row(self, y: tf.Tensor) -> tf.Tensor:
        """[G * K, B, H] -> [B, G, K, H]."""
        return tf.reshape(by_group(y), [-1, self.groups, self.tasks, y.shape[-1]])


@switcher("sluice")
class Sluice(CrossStitch):
    """Sluice network (Ruder et al., 2017, sec. 2; PLE fig. 1 g).

    A cross-stitch network whose alpha [K S, K S] mixes the S = `subspaces` parts of all
    outputs' layers, part by part. Output k is sum over levels l of beta_kl times what
    level l hands on for it; the learned beta starts at 1 / levels.

    The penalty keeps the parts of one layer apart. With W_s the columns of the layer's
    kernel that make part s, it is the sum over outputs, levels and pairs s < s' of
    ||W_s^T W_s'||_F^2, of each level's last layer, times `penalty`.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        self.parts = config.subspaces

    def build(self, shape: tf.TensorShape) -> None:
        levels = self.config.levels
        self.beta = self.add_weight(
            name="beta",
            shape=(levels, self.groups * self.tasks, 1, 1),
            initializer=tf.keras.initializers.Constant(1 / levels),
        )
        super().build(shape)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        weighted = [self.beta[i] * y for i, y in enumerate(self._levels(x))]
        return Switched(self._by_row(tf.add_n(weighted)), penalty=self._penalty())

    def _penalty(self) -> tf.Tensor | float:
        if not self.config.penalty or self.parts == 1:
            return 0.0
        kernels = [self.first.last_kernel, *(n.last_kernel for n in self.others)]
        overlaps = [_overlap(kernel, self.parts) for kernel in kernels]
        return self.config.penalty * tf.add_n(overlaps)


def _alpha(mixed: int, stitch: float) -> npt.NDArray[np.float32]:
    """[mixed, mixed]: `stitch` on the diagonal, rows that sum to 1."""
    if mixed == 1:
        return np.ones([1, 1], np.float32)
    own = np.eye(mixed, dtype=np.float32)
    return own * stitch + (1 - own) * (1 - stitch) / (mixed - 1)


def _overlap(kernel: tf.Tensor, parts: int) -> tf.Tensor:
    """kernel [N, I, H] -> float32 sum of ||W_s^T W_s'||_F^2 over N and s < s'."""
    kernel = tf.cast(kernel, tf.float32)
    products = tf.matmul(kernel, kernel, transpose_a=True)  # [N, H, H]
    width = kernel.shape[-1] // parts
    apart = np.kron(1 - np.eye(parts), np.ones([width, width])).astype(np.float32)
    return tf.reduce_sum(tf.square(products) * apart) / 2  # each pair is there twice
