"""Nested structures against MFH's equations, evaluated node by node in NumPy."""

import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import (
    ModelConfig,
    StructureConfig,
    SwitcherConfig,
)
from feature_specs.preset_kinds import SWITCHER_KINDS
from tests.trainer.model.structures import nested_numpy as reference
from trainer.model import structures
from trainer.model.switchers.shared import SharedBottom

_BOTTOM = SwitcherConfig(kind="shared_bottom", units=(5,))
_MIXTURE = SwitcherConfig(kind="mmoe", units=(4,), experts=3)
_LEVELS = (_BOTTOM, _MIXTURE)
_TASKS = ("cmpl", "finish", "skip")
# By name, as the reference sorts leaves: this is the spec's order.
_FACETS = {"group": ("new", "low", "high"), "heat": ("cold", "hot")}
_ROWS, _INPUTS = 3, 6


def _create(kind, facets, tasks=_TASKS, dtype="float32", **structure):
    config = StructureConfig(
        kind=kind, facets=facets, **{"levels": _LEVELS, "node": (5,)} | structure
    )
    policy = tf.keras.mixed_precision.Policy(dtype)
    found = structures.create(
        ModelConfig(structure=config), tasks, _FACETS, dtype=policy
    )
    found(tf.zeros([1, _INPUTS]))
    reference.randomise(found)
    return found


def _x():
    return np.random.default_rng(1).normal(size=(_ROWS, _INPUTS)).astype(np.float32)


def _used(facets):
    names = facets if "task" in facets else (*facets, "task")
    return {n: _TASKS if n == "task" else _FACETS[n] for n in names}


def _assert_leaves(structure, x, expected):
    """`expected`: a row's leaves by their partitions, for each row."""
    found = structure(tf.constant(x)).outputs
    assert found.shape[1] == len(structure.leaves) == len(expected[0])
    for row, leaves in enumerate(expected):
        for index, leaf in enumerate(structure.leaves):
            own = leaves[frozenset(leaf.name.split("&"))]
            np.testing.assert_allclose(found[row, index], own, rtol=1e-4, atol=1e-5)


# --- the equations --------------------------------------------------------------------


def test_equation_4_literally():
    """3 behaviours x 3 user groups, behaviours first, as in MFH fig. 3."""
    net = _create("hierarchical", ("task", "group"))
    weights, x = reference.Weights(net), _x()
    groups = _FACETS["group"]
    for row in range(_ROWS):
        skip = weights.switchers[0, "", _TASKS](x[row])["skip"]
        hidden = reference.mlp(skip, weights.nodes[1, "skip"])
        expected = weights.switchers[1, "skip", groups](hidden)["new"]
        place = [leaf.name for leaf in net.leaves].index("skip&new")
        found = net(tf.constant(x)).outputs[row, place]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_equation_5_literally():
    """3 behaviours x 3 user groups, as in MFH fig. 4."""
    net = _create("multi_facet", ("group",))
    weights, x = reference.Weights(net), _x()
    groups = _FACETS["group"]
    place = [leaf.name for leaf in net.leaves].index("skip&new")
    mix = weights.mixes[2][:, place]
    for row in range(_ROWS):
        both = weights.switchers[0, "", ("group", "task")](x[row])
        group = reference.mlp(both["group"], weights.nodes[1, "group"])
        behaviour = reference.mlp(both["task"], weights.nodes[1, "task"])
        new = weights.switchers[1, "group", groups](group)["new"]
        skip = weights.switchers[1, "task", _TASKS](behaviour)["skip"]
        new = reference.mlp(new, weights.nodes[2, "new"])
        skip = reference.mlp(skip, weights.nodes[2, "skip"])
        expected = (
            mix[0] * weights.switchers[2, "new", _TASKS](new)["skip"]
            + mix[1] * weights.switchers[2, "skip", groups](skip)["new"]
        )
        found = net(tf.constant(x)).outputs[row, place]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "facets",
    [("group",), ("task", "group"), ("heat", "task", "group"), ("group", "heat")],
)
def test_a_tree_of_any_order_equals_the_reference(facets):
    net, x = _create("hierarchical", facets), _x()
    weights = reference.Weights(net)
    _assert_leaves(
        net, x, [reference.hierarchical(weights, _used(facets), row) for row in x]
    )


