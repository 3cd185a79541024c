"""Which rows count for the node or leaf of a partition."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import FacetSpec
from trainer.inspection.rows import PartitionRows

# `tab` has size 4: id 0 is missing, 1 to 4 are codes 0 to 3, 5 is any other value.
_TABS = tf.constant([0, 1, 2, 3, 4, 5])
_FRONT, _BACK = [0, 1, 1, 0, 0, 0], [1, 0, 0, 1, 1, 1]


def _facet(name, feature, **partitions):
    default = list(partitions)[-1]
    return FacetSpec(name=name, feature=feature, partitions=partitions, default=default)


@pytest.fixture
def weights(spec):
    def give(codes, *facets, weight=(1.0,) * 6, tags=(1,) * 6):
        known = {facet.name: facet for facet in facets}
        rows = PartitionRows(
            dataclasses.replace(spec, facets=known), list(known), codes
        )
        features = {"tab": _TABS, "tag": tf.constant(tags)}
        return rows(features, tf.constant(weight)).numpy().T

    return give


_PLACE = _facet("place", "tab", front=(0, 1), back=(2,))


def test_a_partition_has_its_rows_and_a_task_all(weights):
    found = weights(["", "click", "front", "back&click", "place"], _PLACE)
    ones = np.ones(6)
    np.testing.assert_array_equal(found, [ones, ones, _FRONT, _BACK, ones])


def test_padded_rows_count_nowhere(weights):
    found = weights(["click", "back"], _PLACE, weight=(1.0, 1.0, 1.0, 1.0, 0.0, 0.0))
    np.testing.assert_array_equal(found, [[1, 1, 1, 1, 0, 0], [1, 0, 0, 1, 0, 0]])


def test_partitions_of_two_facets_are_rows_of_both(weights):
    kind = _facet("kind", "tag", live=(0,), clip=(1, 2))
    tags = (1, 1, 2, 1, 1, 2)  # id 1 is code 0: live
    found = weights(["back&live", "clip"], _PLACE, kind, tags=tags)
    np.testing.assert_array_equal(found, [[1, 0, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]])


def test_a_name_that_is_a_task_too_selects_nothing(weights):
    odd = _facet("place", "tab", click=(0, 1), back=(2,))
    found = weights(["click", "back"], odd)
    np.testing.assert_array_equal(found, [np.ones(6), _BACK])
