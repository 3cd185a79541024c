"""One switcher for all leaves: which leaves, and what they read."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import ModelConfig, StructureConfig, SwitcherConfig
from tests.trainer.model.structures import nested_numpy as reference
from trainer.model import structures

_SWITCHER = SwitcherConfig(kind="mmoe", units=(4,), experts=3)
_TASKS = ("cmpl", "skip")
_FACETS = {"group": ("new", "old"), "heat": ("cold", "hot")}


def _create(**structure):
    config = ModelConfig(switcher=_SWITCHER, structure=StructureConfig(**structure))
    return structures.create(config, _TASKS, _FACETS)


@pytest.mark.parametrize(
    ("structure", "names"),
    [
        ({}, ["cmpl", "skip"]),
        ({"facets": ("task",)}, ["cmpl", "skip"]),
        ({"facets": ("group",)}, ["cmpl&new", "cmpl&old", "skip&new", "skip&old"]),
        (
            {"facets": ("group",), "split": ("cmpl",)},
            ["cmpl&new", "cmpl&old", "skip"],
        ),
        (
            {"facets": ("heat", "task", "group"), "split": ("skip",)},
            ["cmpl", "skip&new&cold", "skip&new&hot", "skip&old&cold", "skip&old&hot"],
        ),
    ],
)
def test_leaves_of_split_and_whole_tasks(structure, names):
    assert [leaf.name for leaf in _create(**structure).leaves] == names


def test_a_leaf_knows_its_partitions_in_the_specs_order():
    leaf = _create(facets=("heat", "group")).leaves[1]
    assert leaf.task == "cmpl"
    assert leaf.partitions == (("group", "new"), ("heat", "hot"))


def test_the_switcher_branches_to_every_leaf():
    net = _create(facets=("group",), split=("cmpl",))
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    net(x)
    reference.randomise(net)
    found = net(tf.constant(x))
    kernel, bias = (w.numpy()[0] for w in net.switcher.experts.first[0].weights)
    gates = net.switcher.gates.scores.kernel.numpy()[0]
    for row in range(3):
        experts = np.maximum(x[row] @ kernel + bias, 0).reshape(3, 4)
        for leaf in range(3):
            weights = reference.softmax(x[row] @ gates[:, 3 * leaf : 3 * leaf + 3])
            np.testing.assert_allclose(
                found.outputs[row, leaf], weights @ experts, rtol=1e-4, atol=1e-5
            )
            np.testing.assert_allclose(found.gates[0][row, 0, leaf], weights, rtol=1e-4)
    assert found.experts[0].shape == (3, 1, 3, 4)


def test_gates_are_those_of_the_input():
    net = _create(facets=("group",), split=("cmpl",))
    ((groups, gating),) = net.gatings
    assert groups == ("",)
    assert gating.readers == ("cmpl&new", "cmpl&old", "skip")