@pytest.mark.parametrize(
    ("facets", "depth"),
    [
        (("heat",), 0),
        (("heat", "task", "group"), 1),
        (("heat", "task", "group"), 2),
        (("group", "heat"), 0),
    ],
)
def test_nested_trees_equal_the_reference(facets, depth):
    net, x = _create("multi_facet", facets, depth=depth), _x()
    weights, used = reference.Weights(net), _used(facets)
    k = depth or len(used) - 1
    _assert_leaves(net, x, [reference.multi_facet(weights, used, k, r) for r in x])


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [
        ("hierarchical", {"low": (7, 3), "low&hot": (), "high&cold": (2, 5)}),
        ("multi_facet", {"group": (3,), "new": (4, 6), "skip": (6,), "low&hot": (2,)}),
    ],
)
def test_nodes_have_their_own_widths(kind, nodes):
    facets = ("group", "heat")
    net, x = _create(kind, facets, nodes=nodes), _x()
    weights, used = reference.Weights(net), _used(facets)
    for (_, code), layers in weights.nodes.items():
        if code:
            widths = [kernel.shape[1] for kernel, _ in layers]
            assert tuple(widths) == nodes.get(code, (5,))
    if kind == "hierarchical":
        expected = [reference.hierarchical(weights, used, row) for row in x]
    else:
        expected = [reference.multi_facet(weights, used, 2, row) for row in x]
    _assert_leaves(net, x, expected)


def test_nodes_without_layers_pass_their_input_on():
    """MFH sec. IV-B: an MLP may have no layers."""
    net, x = _create("multi_facet", ("group",), node=()), _x()
    weights = reference.Weights(net)
    assert not any(weights.nodes.values())
    used = _used(("group",))
    _assert_leaves(net, x, [reference.multi_facet(weights, used, 1, r) for r in x])


def test_paths_start_with_equal_weights():
    config = StructureConfig(
        kind="multi_facet", facets=("group", "heat"), levels=_LEVELS, node=(5,)
    )
    net = structures.create(ModelConfig(structure=config), _TASKS, _FACETS)
    mixes = [None if level.mix is None else level.mix.numpy() for level in net.levels]
    assert mixes[0] is None and mixes[1] is None  # one path each
    np.testing.assert_allclose(mixes[2], np.full([2, 6 + 9 + 6], 1 / 2))
    np.testing.assert_allclose(mixes[3], np.full([3, 18], 1 / 3))


def test_every_switcher_takes_its_own_part_of_reads():
    """Asymmetric sharing at all levels, where only `skip` is told what it reads."""
    reads = {"skip": ("cmpl",), **dict.fromkeys(("cmpl", "finish", "low", "high"), ())}
    level = SwitcherConfig(
        kind="asymmetric", units=(4,), fusion="sum", reads=reads | {"task": ()}
    )
    net = _create("multi_facet", ("group",), levels=(level,))
    (tasks,) = (f for f in net.levels[2].forks if f.switchers[0].names == _TASKS)
    kernel = tasks.switchers[0].bottoms.first[0].kernel
    place = [leaf.name for leaf in net.leaves].index("skip&new")
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(net(tf.constant(_x())).outputs[:, place])
    moved = np.abs(tape.gradient(total, kernel)[0]).reshape(5, 3, 4).max(axis=(0, 2))
    assert moved[0] > 0 and moved[1] == 0 and moved[2] > 0  # cmpl's and skip's bottoms


# --- leaves and names -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hierarchical", "multi_facet"])
def test_leaves_go_task_by_task_whatever_the_order_of_the_facets(kind):
    net = _create(kind, ("heat", "group"), tasks=("a", "b"))
    assert [leaf.name for leaf in net.leaves[:7]] == [
        "a&new&cold",
        "a&new&hot",
        "a&low&cold",
        "a&low&hot",
        "a&high&cold",
        "a&high&hot",
        "b&new&cold",
    ]
    assert net.leaves[1].partitions == (("group", "new"), ("heat", "hot"))


def test_every_gate_is_named_by_its_node():
    net = _create("multi_facet", ("group", "heat"), nodes={"low": (7,)})
    found = net(tf.constant(_x()))
    assert len(found.gates) == len(net.gatings)
    for gates, (groups, gating) in zip(found.gates, net.gatings, strict=True):
        shape = (_ROWS, len(groups), len(gating.readers), len(gating.experts[0]))
        assert gates.shape == shape
    names = {(code, g.readers) for codes, g in net.gatings for code in codes}
    assert ("low", ("cold", "hot")) in names and ("low&hot", _TASKS) in names
    assert len(names) == sum(len(codes) for codes, _ in net.gatings)  # each once


