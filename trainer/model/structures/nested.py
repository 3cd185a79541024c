"""Trees of switchers, one or many (MFH sec. IV)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from feature_specs.model import TASK_FACET, ModelConfig, StructureConfig
from trainer.model.structures import checks, plan
from trainer.model.structures.base import (
    Leaf,
    Structure,
    Structured,
    collect,
    draw_seed,
    split_leaves,
    structure,
)
from trainer.model.structures.level import LevelLayer


class Nested(Structure):
    """Levels of nodes and switchers, the leaves on top.

    Args:
        config: Its `structure` is used.
        leaves: L leaves.
        levels: Nodes and switchers of each level, from the input.
    """

    def __init__(
        self,
        config: StructureConfig,
        leaves: Sequence[Leaf],
        levels: Sequence[plan.Level],
        **kwargs: Any,
    ):
        super().__init__(leaves, **kwargs)
        checks.check_nodes(config, [code for level in levels for code in level.codes])
        forks = [fork for level in levels for fork in level.forks]
        checks.check_reads(config, [name for fork in forks for name in fork.names])
        self.levels = [
            _level(config, index, level, self.dtype_policy)
            for index, level in enumerate(levels)
        ]
        self.gatings = tuple(g for level in self.levels for g in level.gatings)

    @classmethod
    def check(cls, structure: StructureConfig, tasks: Sequence[str]) -> None:
        checks.check_nested(structure)

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Structured:
        """x [B, D] -> `Structured`."""
        x, found = x[:, tf.newaxis], []
        for index, level in enumerate(self.levels):
            found.append(level(x, training=training, seed=draw_seed(seed, index)))
            x = found[-1].outputs
        return Structured(x, *collect(found))


@structure("hierarchical")
class Hierarchical(Nested):
    """H-MTL: a tree that divides by one facet after the other (MFH eq. 4, fig. 3).

    Level 0's switcher branches to the partitions of the first facet. Each has an MLP
    and a switcher to the second facet's, and so on; the last ones lead to the towers.

    Args:
        config: Its `structure` is used; its facets divide in their order.
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
        used = plan.ordered_facets(config.structure, tasks, facets)
        leaves, order = _leaves(tasks, facets, used)
        levels = plan.tree(used, order)
        super().__init__(config.structure, leaves, levels, **kwargs)

    @classmethod
    def check(cls, structure: StructureConfig, tasks: Sequence[str]) -> None:
        super().check(structure, tasks)
        checks.check_no_depth(structure)


@structure("multi_facet")
class MultiFacet(Nested):
    """MFH: the trees of all orders of the facets, nested (MFH eq. 5, fig. 4 to 6).

    Level 0's switcher branches to N facets, level 1's to each facet's partitions.
    From there a node stands for a combination of partitions of different facets, its
    code. It has a switcher for each facet that its code leaves out, and one node stands
    for a code, whatever the order in which its partitions came. Codes grow to `depth`
    partitions; then switchers lead to all leaves that the code is part of.

    Args:
        config: Its `structure` is used.
        tasks: In the spec's order; they are the partitions of facet `task`.
        facets: Facet of the spec -> names of its partitions.
    """

    def __init__(
        self,
        config: ModelConfig,
        tasks: Sequence[str],
        facets: Mapping[str, Sequence[str]],
        **kwargs: Any,
    ):
        structure = config.structure
        used = plan.ordered_facets(structure, tasks, facets)
        checks.check_depth(structure, len(used))
        leaves, order = _leaves(tasks, facets, used)
        depth = structure.depth or len(used) - 1
        levels = plan.nested_trees(used, order, depth)
        super().__init__(structure, leaves, levels, **kwargs)


def _leaves(
    tasks: Sequence[str], facets: plan.Facets, used: Collection[str]
) -> tuple[list[Leaf], tuple[str, ...]]:
    """All leaves, and the facets in the order that sorts them."""
    splitting = {name: facets[name] for name in facets if name in used}
    leaves = [leaf for task in tasks for leaf in split_leaves(task, splitting)]
    return leaves, (TASK_FACET, *splitting)


def _level(
    config: StructureConfig, index: int, level: plan.Level, dtype: Any
) -> LevelLayer:
    """The input's node has no MLP; the last of the preset's switchers stands for all
    above."""
    switcher = min(index, len(config.levels) - 1)
    units = {code: config.nodes.get(code, config.node) for code in level.codes}
    if not index:
        units = dict.fromkeys(level.codes, ())
    key = f"structure.levels[{switcher}]"
    return LevelLayer(level, config.levels[switcher], units, key, dtype=dtype)
