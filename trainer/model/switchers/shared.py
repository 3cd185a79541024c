"""Bottoms without gates: one for all outputs, one for each, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.errors import ModelError
from trainer.model.layers import BatchedMLP, BranchedMLP
from trainer.model.switchers.base import Switched, Switcher, switcher


@switcher("shared_bottom")
class SharedBottom(Switcher):
    """Hard parameter sharing: all outputs read one bottom (PLE fig. 1 a).

    Without `units` they read the input itself.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        self.shared = BatchedMLP(groups, config.units, dtype=self.dtype_policy)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        shared = tf.expand_dims(self.shared(x), axis=2)  # [B, G, 1, H]
        return Switched(tf.repeat(shared, self.tasks, axis=2))


@switcher("customized")
class CustomizedSharing(Switcher):
    """Customized sharing: [shared bottom, own bottom] (PLE fig. 1 c, sec. 3.2).

    An output is twice as wide as a bottom. Without `units` both bottoms are the input.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        # The first branch is the shared bottom; all of them are one product.
        self.bottoms = BranchedMLP(
            groups, 1 + self.tasks, config.units, dtype=self.dtype_policy
        )

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        shared, own = tf.split(self.bottoms(x), [1, self.tasks], axis=2)
        shared = tf.repeat(shared, self.tasks, axis=2)
        return Switched(tf.concat([shared, own], axis=3))  # [B, G, K, 2 H]


@switcher("asymmetric")
class AsymmetricSharing(Switcher):
    """Asymmetric sharing: outputs read chosen others' bottoms (PLE fig. 1 b, sec. 3.2).

    Every output has a bottom. Output k reads its own and those of `reads[k]`, by
    default that of the output before it; the first one reads only its own. `fusion`
    joins them:

    - `concat`: own bottom first, then the others in the order of `reads`, then zeros
      for an output that reads fewer than the one that reads most.
    - `sum`, `mean`: over the bottoms that the output reads.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(config, names, groups, **kwargs)
        self.bottoms = BranchedMLP(
            groups, self.tasks, config.units, dtype=self.dtype_policy
        )
        self.sources, self.shares = self._sources()

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Switched:
        bottoms = self.bottoms(x)  # [B, G, K, H]
        reads = tf.gather(bottoms, self.sources, axis=2)  # [B, G, K, R, H]
        reads *= tf.constant(self.shares, reads.dtype)
        if self.config.fusion != "concat":
            return Switched(tf.reduce_sum(reads, axis=3))
        width = self.sources.shape[1] * bottoms.shape[-1]
        return Switched(tf.reshape(reads, [-1, self.groups, self.tasks, width]))

    def _sources(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Bottoms that each output reads [K, R], and their shares [K, R, 1].

        R is the most that one reads; a place left over has share 0.
        """
        self._check_reads()
        places = [self._places(k) for k in range(self.tasks)]
        most = max(len(place) for place in places)
        sources = np.zeros([self.tasks, most], np.int32)
        shares = np.zeros([self.tasks, most, 1], np.float32)
        for k, place in enumerate(places):
            sources[k, : len(place)] = place
            mean = self.config.fusion == "mean"
            shares[k, : len(place)] = 1 / len(place) if mean else 1
        return sources, shares

    def _places(self, k: int) -> list[int]:
        """Indices of the bottoms that output k reads, its own first."""
        before = self.names[max(k - 1, 0) : k]
        reads = self.config.reads.get(self.names[k], before)
        return [k, *(self.names.index(name) for name in reads)]

    def _check_reads(self) -> None:
        known = ", ".join(self.names)
        for name, reads in self.config.reads.items():
            path = f"switcher.reads.{name}"
            if name not in self.names:
                raise ModelError(f"{path}: is not an output. The outputs are: {known}.")
            for read in reads:
                if read not in self.names or read == name or reads.count(read) > 1:
                    raise ModelError(
                        f"{path}: must name other outputs, each once, got "
                        f"{list(reads)}. Its own bottom it reads anyway. The outputs "
                        f"are: {known}."
                    )
