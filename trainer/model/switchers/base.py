"""What every switcher takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from feature_specs.model import SwitcherConfig


class Gating(NamedTuple):
    """What the gates of one level are called; the static half of `Switched.gates`.

    Attributes:
        level: From 1, the lowest.
        readers: Q names: of outputs, of the experts one level up, or `shared` for a
            gate that all outputs have in common.
        experts: For each reader, the names of the experts that it weighs, in the order
            of the last axis; readers of one `Gating` weigh equally many.
    """

    level: int
    readers: tuple[str, ...]
    experts: tuple[tuple[str, ...], ...]


class Switched(NamedTuple):
    """What a switcher gives. B = batch, G = groups, K = outputs.

    Attributes:
        outputs: [B, G, K, H].
        experts: A tensor [B, G, E, H] for each level with experts or sub-networks, the
            lowest first; what the disentangle loss (SFV sec. 5.1) keeps apart.
        gates: A tensor [B, G, Q, E'] for each `Gating` of the switcher, float32.
        penalty: Scalar to add to the loss, already weighted; 0 for most.
    """

    outputs: tf.Tensor
    experts: tuple[tf.Tensor, ...] = ()
    gates: tuple[tf.Tensor, ...] = ()
    penalty: tf.Tensor | float = 0.0


class Switcher(tf.keras.layers.Layer):
    """G switchers of one kind and size side by side, each with its own weights.

    Most structures need one (G = 1); nested ones need many at a level, and one with
    twenty groups is as few products as one with a single group.

    Args:
        config: Kind and sizes.
        names: K names of the outputs: tasks, or partitions of a facet.
        groups: G.

    Attributes:
        gatings: What the tensors of `Switched.gates` hold.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.config, self.names, self.groups = config, tuple(names), groups
        self.gatings: tuple[Gating, ...] = ()

    @property
    def tasks(self) -> int:
        """K, the number of outputs."""
        return len(self.names)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        """x [B, G, D] -> `Switched`.

        Args:
            training: Whether to draw at random what the kind draws in training.
            seed: int32 [2], of those draws; the same on every replica.
        """
        raise NotImplementedError
