"""Leaves and rows: whose logit a row is served, and whose tasks it trains."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import label_key, mask_key, read_preset
from feature_specs.model import StructureConfig
from feature_specs.spec import FacetSpec
from trainer.days.layout import Layout
from trainer.model.facets import LeafRows
from trainer.model.ranker import Ranker
from trainer.model.structures import Leaf

# `tab` has size 4: id 0 is missing, 1 to 4 are codes 0 to 3, 5 is any other value.
_TAB = FacetSpec(
    name="place",
    feature="tab",
    partitions={"front": (0, 1), "back": (2,)},
    default="back",
    train_with={"back": ("front", "back")},
)
_TABS = tf.constant([0, 1, 2, 3, 4, 5])
_FRONT = [False, True, True, False, False, False]


@pytest.fixture
def split_spec(spec):
    return dataclasses.replace(spec, facets={"place": _TAB})


def _leaves():
    """click is split by place, the others are not."""
    return [
        Leaf("click", (("place", "front"),)),
        Leaf("click", (("place", "back"),)),
        Leaf("watch"),
        Leaf("like"),
        Leaf("seconds"),
    ]


def test_a_row_is_served_its_own_partitions_leaf(split_spec):
    rows = LeafRows(split_spec, _leaves())
    assert rows.features == ("tab",)
    logits = tf.constant([[10.0, 20.0, 3.0, 4.0, 5.0]] * 6)
    found = rows.to_tasks(logits, {"tab": _TABS}).numpy()
    np.testing.assert_array_equal(found[:, 0], np.where(_FRONT, 10.0, 20.0))
    np.testing.assert_array_equal(found[:, 1:], [[3.0, 4.0, 5.0]] * 6)


def test_a_leaf_is_trained_by_the_partitions_the_spec_names(split_spec):
    found = LeafRows(split_spec, _leaves()).trains({"tab": _TABS}).numpy()
    np.testing.assert_array_equal(found[:, 0], _FRONT)
    np.testing.assert_array_equal(found[:, 1:], np.ones([6, 4]))


def test_two_facets_multiply(split_spec):
    tag = FacetSpec(
        name="kind",
        feature="tag",
        partitions={"odd": (0, 2, 4), "even": (1, 3, 5)},
        default="odd",
    )
    spec = dataclasses.replace(split_spec, facets={"place": _TAB, "kind": tag})
    leaves = [
        Leaf("click", (("place", place), ("kind", kind)))
        for place in ("front", "back")
        for kind in ("odd", "even")
    ]
    rows = LeafRows(spec, [*leaves, Leaf("watch"), Leaf("like"), Leaf("seconds")])
    features = {"tab": tf.constant([1, 1, 3]), "tag": tf.constant([1, 2, 4])}
    logits = tf.constant([[1.0, 2.0, 3.0, 4.0, 0, 0, 0]] * 3)
    np.testing.assert_array_equal(
        rows.to_tasks(logits, features)[:, 0],
        [1.0, 2.0, 4.0],  # front odd, front even, back even
    )
    np.testing.assert_array_equal(
        rows.trains(features)[:, :4],
        [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]],
    )


def test_without_splits_nothing_is_looked_up(spec):
    rows = LeafRows(spec, [Leaf(task.name) for task in spec.tasks])
    logits = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    assert rows.features == () and rows.trains({}) is None
    assert rows.to_tasks(logits, {}) is logits
    assert rows.to_leaves(logits) is logits


@pytest.fixture
def by_value(spec):
    """Split by the values of the id `user_id`: 7, and 90 and 3."""
    land = FacetSpec(
        name="land",
        feature="user_id",
        partitions={"br": (7,), "de": (90, 3)},
        default="br",
    )
    return dataclasses.replace(spec, facets={"land": land})


def test_a_facet_by_values_reads_what_was_looked_up(by_value):
    leaves = [Leaf("click", (("land", "br"),)), Leaf("click", (("land", "de"),))]
    rows = LeafRows(by_value, [*leaves, Leaf("watch"), Leaf("like"), Leaf("seconds")])
    assert rows.features == ("facet_land",)
    logits = tf.constant([[10.0, 20.0, 3.0, 4.0, 5.0]] * 4)
    # Missing or not listed, then 3, 7 and 90: the values in their order.
    looked_up = {"facet_land": tf.constant([0, 1, 2, 3])}
    found = rows.to_tasks(logits, looked_up).numpy()
    assert found[:, 0].tolist() == [10.0, 20.0, 10.0, 20.0]


def test_a_packed_row_holds_what_was_looked_up(by_value, make_rows):
    rows = make_rows(5, seed=1)
    layout = Layout(by_value)
    assert layout.width == Layout(dataclasses.replace(by_value, facets={})).width + 1
    row = {**rows.batch().features, "facet_land": tf.constant([0, 1, 2, 3, 1])}
    row |= {key: tf.zeros([5]) for t in by_value.tasks for key in _keys(t.name)}
    found = layout.unpack(layout.pack(row), 5).features
    assert found["facet_land"].numpy().tolist() == [0, 1, 2, 3, 1]
    assert found["user_id"].numpy().tolist() == row["user_id"].numpy().tolist()


def test_a_ranker_asks_for_it_and_serves_each_row_its_own_leaf(by_value, make_rows):
    """From both sides apart, as a request is ranked, and from whole rows."""
    structure = StructureConfig(kind="flat", facets=("land",))
    config = dataclasses.replace(read_preset("bottom: [16]"), structure=structure)
    means = {task.name: 0.3 for task in by_value.tasks}
    ranker = Ranker(by_value, config, means)
    for variable in ranker.trainable_variables:
        variable.assign(tf.random.normal(variable.shape, stddev=0.5))
    assert ranker.example_features(2)["facet_land"].dtype == tf.int32
    batch = make_rows(2, seed=1).batch().features
    same = {name: tf.repeat(value[:1], 2, axis=0) for name, value in batch.items()}
    served = {f.name: same[f.name] for f in by_value.served_features}
    found = ranker(served | {"facet_land": tf.constant([2, 3])})  # 7, and 90
    assert not np.allclose(found["click"][0], found["click"][1])
    one = {name: value[:1] for name, value in served.items()}
    request = ranker.request_side(one | {"facet_land": tf.constant([3])})
    ranked = ranker.from_sides(request, ranker.candidate_side(one))
    np.testing.assert_allclose(ranked["click"][0], found["click"][1], rtol=1e-5)


def _keys(task: str) -> tuple[str, str]:
    return label_key(task), mask_key(task)
