"""A real ranker, looked into: figures equal those made row by row and task by task."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import StructureConfig, SwitcherConfig
from feature_specs.spec import FacetSpec
from trainer.inspection import Inspector
from trainer.model.ranker import Ranker

_CGC = SwitcherConfig(kind="cgc", experts=2, units=(4,))
_FACET = FacetSpec(
    name="place",
    feature="tab",
    partitions={"front": (0, 1), "back": (2,)},
    default="back",
    train_with={"back": ("front", "back")},
)
_NESTED = StructureConfig(
    kind="multi_facet",
    facets=("place",),
    levels=(SwitcherConfig(kind="shared_bottom", units=(6,)), _CGC),
    node=(5,),
)


@pytest.fixture
def ranker(spec, config, label_means):
    """Makes a ranker whose heads are not zero, as after some training."""

    def make(facets=None, **changes) -> Ranker:
        tf.keras.utils.set_random_seed(0)
        known = dataclasses.replace(spec, facets=facets or {})
        made = Ranker(known, dataclasses.replace(config, **changes), label_means)
        for variable in made.dense_variables:
            variable.assign_add(tf.random.normal(variable.shape, stddev=0.2, seed=1))
        return made

    return make


@pytest.fixture
def batches(make_rows):
    """24 rows and 24 more, the last five of which are padding."""
    whole, padded = (make_rows(24, seed=seed).batch() for seed in (0, 1))
    weight = tf.constant([1.0] * 19 + [0.0] * 5)
    masks = padded.masks * weight[:, tf.newaxis]
    features = {
        name: tf.where(tf.reshape(weight, [-1] + [1] * (x.ndim - 1)) > 0, x, 0)
        for name, x in padded.features.items()
    }
    padded = padded._replace(features=features, masks=masks, weight=weight)
    return [whole, padded]


def _look(ranker, batches, gradient_batches=0):
    return Inspector(ranker, tf.distribute.get_strategy()).inspect(
        batches, gradient_batches
    )


def _gates(ranker, batches, index):
    """[rows, G, Q, E] of the rows that are no padding."""
    found = [ranker.look_inside(b).structured[0].gates[index].numpy() for b in batches]
    return np.concatenate([found[0], found[1][:19]])


def test_padded_rows_do_not_count(ranker, batches):
    made = ranker(switcher=SwitcherConfig(kind="mmoe", experts=3, units=(4,)))
    found = _look(made, batches)
    assert found.rows == 43
    gates = _gates(made, batches, 0)[:, 0]
    (use,) = found.gates
    assert use.readers == ("click", "watch", "like", "seconds")
    np.testing.assert_allclose(use.mean, gates.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(use.sd, gates.std(axis=0), rtol=1e-4)
    entropy = -(gates * np.log(gates)).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(use.entropy, entropy, rtol=1e-5)
    (level,) = found.experts
    assert level.names == ("expert 0", "expert 1", "expert 2")
    np.testing.assert_allclose(
        level.largest_weight, 3 * gates.mean(axis=0).max(axis=0), rtol=1e-5
    )


def test_nodes_count_the_rows_of_their_partitions(ranker, batches):
    made = ranker(facets={"place": _FACET}, structure=_NESTED)
    found = _look(made, batches)
    rows = np.concatenate([batches[0].features["tab"], batches[1].features["tab"][:19]])
    front = np.isin(rows, [1, 2])
    uses = {use.node: use for use in found.gates if use.readers[0] != "shared"}
    tasks = ("click", "watch", "like", "seconds")
    assert list(uses) == ["place", "task", "front", "back", *tasks]
    np.testing.assert_array_equal(uses["task"].rows, [43] * 4)
    np.testing.assert_array_equal(uses["front"].rows, [front.sum()] * 4)
    np.testing.assert_array_equal(uses["click"].rows, [front.sum(), (~front).sum()])
    position = next(
        index
        for index, placed in enumerate(made.networks[0].structure.gatings)
        if placed.groups == ("front", "back")
    )
    gates = _gates(made, batches, position)
    np.testing.assert_allclose(uses["front"].mean, gates[front, 0].mean(axis=0), 1e-5)
    np.testing.assert_allclose(uses["back"].sd, gates[~front, 1].std(axis=0), 1e-4)
    assert {level.node for level in found.experts} == set(uses)


def test_cosines_are_those_of_the_tasks_own_gradients(ranker, batches):
    made = ranker(facets={"place": _FACET}, structure=_NESTED)
    found = _look(made, batches[:1], gradient_batches=1)
    assert found.gradient_rows == 24
    layers = {layer.name: layer for layer in found.layers}
    variables = [made.networks[0].request_layer.kernel]
    gradients = _by_task(made, batches[0], variables)
    norms = np.linalg.norm(gradients, axis=1)
    np.testing.assert_allclose(layers["request"].norms, norms, rtol=1e-4)
    expected = gradients @ gradients.T / np.outer(norms, norms)
    np.testing.assert_allclose(layers["request"].cosines, expected, atol=1e-4)
    pairs = expected[np.triu_indices(4, 1)]
    assert layers["request"].conflict_share == pytest.approx((pairs < 0).mean())


def _by_task(ranker, batch, variables):
    """[T, weights]: a tape a task, over the leaves' weighted losses."""
    rows = []
    for task in ranker.spec.tasks:
        with tf.GradientTape() as tape:
            leaves = ranker.task_losses(batch).leaves
            own = [
                task.loss_weight * loss
                for leaf, loss in zip(ranker.leaves, tf.unstack(leaves), strict=True)
                if leaf.task == task.name
            ]
            loss = tf.add_n(own)
        gradients = tape.gradient(loss, variables)
        rows.append(np.concatenate([g.numpy().ravel() for g in gradients]))
    return np.stack(rows)


