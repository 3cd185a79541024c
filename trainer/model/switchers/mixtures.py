"""Mixtures of experts that all outputs share: MoE, MMoE and ML-MMoE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.model.layers import BranchedMLP, Gates, ParallelMLP, mixed
from trainer.model.switchers.base import Gating, Switched, Switcher, activated, switcher


@switcher("mmoe")
class MultiGateMixture(Switcher):
    """MMoE: each output's gate mixes all experts (PLE fig. 1; SFV fig. 1).

    y_k = sum over e of softmax(W_k x)_e * expert_e(x)
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        policy = self.dtype_policy
        self.experts = BranchedMLP(
            groups, config.experts, config.units, last=None, dtype=policy
        )
        self.gates = Gates(groups, self.tasks, config.experts, dtype=policy)
        self.gatings = (_gating(1, self.names, config.experts),)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        before = self.experts(x)  # [B, G, E, H]
        experts = activated(self.config, before)
        gates = self.gates(x)  # [B, G, K, E]
        outputs = mixed(gates, experts)
        return Switched(outputs, (experts,), (gates,), preactivations=(before,))


@switcher("moe")
class Mixture(Switcher):
    """MoE: one gate mixes the experts for all outputs (Jacobs et al., 1991).

    y_k = sum over e of softmax(W x)_e * expert_e(x), the same for every k
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        policy = self.dtype_policy
        self.experts = BranchedMLP(
            groups, config.experts, config.units, last=None, dtype=policy
        )
        self.gate = Gates(groups, 1, config.experts, dtype=policy)
        self.gatings = (_gating(1, ("shared",), config.experts),)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        before = self.experts(x)  # [B, G, E, H]
        experts = activated(self.config, before)
        gate = self.gate(x)  # [B, G, 1, E]
        outputs = tf.repeat(mixed(gate, experts), self.tasks, axis=2)
        return Switched(outputs, (experts,), (gate,), preactivations=(before,))


@switcher("ml_mmoe")
class MultiLevelMixture(Switcher):
    """ML-MMoE: levels of experts that all gates may mix (PLE sec. 5.1.2, fig. 1 h).

    The experts of level 1 read x. Each expert of a higher level reads the mix, by a
    gate of its own, of the experts below it, and each output the mix of the experts of
    the last level. All gates have the same selector: they are softmaxes of W x.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        policy, experts, units = self.dtype_policy, config.experts, config.units
        self.first = BranchedMLP(groups, experts, units, last=None, dtype=policy)
        self.others = [
            ParallelMLP(groups, experts, units, last=None, dtype=policy)
            for _ in range(config.levels - 1)
        ]
        # Every gate reads x and weighs as many experts: one product for all levels.
        self.readers = [experts] * len(self.others) + [self.tasks]
        self.gates = Gates(groups, sum(self.readers), experts, dtype=policy)
        self.gatings = tuple(self._gatings())

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        gates = tf.split(self.gates(x), self.readers, axis=2)
        before = [self.first(x)]  # [B, G, E, H]
        levels = [activated(self.config, before[0])]
        for network, gate in zip(self.others, gates, strict=False):
            before.append(network(mixed(gate, levels[-1])))
            levels.append(activated(self.config, before[-1]))
        return Switched(
            mixed(gates[-1], levels[-1]),
            tuple(levels),
            tuple(gates),
            preactivations=tuple(before),
        )

    def _gatings(self) -> list[Gating]:
        experts = self.config.experts
        between = [
            _gating(level, tuple(_labels(experts, level + 1)), experts)
            for level in range(1, self.config.levels)
        ]
        return [*between, _gating(self.config.levels, self.names, experts)]


def _gating(level: int, readers: tuple[str, ...], experts: int) -> Gating:
    labels = tuple(f"expert {e}" for e in range(experts))
    return Gating(level, readers, (labels,) * len(readers))


def _labels(experts: int, level: int) -> list[str]:
    return [f"level {level} expert {e}" for e in range(experts)]
