"""Sharing structures: one input, K outputs (the switchers of MFH fig. 1).

A switcher is a layer that turns x [B, D] into `Switched`: outputs [B, K, H], one row a
task, and the experts [B, E, H] that they were mixed from. `create` picks the one that a
preset names. How switchers are nested is the macro structure's affair; the ranker uses
one of them, `flat`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.layers import BatchedMLP, Gates


class Switched(NamedTuple):
    """What a switcher gives.

    Attributes:
        outputs: [B, K, H], one representation a task.
        expert_outputs: [B, E, H], for the disentangle loss; None without experts.
    """

    outputs: tf.Tensor
    expert_outputs: tf.Tensor | None


class Switcher(tf.keras.layers.Layer):
    """The interface: `call(x [B, D], training) -> Switched`."""

    def __init__(self, config: SwitcherConfig, tasks: int, **kwargs):
        super().__init__(**kwargs)
        self.config, self.tasks = config, tasks

    def call(self, x: tf.Tensor, training: bool = False) -> Switched:
        raise NotImplementedError


class SharedBottom(Switcher):
    """Hard parameter sharing: all tasks read one output (PLE fig. 1 a)."""

    def __init__(self, config: SwitcherConfig, tasks: int, **kwargs):
        super().__init__(config, tasks, **kwargs)
        self.shared = BatchedMLP(1, config.units, dtype=self.dtype_policy)

    def call(self, x: tf.Tensor, training: bool = False) -> Switched:
        return Switched(tf.repeat(self.shared(x), self.tasks, axis=1), None)


class MultiGateMixture(Switcher):
    """MMoE: each task's gate mixes all experts (PLE fig. 1; SFV fig. 1).

    y_k = sum over e of softmax(W_k x)_e * expert_e(x)
    """

    def __init__(self, config: SwitcherConfig, tasks: int, **kwargs):
        super().__init__(config, tasks, **kwargs)
        policy = self.dtype_policy
        self.experts = BatchedMLP(config.experts, config.units, dtype=policy)
        self.gates = Gates(tasks, config.experts, dtype=policy)

    def call(self, x: tf.Tensor, training: bool = False) -> Switched:
        experts = self.experts(x)  # [B, E, H]
        gates = tf.cast(self.gates(x), experts.dtype)  # [B, K, E]
        return Switched(tf.einsum("bke,beh->bkh", gates, experts), experts)


_SWITCHERS: dict[str, Callable[..., Switcher]] = {
    "shared_bottom": SharedBottom,
    "mmoe": MultiGateMixture,
}


def create(config: SwitcherConfig, tasks: int, **kwargs) -> Switcher:
    """The switcher that a preset names, for `tasks` outputs."""
    return _SWITCHERS[config.kind](config, tasks, **kwargs)