def test_gates_are_those_of_the_named_node():
    """The gates of node `low`, which has widths of its own, computed apart."""
    net, x = _create("multi_facet", ("group",), nodes={"low": (7,)}), _x()
    weights, found = reference.Weights(net), net(tf.constant(x))
    (place,) = (i for i, g in enumerate(net.gatings) if g.groups == ("low",))
    (fork,) = (f for f in net.levels[2].forks if f.switchers[0].names == _TASKS)
    (switcher,) = (
        s for s, n in zip(fork.switchers, fork.nodes, strict=True) if n == (1,)
    )
    kernel = switcher.gates.scores.kernel.numpy()[0]
    both = weights.switchers[0, "", ("group", "task")](x[0])
    group = reference.mlp(both["group"], weights.nodes[1, "group"])
    low = weights.switchers[1, "group", _FACETS["group"]](group)["low"]
    low = reference.mlp(low, weights.nodes[2, "low"])
    for task in range(3):
        expected = reference.softmax(low @ kernel[:, 3 * task : 3 * task + 3])
        np.testing.assert_allclose(found.gates[place][0, 0, task], expected, rtol=1e-4)


def test_experts_of_all_switchers_are_given():
    net = _create("multi_facet", ("group",), tasks=("a", "b"))
    shapes = [tuple(e.shape) for e in net(tf.constant(_x())).experts]
    one, many = (_ROWS, 1, 3, 4), [(_ROWS, 3, 3, 4), (_ROWS, 2, 3, 4)]
    assert shapes == [one, one, *many]  # facets' nodes, then groups' and tasks'


# --- sizes ----------------------------------------------------------------------------


def _dense(inputs, outputs):
    return inputs * outputs + outputs


def _mixture(inputs, outputs, experts=3, width=4):
    return experts * _dense(inputs, width) + inputs * outputs * experts


