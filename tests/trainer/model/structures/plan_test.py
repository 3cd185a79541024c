"""Nodes and switchers are as many, and called, as MFH sec. IV-D says."""

import itertools
import math

import pytest

from feature_specs.model import StructureConfig
from trainer.model.structures import plan

_UNEQUAL = (2, 3, 5, 4)


def _facets(sizes):
    return {f"f{i}": [f"p{i}{j}" for j in range(size)] for i, size in enumerate(sizes)}


def _switchers(level):
    """How many switchers a level has: one a node and fork."""
    return sum(len(level.blocks[b].codes) for f in level.forks for b in f.blocks)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_counts_with_equal_partitions_are_the_papers(n):
    m = 3
    used = _facets([m] * n)
    levels = plan.nested_trees(used, tuple(used), n - 1)
    assert [_switchers(levels[0]), len(levels[0].codes)] == [1, 1]
    assert len(levels[1].codes) == n  # the facets' own nodes
    for k in range(1, n + 1):
        assert _switchers(levels[k]) == math.comb(n, k) * k * m ** (k - 1)
    for k in range(1, n):
        assert len(levels[k + 1].codes) == math.comb(n, k) * m**k
    assert len(levels) == n + 1


@pytest.mark.parametrize("n", [2, 3, 4])
def test_counts_with_unequal_partitions(n):
    sizes = _UNEQUAL[:n]
    used = _facets(sizes)
    levels = plan.nested_trees(used, tuple(used), n - 1)
    for k in range(1, n):
        nodes = sum(math.prod(c) for c in itertools.combinations(sizes, k))
        assert len(levels[k + 1].codes) == nodes
        left = n - k  # facets that a code leaves out, each with a switcher
        assert _switchers(levels[k + 1]) == nodes * left


@pytest.mark.parametrize(("n", "depth"), [(3, 1), (4, 1), (4, 2)])
def test_a_shallower_net_leads_from_its_last_nodes_to_all_leaves(n, depth):
    used = _facets(_UNEQUAL[:n])
    levels = plan.nested_trees(used, tuple(used), depth)
    last = levels[-1]
    assert len(levels) == depth + 2
    assert _switchers(last) == len(last.codes)  # one switcher a node
    assert len(last.forks) == math.comb(n, depth)
    for fork in last.forks:
        (block,) = (last.blocks[b] for b in fork.blocks)
        left = [len(used[facet]) for facet in used if facet not in block.facets]
        assert len(fork.names) == math.prod(left)


def test_codes_are_combinations_of_partitions_each_once():
    used = {"b": ("x", "y"), "task": ("skip", "finish"), "a": ("new", "old")}
    levels = plan.nested_trees(used, ("task", "a", "b"), 2)
    assert [level.codes for level in levels] == [
        ("",),
        ("b", "task", "a"),
        ("x", "y", "skip", "finish", "new", "old"),
        (
            *("x&skip", "x&finish", "y&skip", "y&finish"),
            *("x&new", "x&old", "y&new", "y&old"),
            *("skip&new", "skip&old", "finish&new", "finish&old"),
        ),
    ]
    assert levels[-1].above == (("task", "a", "b"),)


def test_a_tree_divides_by_one_facet_after_the_other():
    used = {"b": ("x", "y"), "task": ("skip", "finish"), "a": ("new", "old")}
    levels = plan.tree(used, ("task", "a", "b"))
    assert [level.codes for level in levels] == [
        ("",),
        ("x", "y"),
        ("x&skip", "x&finish", "y&skip", "y&finish"),
    ]
    assert [f.names for level in levels for f in level.forks] == list(used.values())
    assert [level.above for level in levels] == [
        (("b",),),
        (("b", "task"),),
        (("task", "a", "b"),),
    ]


def test_the_tasks_come_last_where_they_are_not_named():
    facets = {"a": ("new", "old"), "b": ("x", "y")}
    last = plan.ordered_facets(StructureConfig(facets=("b",)), ["skip"], facets)
    first = plan.ordered_facets(StructureConfig(facets=("task", "a")), ["skip"], facets)
    assert list(last.items()) == [("b", ("x", "y")), ("task", ("skip",))]
    assert list(first) == ["task", "a"]