def test_a_preset_without_gates_shows_conflicts_and_says_so(ranker, batches):
    made = ranker(switcher=SwitcherConfig(kind="shared_bottom", units=(4,)))
    found = _look(made, batches, gradient_batches=2)
    assert found.gates == found.experts == ()
    assert found.notes == ["No gates: this preset's sharing has none."]
    names = [layer.name for layer in found.layers]
    assert names == ["all layers", "request", "candidate", "bottom", "shared"]
    assert found.gradient_rows == 43


def test_networks_of_one_task_share_nothing(ranker, batches):
    mixture = SwitcherConfig(kind="mmoe", experts=2, units=(4,))
    made = ranker(switcher=mixture, structure=StructureConfig(kind="single"))
    found = _look(made, batches, gradient_batches=1)
    nodes = [use.node for use in found.gates]
    assert nodes == [f"network_{t.name}" for t in made.spec.tasks]
    assert found.layers == ()
    assert found.notes == ["No conflicts: no two tasks move the same dense weight."]


def test_nothing_is_drawn_at_random_and_no_weight_moves(ranker, batches):
    made = ranker(dropout=0.5)
    before = [v.numpy() for v in made.variables]
    inspector = Inspector(made, tf.distribute.get_strategy())
    one, other = (inspector.inspect(batches, gradient_batches=1) for _ in range(2))
    np.testing.assert_array_equal(one.gates[0].mean, other.gates[0].mean)
    np.testing.assert_array_equal(one.layers[0].cosines, other.layers[0].cosines)
    (alone, *_) = inspector.gradients(batches[:1])  # the same, without the rest
    np.testing.assert_array_equal(one.layers[0].cosines, alone.cosines)
    np.testing.assert_array_equal(one.layers[0].norms, alone.norms)
    for value, variable in zip(before, made.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy(), variable.name)


def test_an_untrained_ranker_has_no_gradient_below_its_heads(
    spec, config, label_means, batches
):
    found = _look(Ranker(spec, config, label_means), batches, gradient_batches=1)
    assert found.layers == ()  # heads start at zero


def _look_at_drawn(strategy, spec, config, means, data):
    with strategy.scope():
        ranker = Ranker(spec, config, means)
    for index, variable in enumerate(ranker.dense_variables):
        draw = tf.random.stateless_normal(variable.shape, [index, 0], stddev=0.3)
        variable.assign(draw)
    for table in ranker.table_variables:
        table.assign(tf.random.stateless_normal(table.shape, [7, 7]))
    batches = strategy.experimental_distribute_dataset(data)
    return Inspector(ranker, strategy).inspect(batches, 1)


def test_two_replicas_see_what_one_sees(
    two_replicas, spec, config, label_means, make_rows
):
    rows = make_rows(24, seed=0).batch()
    weight = tf.constant([1.0] * 21 + [0.0] * 3)
    batch = rows._replace(masks=rows.masks * weight[:, None], weight=weight)
    data = tf.data.Dataset.from_tensors(batch).unbatch().batch(24, drop_remainder=True)
    one, both = (
        _look_at_drawn(strategy, spec, config, label_means, data)
        for strategy in (tf.distribute.get_strategy(), two_replicas)
    )
    assert one.rows == both.rows == both.gradient_rows == 21
    np.testing.assert_allclose(one.gates[0].mean, both.gates[0].mean, rtol=1e-4)
    np.testing.assert_allclose(one.gates[0].sd, both.gates[0].sd, rtol=1e-3)
    np.testing.assert_allclose(
        one.experts[0].correlation, both.experts[0].correlation, rtol=1e-3
    )
    assert len(one.layers) == len(both.layers) == 5
    for a, b in zip(one.layers, both.layers, strict=True):
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-3)
        np.testing.assert_allclose(a.cosines, b.cosines, atol=1e-3)