def test_parameters_of_a_tree():
    net = _create("hierarchical", ("heat", "group"))
    h, g, t = 2, 3, 3
    assert net.count_params() == (
        _dense(_INPUTS, 5)
        + h * (_dense(5, 5) + _mixture(5, g))
        + h * g * (_dense(4, 5) + _mixture(5, t))
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_parameters_of_nested_trees(depth):
    net = _create("multi_facet", ("heat", "group"), depth=depth)
    m = (2, 3, 3)
    leaves = math.prod(m)
    expected = _dense(_INPUTS, 5) + sum(_dense(5, 5) + _mixture(5, s) for s in m)
    expected += sum(m) * _dense(4, 5)
    if depth == 1:
        expected += sum(s * _mixture(5, leaves // s) for s in m)
    else:
        expected += sum(_mixture(5, s) * (sum(m) - s) for s in m)
        pairs = [(6, 3), (6, 3), (9, 2)]  # nodes of two partitions, and facet left
        expected += 2 * sum(nodes for nodes, _ in pairs)
        expected += sum(nodes * (_dense(4, 5) + _mixture(5, s)) for nodes, s in pairs)
    expected += 3 * leaves
    assert net.count_params() == expected


# --- as part of a training step -------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "facets", "depth"),
    [
        ("hierarchical", ("group", "heat"), 0),
        ("multi_facet", ("group", "heat"), 2),
        ("multi_facet", ("group", "heat"), 1),
    ],
)
def test_a_leaf_trains_only_nodes_whose_codes_it_contains(kind, facets, depth):
    net = _create(kind, facets, depth=depth, nodes={"low": (7, 5)})
    place = [leaf.name for leaf in net.leaves].index("skip&new&hot")
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(net(tf.constant(_x())).outputs[:, place])
    moved = {}
    variables, where = [], []
    for level in net.levels:
        for stack, nodes in zip(level.nodes.stacks, level.nodes.bundles, strict=True):
            for dense in stack.stack:
                variables += [dense.kernel, dense.bias]
                where += [[level.plan.codes[node] for node in nodes]] * 2
    for codes, gradient in zip(where, tape.gradient(total, variables), strict=True):
        for group, code in enumerate(codes):
            size = 0.0 if gradient is None else np.abs(gradient[group]).max()
            moved[code] = max(size, moved.get(code, 0.0))
    contained = {"skip", "new", "hot", "group", "heat", "task"}
    for code, size in moved.items():
        if set(code.split("&")) <= contained:
            assert size > 0, code
        else:
            assert size == 0, code
    assert any("&" in code for code in moved) == (depth != 1)


@pytest.mark.parametrize("kind", ["hierarchical", "multi_facet"])
def test_xla_gives_the_same_outputs_and_gradients(kind):
    net = _create(kind, ("heat",), nodes={"hot": (7, 3)})
    x = tf.constant(_x())

    def step(x):
        with tf.GradientTape() as tape:
            outputs = net(x, training=True, seed=tf.constant([1, 2])).outputs
            total = tf.reduce_sum(tf.square(outputs))
        return outputs, tape.gradient(total, net.trainable_variables)

    plain = tf.nest.flatten(step(x))
    compiled = tf.nest.flatten(tf.function(step, jit_compile=True, autograph=False)(x))
    assert len(plain) == len(compiled) == 1 + len(net.trainable_variables)
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_every_switcher_draws_from_a_seed_of_its_own(monkeypatch):
    seeds, call = [], SharedBottom.call

    def spy(self, x, training=False, seed=None):
        assert training
        seeds.append(tuple(seed.numpy()))
        return call(self, x, training, seed)

    net = _create("multi_facet", ("group", "heat"), levels=(_BOTTOM,))
    monkeypatch.setattr(SharedBottom, "call", spy)
    for _ in range(2):
        net(tf.constant(_x()), training=True, seed=tf.constant([1, 2]))
    count = 1 + 3 + 3 + 3
    assert len(seeds) == 2 * count and seeds[:count] == seeds[count:]
    assert len(set(seeds)) == count and (1, 2) not in seeds


@pytest.mark.parametrize("kind", tuple(SWITCHER_KINDS))
def test_every_kind_of_switcher_may_be_nested(kind):
    """All weights train, and gates are as their names say."""
    level = SwitcherConfig(kind=kind, units=(4,), experts=2, penalty=0.1)
    nodes = {"new": (3,)}
    net = _create(
        "multi_facet", ("group",), tasks=("a", "b"), levels=(level,), nodes=nodes
    )
    with tf.GradientTape() as tape:
        found = net(tf.constant(_x()), training=True, seed=tf.constant([1, 2]))
        total = tf.reduce_sum(tf.square(found.outputs)) + found.penalty
    gradients = tape.gradient(total, net.trainable_variables)
    assert found.outputs.shape[:2] == (_ROWS, 6)
    assert not [g for g in gradients if g is None]
    for experts, before in zip(found.experts, found.kept_apart, strict=True):
        np.testing.assert_array_equal(experts, np.maximum(before, 0))
        assert np.any(before < 0)
    assert len(found.gates) == len(net.gatings)
    for gates, (groups, gating) in zip(found.gates, net.gatings, strict=True):
        named = (len(groups), len(gating.readers), len(gating.experts[0]))
        assert gates.shape == (_ROWS, *named)


def test_the_number_of_rows_may_be_unknown():
    net, x = _create("multi_facet", ("group",)), _x()
    signature = [tf.TensorSpec([None, _INPUTS], tf.float32)]
    run = tf.function(
        lambda x: net(x).outputs, input_signature=signature, autograph=False
    )
    np.testing.assert_allclose(run(x), net(tf.constant(x)).outputs, atol=1e-5)


@pytest.mark.usefixtures("bfloat16_products")
@pytest.mark.parametrize("kind", ["hierarchical", "multi_facet"])
def test_bfloat16_is_close_to_float32(kind):
    """Outputs in bfloat16, gates and weights in float32."""
    one = _create(kind, ("group",))
    other = _create(kind, ("group",), dtype="mixed_bfloat16")
    x = tf.constant(_x())
    found = other(x)
    assert found.outputs.dtype == tf.bfloat16
    assert {g.dtype for g in found.gates} == {tf.float32}
    assert {v.dtype for v in other.trainable_variables} == {tf.float32}
    expected = one(x).outputs
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        tf.cast(found.outputs, tf.float32), expected, atol=0.05 * scale
    )


def test_operations_do_not_grow_with_the_partitions():
    """Batched products: three times the tasks are as many operations."""

    def operations(tasks):
        config = StructureConfig(
            kind="multi_facet", facets=("group", "heat"), levels=_LEVELS
        )
        net = structures.create(ModelConfig(structure=config), tasks, _FACETS)
        net(tf.zeros([2, _INPUTS]))
        run = tf.function(lambda x: net(x).outputs, autograph=False)
        graph = run.get_concrete_function(tf.zeros([2, _INPUTS])).graph
        return len(graph.get_operations())

    few, many = ([f"t{i}" for i in range(n)] for n in (4, 12))
    assert operations(few) == operations(many)


def test_switchers_that_give_different_widths_cannot_meet():
    """Without units a shared bottom hands its input on: 5 wide here, 7 there."""
    bare = SwitcherConfig(kind="shared_bottom", units=())
    config = StructureConfig(
        kind="multi_facet",
        facets=("group",),
        levels=(_BOTTOM, _BOTTOM, bare),
        node=(5,),
        nodes={"new": (7,)},
    )
    net = structures.create(ModelConfig(structure=config), _TASKS, _FACETS)
    with pytest.raises(ValueError, match=r"structure.levels\[2\]: .*\[5, 7\].*units"):
        net(tf.zeros([1, _INPUTS]))
