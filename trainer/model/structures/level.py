"""One level of a nested structure: its nodes, their switchers and what they give."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.errors import ModelError
from trainer.model import switchers
from trainer.model.layers import BatchedMLP
from trainer.model.structures.base import PlacedGating, Structured, collect, draw_seed
from trainer.model.structures.bundles import bundles, put_back, take
from trainer.model.structures.plan import Level


class LevelLayer(tf.keras.layers.Layer):
    """The MLPs of a level's nodes and a switcher or more on each.

    B = batch, n = nodes of the level, n' = nodes above it, or leaves. A node above is
    reached from several nodes whose codes its own contains; it reads a linear
    combination of what they hand up (MFH eq. 5), with weights of its own, at the
    start equal and 1 in sum.

    Args:
        plan: Nodes and switchers.
        config: Of the switchers.
        units: Code of a node -> widths of its MLP.
        key: Of the switchers in the preset, for errors.

    Attributes:
        gatings: What the gates hold, in their order.
        mix: [paths, n'], the weights of the linear combination, by the order of
            `plan.forks` and their blocks; None where every node above has one path.
    """

    def __init__(
        self,
        plan: Level,
        config: SwitcherConfig,
        units: Mapping[str, tuple[int, ...]],
        key: str,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.plan, self._key = plan, key
        self.nodes = NodeStacks([units[code] for code in plan.codes], dtype=policy)
        starts = _starts([len(block.codes) for block in plan.blocks])
        self.forks = [
            NodeSwitchers(
                _with_own_reads(config, fork.names),
                fork.names,
                plan.codes,
                [n for b in fork.blocks for n in range(starts[b], starts[b + 1])],
                self.nodes.places,
                key,
                dtype=policy,
            )
            for fork in plan.forks
        ]
        self.gatings = tuple(g for fork in self.forks for g in fork.gatings)
        self._paths = [_paths(plan, facets) for facets in plan.above]
        self.mix = self._add_mix()

    def _add_mix(self) -> tf.Variable | None:
        paths = len(self._paths[0])
        if paths == 1:
            return None
        above = sum(_count(self.plan, facets) for facets in self.plan.above)
        return self.add_weight(
            name="mix",
            shape=(paths, above),
            initializer=tf.constant_initializer(1 / paths),
        )

    def call(
        self, x: tf.Tensor, training: bool = False, seed: tf.Tensor | None = None
    ) -> Structured:
        """x [B, n, W] -> `Structured`, with outputs [B, n', H]."""
        parts = self.nodes(x)
        forked = [
            fork(parts, training=training, seed=draw_seed(seed, index))
            for index, fork in enumerate(self.forks)
        ]
        check_width(self._key, [f.outputs for f in forked])
        by_block = [
            tf.split(f.outputs, self._block_sizes(index), axis=1)
            for index, f in enumerate(forked)
        ]
        paths = [
            _joined([self._arranged(by_block, own[path]) for own in self._paths])
            for path in range(len(self._paths[0]))
        ]
        return Structured(self._combined(paths), *collect(forked))

    def _block_sizes(self, fork: int) -> list[int]:
        plan = self.plan
        return [len(plan.blocks[b].codes) for b in plan.forks[fork].blocks]

    def _arranged(self, by_block: list[list[tf.Tensor]], path: _Path) -> tf.Tensor:
        """What one block's switchers give, in the order of the nodes above.

        [B, n of the block, K, H] -> [B, n of the block above, H].
        """
        x, plan = by_block[path.fork][path.member], self.plan
        width = x.shape[-1]
        if path.order != tuple(range(len(path.order))):
            sizes = [plan.sizes[facet] for facet in path.facets]
            axes = [1 + axis for axis in path.order]
            x = tf.reshape(x, [-1, *sizes, width])
            x = tf.transpose(x, [0, *axes, len(axes) + 1])
        return tf.reshape(x, [-1, _count(plan, path.facets), width])

    def _combined(self, paths: list[tf.Tensor]) -> tf.Tensor:
        if self.mix is None:
            return paths[0]
        weighted = [
            path * self.mix[index, :, tf.newaxis] for index, path in enumerate(paths)
        ]
        return tf.add_n(weighted)


class NodeStacks(tf.keras.layers.Layer):
    """An MLP a node, those of equal widths in one batch of products.

    Args:
        units: Widths of each node's MLP; none passes the node's input on.

    Attributes:
        bundles: Positions of the nodes of each of `stacks`.
        places: Positions of the nodes of each output.
    """

    def __init__(self, units: Sequence[tuple[int, ...]], **kwargs: Any):
        super().__init__(**kwargs)
        self.bundles = bundles(units)
        self.stacks = [
            BatchedMLP(len(nodes), units[nodes[0]], dtype=self.dtype_policy)
            for nodes in self.bundles
        ]
        self._joined = bundles(units[nodes[0]][-1:] for nodes in self.bundles)
        self.places = tuple(
            tuple(node for b in joined for node in self.bundles[b])
            for joined in self._joined
        )

    def call(self, x: tf.Tensor) -> list[tf.Tensor]:
        """x [B, n, W] -> one [B, nodes, H] for each width H."""
        outputs = [
            stack(take(x, nodes))
            for stack, nodes in zip(self.stacks, self.bundles, strict=True)
        ]
        return [_joined([outputs[b] for b in joined]) for joined in self._joined]


class NodeSwitchers(tf.keras.layers.Layer):
    """A switcher on each of some nodes, all with the same names of outputs.

    Args:
        config: Kind and sizes.
        names: K outputs.
        codes: Those of all nodes of the level.
        chosen: Positions of the nodes that get a switcher.
        places: `NodeStacks.places` of the level.
        key: Of the switchers in the preset, for errors.

    Attributes:
        nodes: Positions of the nodes below each of `switchers`.
        gatings: What the gates hold, in their order.
    """

    def __init__(
        self,
        config: SwitcherConfig,
        names: Sequence[str],
        codes: Sequence[str],
        chosen: Sequence[int],
        places: Sequence[Sequence[int]],
        key: str,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._key = key
        reading = [tuple(n for n in nodes if n in chosen) for nodes in places]
        self._parts = [index for index, nodes in enumerate(reading) if nodes]
        self.nodes = [nodes for nodes in reading if nodes]
        self._inputs = [
            [places[part].index(node) for node in nodes]
            for part, nodes in zip(self._parts, self.nodes, strict=True)
        ]
        self._outputs = [[chosen.index(n) for n in nodes] for nodes in self.nodes]
        self.switchers = [
            switchers.create(config, names, len(nodes), dtype=self.dtype_policy)
            for nodes in self.nodes
        ]
        self.gatings = tuple(
            PlacedGating(tuple(codes[node] for node in nodes), gating)
            for switcher, nodes in zip(self.switchers, self.nodes, strict=True)
            for gating in switcher.gatings
        )

    def call(
        self,
        parts: Sequence[tf.Tensor],
        training: bool = False,
        seed: tf.Tensor | None = None,
    ) -> Structured:
        """`NodeStacks`' outputs -> `Structured`, with outputs [B, chosen, K, H]."""
        switched = [
            switcher(
                take(parts[part], inputs),
                training=training,
                seed=draw_seed(seed, index),
            )
            for index, (switcher, part, inputs) in enumerate(
                zip(self.switchers, self._parts, self._inputs, strict=True)
            )
        ]
        check_width(self._key, [s.outputs for s in switched])
        outputs = put_back([s.outputs for s in switched], self._outputs)
        return Structured(outputs, *collect(switched))


def check_width(key: str, outputs: Sequence[tf.Tensor]) -> None:
    """Outputs of a level's switchers meet in sums: they must be equally wide."""
    widths = sorted({x.shape[-1] for x in outputs})
    if len(widths) > 1:
        raise ModelError(
            f"{key}: all switchers of a level must give outputs of one width. Got "
            f"widths {widths}. Give them units, or the level's nodes the same last "
            "width in structure.nodes."
        )


class _Path(NamedTuple):
    """Where a block of nodes above reads.

    Attributes:
        fork: Position of the switchers.
        member: Position of the block below among the fork's blocks.
        facets: The block's and the fork's, as the outputs are ordered.
        order: Position in `facets` of each facet of the block above.
    """

    fork: int
    member: int
    facets: tuple[str, ...]
    order: tuple[int, ...]


def _paths(plan: Level, above: tuple[str, ...]) -> list[_Path]:
    """All paths to the nodes whose codes name the facets `above`."""
    paths = []
    for index, fork in enumerate(plan.forks):
        for member, block in enumerate(fork.blocks):
            facets = plan.blocks[block].facets + fork.facets
            if set(facets) == set(above):
                order = tuple(facets.index(facet) for facet in above)
                paths.append(_Path(index, member, facets, order))
    return paths


def _with_own_reads(config: SwitcherConfig, names: Sequence[str]) -> SwitcherConfig:
    """Without what `asymmetric` outputs of the level's other switchers read."""
    own = {name: reads for name, reads in config.reads.items() if name in names}
    return dataclasses.replace(config, reads=own)


def _count(plan: Level, facets: Sequence[str]) -> int:
    return math.prod(plan.sizes[facet] for facet in facets)


def _starts(sizes: Sequence[int]) -> list[int]:
    """Position of the first node of each block, and the number of all."""
    return [sum(sizes[:index]) for index in range(len(sizes) + 1)]


def _joined(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(list(parts), axis=1)
