"""Sub-networks whose connections are learned and may vanish: SNR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.model.layers import BranchedMLP, ParallelMLP, grouped_product
from trainer.model.switchers.base import Switched, Switcher, activated, switcher

# The hard concrete distribution of Louizos et al. (2018, sec. 4.1): temperature, and
# the ends to which a concrete variable is stretched before it is cut to [0, 1].
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
_EDGE = 1e-6  # keeps uniform draws off 0 and 1, whose logits are infinite
_ALGORITHM = "philox"  # named: by default XLA takes another one and draws differently


@switcher("snr")
class SubNetworkRouting(Switcher):
    """SNR-Trans: levels of sub-networks, routed by learned switches (Ma et al., 2019).

    The sub-networks of level 1 are MLPs of `units` that read x. Sub-network i of a
    higher level is one that reads v_i = sum over j of z_ij W_ij u_j, u_j the outputs
    of the level below; output k is sum over j of z_kj W_kj u_j over the last level.
    W_ij is a square matrix without bias, z_ij a number in [0, 1], one for all rows.

    z is hard concrete: with s = sigmoid((logit(u) + log_alpha) / beta) for a uniform u
    it is clip(s (zeta - gamma) + gamma, 0, 1); beta 2/3, gamma -0.1, zeta 1.1. Every
    training step draws it anew; otherwise it is
    clip(sigmoid(log_alpha) (zeta - gamma) + gamma, 0, 1). log_alpha starts at 0: z is
    0.5 then, and above 0 in 83 % of the draws.

    The penalty is the expected number of connections that are not 0, the sum of
    sigmoid(log_alpha - beta log(-gamma / zeta)), times `penalty`.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        policy, count = self.dtype_policy, config.experts
        self.first = BranchedMLP(groups, count, config.units, last=None, dtype=policy)
        self.others = [
            ParallelMLP(groups, count, config.units, last=None, dtype=policy)
            for _ in range(config.levels - 1)
        ]
        targets = [count] * len(self.others) + [self.tasks]
        self.routes = [Routes(groups, count, t, dtype=policy) for t in targets]

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        if training and seed is None:
            raise ValueError("Switcher snr: call it with a seed to train, got None.")
        before = [self.first(x)]  # [B, G, E, H]
        levels = [activated(self.config, before[0])]
        routed = self._routed(0, levels[0], training, seed)
        for i, network in enumerate(self.others, start=1):
            before.append(network(routed))
            levels.append(activated(self.config, before[-1]))
            routed = self._routed(i, levels[-1], training, seed)
        return Switched(
            routed,
            tuple(levels),
            penalty=self._penalty(),
            preactivations=tuple(before),
        )

    def _routed(
        self, level: int, u: tf.Tensor, training: bool, seed: tf.Tensor | None
    ) -> tf.Tensor:
        """What the next level reads, or the outputs, from u [B, G, E, H]."""
        if not training:
            return self.routes[level](u)
        draw = tf.random.experimental.stateless_fold_in(seed, level, _ALGORITHM)
        return self.routes[level](u, draw)

    def _penalty(self) -> tf.Tensor | float:
        if not self.config.penalty:
            return 0.0
        return self.config.penalty * tf.add_n([r.expected_l0() for r in self.routes])


class Routes(tf.keras.layers.Layer):
    """All connections between two levels: [B, G, J, H] -> [B, G, I, H].

    Args:
        groups: G.
        sources: J.
        targets: I.

    Attributes:
        log_alpha: float32 [G, J, 1, I, 1].
        kernel: [G, J, H, I, H], W_ij transposed.
    """

    def __init__(self, groups: int, sources: int, targets: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.groups, self.sources, self.targets = groups, sources, targets

    def build(self, shape: tf.TensorShape) -> None:
        width = shape[-1]
        # Glorot's range of the whole sum over j.
        limit = math.sqrt(6 / ((self.sources + 1) * width))
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.groups, self.sources, width, self.targets, width),
            initializer=tf.keras.initializers.RandomUniform(-limit, limit),
        )
        self.log_alpha = self.add_weight(
            name="log_alpha",
            shape=(self.groups, self.sources, 1, self.targets, 1),
            initializer="zeros",
            experimental_autocast=False,
        )
        super().build(shape)

    def call(self, u: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """u [B, G, J, H] -> [B, G, I, H]; z is drawn from `seed` if there is one."""
        width = u.shape[-1]
        z = tf.cast(hard_concrete(self.log_alpha, seed), u.dtype)
        routed = tf.reshape(
            z * self.kernel,  # smaller than the rows that it routes
            [self.groups, self.sources * width, self.targets * width],
        )
        rows = tf.reshape(u, [-1, self.groups, self.sources * width])
        y = grouped_product(rows, routed)
        return tf.reshape(y, [-1, self.groups, self.targets, width])

    def expected_l0(self) -> tf.Tensor:
        """Expected number of connections that are not 0, float32."""
        shifted = self.log_alpha - BETA * math.log(-GAMMA / ZETA)
        return tf.reduce_sum(tf.sigmoid(shifted))


def hard_concrete(log_alpha: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """z of the shape of `log_alpha`: drawn from `seed`, or by its rule without one."""
    logits = tf.convert_to_tensor(log_alpha)
    if seed is not None:
        u = tf.random.stateless_uniform(
            logits.shape, seed, _EDGE, 1 - _EDGE, alg=_ALGORITHM
        )
        logits = (logits + tf.math.log(u) - tf.math.log1p(-u)) / BETA
    stretched = tf.sigmoid(logits) * (ZETA - GAMMA) + GAMMA
    return tf.clip_by_value(stretched, 0.0, 1.0)
