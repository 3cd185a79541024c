"""Which nodes a nested structure has and which switchers join them, without tensors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feature_specs.model import TASK_FACET, StructureConfig

Facets = Mapping[str, Sequence[str]]  # facet -> partitions

_ROOT = ("",)  # the code of the input
_FACETS = "&"  # stands for a facet whose partitions are the facets themselves


class Block(NamedTuple):
    """Nodes whose codes name partitions of the same facets, all of them.

    Attributes:
        facets: Those facets.
        codes: A code for each combination of partitions, the last facet's the fastest.
    """

    facets: tuple[str, ...]
    codes: tuple[str, ...]


class Fork(NamedTuple):
    """Switchers with the same outputs, one on each node of some blocks.

    Attributes:
        blocks: Positions of these blocks in the level.
        facets: The outputs are the combinations of these facets' partitions.
        names: Those of the outputs.
    """

    blocks: tuple[int, ...]
    facets: tuple[str, ...]
    names: tuple[str, ...]


class Level(NamedTuple):
    """Nodes, the switchers on them, and what these lead to.

    Attributes:
        blocks: The nodes.
        forks: Their switchers.
        above: Facets of each block of the next level, or of the leaves.
        sizes: Facet -> number of its partitions.
    """

    blocks: tuple[Block, ...]
    forks: tuple[Fork, ...]
    above: tuple[tuple[str, ...], ...]
    sizes: dict[str, int]

    @property
    def codes(self) -> tuple[str, ...]:
        """Of all nodes, in the order of the blocks."""
        return tuple(code for block in self.blocks for code in block.codes)


def ordered_facets(
    structure: StructureConfig, tasks: Sequence[str], facets: Facets
) -> dict[str, tuple[str, ...]]:
    """The structure's facets with their partitions, the tasks' own among them."""
    names = structure.facets
    if TASK_FACET not in names:
        names = (*names, TASK_FACET)
    return {n: tuple(tasks if n == TASK_FACET else facets[n]) for n in names}


def tree(used: Facets, leaf_facets: tuple[str, ...]) -> list[Level]:
    """H-MTL's levels: one facet after the other (MFH fig. 3).

    Args:
        used: Facets in the order in which they divide.
        leaf_facets: The same facets, in the order that sorts the leaves.
    """
    order = tuple(used)
    levels = []
    for depth, facet in enumerate(order):
        fork = Fork((0,), (facet,), tuple(used[facet]))
        last = depth == len(order) - 1
        above = leaf_facets if last else order[: depth + 1]
        block = _block(order[:depth], used)
        levels.append(Level((block,), (fork,), (above,), _sizes(used)))
    return levels


def nested_trees(used: Facets, leaf_facets: tuple[str, ...], depth: int) -> list[Level]:
    """MFH's levels: every order of the facets at once (MFH fig. 6).

    Args:
        used: N facets.
        leaf_facets: The same facets, in the order that sorts the leaves.
        depth: k: the last nodes' codes have so many partitions.
    """
    sizes = _sizes(used)
    single = tuple((facet,) for facet in used)
    roots = tuple(Block((), (facet,)) for facet in used)
    starts = tuple(
        Fork((index,), (facet,), tuple(used[facet])) for index, facet in enumerate(used)
    )
    levels = [
        Level(
            (Block((), _ROOT),),
            (Fork((0,), (_FACETS,), tuple(used)),),
            ((_FACETS,),),
            {_FACETS: len(used)},
        ),
        Level(roots, starts, single, sizes),
    ]
    for length in range(1, depth):
        blocks = _blocks(used, length)
        forks = tuple(_fork(blocks, (facet,), used) for facet in used)
        above = tuple(itertools.combinations(used, length + 1))
        levels.append(Level(blocks, forks, above, sizes))
    blocks = _blocks(used, depth)
    rest = [tuple(f for f in used if f not in block.facets) for block in blocks]
    forks = tuple(_fork(blocks, facets, used) for facets in rest)
    return [*levels, Level(blocks, forks, (leaf_facets,), sizes)]


def _fork(blocks: Sequence[Block], facets: tuple[str, ...], used: Facets) -> Fork:
    """The switchers to `facets`, on all nodes without a partition of them."""
    without = [i for i, b in enumerate(blocks) if not set(b.facets) & set(facets)]
    return Fork(tuple(without), facets, _block(facets, used).codes)


def _blocks(used: Facets, length: int) -> tuple[Block, ...]:
    """All nodes whose codes have `length` partitions."""
    return tuple(_block(c, used) for c in itertools.combinations(used, length))


def _block(facets: tuple[str, ...], used: Facets) -> Block:
    partitions = [used[facet] for facet in facets]
    return Block(facets, tuple("&".join(p) for p in itertools.product(*partitions)))


def _sizes(used: Facets) -> dict[str, int]:
    return {facet: len(partitions) for facet, partitions in used.items()}
