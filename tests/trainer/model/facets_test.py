"""Leaves and rows: whose logit a row is served, and whose tasks it trains."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import FacetSpec
from trainer.model.facets import LeafRows
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


def test_a_facet_by_values_reads_what_was_looked_up(spec):
    country = FacetSpec(
        name="land",
        feature="region",
        partitions={"br": ("BR",), "de": ("DE", "AT")},
        default="br",
    )
    split = dataclasses.replace(spec, facets={"land": country})
    leaves = [Leaf("click", (("land", "br"),)), Leaf("click", (("land", "de"),))]
    rows = LeafRows(split, [*leaves, Leaf("watch"), Leaf("like"), Leaf("seconds")])
    assert rows.features == ("facet_land",)
    logits = tf.constant([[10.0, 20.0, 3.0, 4.0, 5.0]] * 4)
    # Missing or not listed, then AT, BR, DE: the values in their order.
    looked_up = {"facet_land": tf.constant([0, 1, 2, 3])}
    found = rows.to_tasks(logits, looked_up).numpy()
    assert found[:, 0].tolist() == [10.0, 20.0, 10.0, 20.0]
