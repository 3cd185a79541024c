"""Experts of the tasks beside shared ones: CGC and PLE.

m = `task_experts`, the experts of each task; s = `experts`, the shared ones, per level.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.model.layers import BranchedMLP, Gates, mixed
from trainer.model.switchers.base import Gating, Switched, Switcher, activated, switcher

_SHARED = "shared"


@switcher("ple")
class ProgressiveLayeredExtraction(Switcher):
    """PLE: levels of task-specific and shared experts (PLE eq. 6-7, fig. 5).

    In level j, the m experts of task k read g_k, the task's fused output of level
    j - 1, and the s shared experts read the shared fused output; for level 1 both are
    x. Each task's gate, a softmax of W g_k, mixes the task's own and the shared experts
    to the next g_k. The shared gate, a softmax of W times the shared fused output,
    mixes all experts of the level to the next one; the last level has none.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        self.networks = [
            (_HigherLevel if level else _FirstLevel)(
                config,
                self.tasks,
                groups,
                last=level == config.levels - 1,
                dtype=self.dtype_policy,
            )
            for level in range(config.levels)
        ]
        self.gatings = _gatings(config, self.names)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        own, shared = x, x
        experts: list[tf.Tensor] = []
        before: list[tf.Tensor] = []
        gates: list[tf.Tensor] = []
        for network in self.networks:
            level = network(own, shared)
            experts.append(level.experts)
            before.append(level.preactivations)
            gates.append(level.gates)
            own = _mixed_by_task(level)
            if level.shared_gate is not None:
                gates.append(level.shared_gate)
                shared = mixed(level.shared_gate, level.experts)
                shared = tf.squeeze(shared, axis=2)
        return Switched(own, tuple(experts), tuple(gates), preactivations=tuple(before))


@switcher("cgc")
class CustomizedGateControl(ProgressiveLayeredExtraction):
    """CGC: each task's gate mixes its own experts and shared ones (PLE eq. 2-5).

    PLE with one level.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        one = dataclasses.replace(config, levels=1)
        super().__init__(one, names, groups, **kwargs)


class _Extracted(NamedTuple):
    """The experts and gates of one level, before they are mixed.

    Attributes:
        experts: [B, G, K m + s, H]: the tasks' own by task, then the shared ones.
        own: [B, G, K, m, H], the first of them.
        shared: [B, G, s, H], the last of them.
        gates: float32 [B, G, K, m + s], of the tasks: own experts first (PLE eq. 4).
        shared_gate: float32 [B, G, 1, K m + s]; None on the last level.
        preactivations: `experts` before their last activation.
    """

    experts: tf.Tensor
    own: tf.Tensor
    shared: tf.Tensor
    gates: tf.Tensor
    shared_gate: tf.Tensor | None
    preactivations: tf.Tensor


class _FirstLevel(tf.keras.layers.Layer):
    """The level whose experts and gates all read x: one product for all experts."""

    def __init__(
        self, config: SwitcherConfig, tasks: int, groups: int, last: bool, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.config = config
        self.sizes = (groups, tasks, config.task_experts, config.experts)
        own, shared, policy = config.task_experts, config.experts, self.dtype_policy
        total = tasks * own + shared
        self.experts = BranchedMLP(groups, total, config.units, last=None, dtype=policy)
        self.gates = Gates(groups, tasks, own + shared, dtype=policy)
        self.shared_gate = None if last else Gates(groups, 1, total, dtype=policy)

    def call(self, x: tf.Tensor, _: tf.Tensor) -> _Extracted:
        """x [B, G, D], twice -> `_Extracted`."""
        groups, tasks, m, s = self.sizes
        before = self.experts(x)
        experts = activated(self.config, before)
        own, shared = tf.split(experts, [tasks * m, s], axis=2)
        return _Extracted(
            experts,
            tf.reshape(own, [-1, groups, tasks, m, experts.shape[-1]]),
            shared,
            self.gates(x),
            self.shared_gate(x) if self.shared_gate else None,
            before,
        )


class _HigherLevel(tf.keras.layers.Layer):
    """A level whose experts and gates read what the level below has mixed for them."""

    def __init__(
        self, config: SwitcherConfig, tasks: int, groups: int, last: bool, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.config = config
        self.sizes = (groups, tasks, config.task_experts, config.experts)
        own, shared, policy = config.task_experts, config.experts, self.dtype_policy
        readers, total = groups * tasks, tasks * own + shared
        self.own = BranchedMLP(readers, own, config.units, last=None, dtype=policy)
        self.shared = BranchedMLP(groups, shared, config.units, last=None, dtype=policy)
        self.gates = Gates(readers, 1, own + shared, dtype=policy)
        self.shared_gate = None if last else Gates(groups, 1, total, dtype=policy)

    def call(self, own: tf.Tensor, shared: tf.Tensor) -> _Extracted:
        """own [B, G, K, H], shared [B, G, H] -> `_Extracted`."""
        groups, tasks, m, s = self.sizes
        reads = tf.reshape(own, [-1, groups * tasks, own.shape[-1]])
        by_reader = self.own(reads)  # [B, G * K, m, H]
        width = by_reader.shape[-1]
        by_task = tf.reshape(by_reader, [-1, groups, tasks * m, width])
        before = tf.concat([by_task, self.shared(shared)], axis=2)
        experts = activated(self.config, before)
        own_experts, shared_experts = tf.split(experts, [tasks * m, s], axis=2)
        return _Extracted(
            experts,
            tf.reshape(own_experts, [-1, groups, tasks, m, width]),
            shared_experts,
            tf.reshape(self.gates(reads), [-1, groups, tasks, m + s]),
            self.shared_gate(shared) if self.shared_gate else None,
            before,
        )


def _mixed_by_task(level: _Extracted) -> tf.Tensor:
    """Each task's gate on its own and the shared experts: [B, G, K, H]."""
    sizes = [level.own.shape[3], level.shared.shape[2]]
    own, shared = tf.split(level.gates, sizes, axis=3)
    # One product with all experts would multiply zeros: K times the work.
    own = tf.expand_dims(tf.cast(own, level.own.dtype), axis=4)
    return tf.reduce_sum(own * level.own, axis=3) + mixed(shared, level.shared)


def _gatings(config: SwitcherConfig, names: tuple[str, ...]) -> tuple[Gating, ...]:
    own = {name: _labels(name, config.task_experts) for name in names}
    shared = _labels(_SHARED, config.experts)
    everything = sum(own.values(), ()) + shared
    gatings: list[Gating] = []
    for level in range(1, config.levels + 1):
        gatings.append(Gating(level, names, tuple(own[n] + shared for n in names)))
        if level < config.levels:
            gatings.append(Gating(level, (_SHARED,), (everything,)))
    return tuple(gatings)


def _labels(owner: str, count: int) -> tuple[str, ...]:
    return tuple(f"{owner} expert {i}" for i in range(count))
