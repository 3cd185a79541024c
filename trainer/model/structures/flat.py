"""One switcher for all leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from feature_specs.model import ModelConfig, StructureConfig
from trainer.model import switchers
from trainer.model.structures import checks
from trainer.model.structures.base import (
    Leaf,
    PlacedGating,
    Structure,
    Structured,
    draw_seed,
    split_leaves,
    structure,
)


@structure("flat")
class Flat(Structure):
    """The preset's switcher branches to every leaf (MFH fig. 2).

    Without facets a leaf is a task (fig. 2 a). `structure.facets` split the tasks that
    `structure.split` names (fig. 2 b), or all of them (fig. 2 c).

    Args:
        config: Its `switcher` and `structure` are used.
        tasks: In the spec's order.
        facets: Facet of the spec -> names of its partitions.
    """

    def __init__(
        self,
        config: ModelConfig,
        tasks: Sequence[str],
        facets: Mapping[str, Sequence[str]],
        **kwargs: Any,
    ):
        super().__init__(_leaves(config, tasks, facets), **kwargs)
        names = [leaf.name for leaf in self.leaves]
        policy = self.dtype_policy
        self.switcher = switchers.create(config.switcher, names, dtype=policy)
        self.gatings = tuple(PlacedGating(("",), g) for g in self.switcher.gatings)

    @classmethod
    def check(cls, structure: StructureConfig, tasks: Sequence[str]) -> None:
        checks.check_flat(structure, tasks)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Structured:
        """x [B, D] -> `Structured`."""
        seed = draw_seed(seed, 0)  # the caller draws from its own, too
        switched = self.switcher(x[:, tf.newaxis], training=training, seed=seed)
        outputs = tf.squeeze(switched.outputs, axis=1)
        return Structured(outputs, *switched[1:])


def _leaves(
    config: ModelConfig, tasks: Sequence[str], facets: Mapping[str, Sequence[str]]
) -> list[Leaf]:
    structure = config.structure
    splitting = {name: facets[name] for name in facets if name in structure.facets}
    split = structure.split or tasks
    leaves = []
    for task in tasks:
        leaves += split_leaves(task, splitting if task in split else {})
    return leaves
