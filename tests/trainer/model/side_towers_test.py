"""Towers with shared embeddings and with their own."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import FeatureSpec
from trainer.model.side_towers import SideTowers

PLACE = FeatureSpec(name="place", group="trail", kind="bucket", boundaries=(2, 4))
PAUSE = FeatureSpec(name="pause", group="trail", kind="bucket", boundaries=(9,))
AGE = FeatureSpec(name="age", group="trail", kind="number")
_INPUTS = {
    "place": tf.constant([1, 3]),
    "pause": tf.constant([2, 0]),
    "age": tf.constant([0.5, -1.0]),
}


def _towers(**kwargs) -> SideTowers:
    towers = SideTowers([PLACE, PAUSE, AGE], {}, towers=3, dim=2, **kwargs)
    towers(_INPUTS)
    rng = np.random.default_rng(0)
    towers.set_weights([rng.normal(size=w.shape) for w in towers.get_weights()])
    return towers


def _relu(x):
    return np.maximum(x, 0)


def test_shared_embeddings_are_read_by_every_tower():
    towers = _towers(units=(4,), shared=True)
    place, pause, kernel, bias, head = towers.get_weights()
    assert place.shape == (4, 2)
    found = towers(_INPUTS).numpy()
    for row, (p, q, age) in enumerate([(1, 2, 0.5), (3, 0, -1.0)]):
        x = np.r_[place[p], pause[q], age]
        for tower in range(3):
            own = slice(4 * tower, 4 * tower + 4)
            hidden = _relu(x @ kernel[0][:, own] + bias[0, own])
            expected = hidden @ head[tower, :, 0]
            np.testing.assert_allclose(found[row, tower], expected, rtol=1e-4)


def test_separate_embeddings_are_each_towers_own():
    towers = _towers(units=(4,), shared=False)
    place, pause, kernel, bias, head = towers.get_weights()
    assert place.shape == (4, 3 * 2)
    found = towers(_INPUTS).numpy()
    for row, (p, q, age) in enumerate([(1, 2, 0.5), (3, 0, -1.0)]):
        for tower in range(3):
            own = slice(2 * tower, 2 * tower + 2)
            x = np.r_[place[p, own], pause[q, own], age]
            hidden = _relu(x @ kernel[tower] + bias[tower])
            expected = hidden @ head[tower, :, 0]
            np.testing.assert_allclose(found[row, tower], expected, rtol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_untrained_towers_add_nothing(shared):
    towers = SideTowers([PLACE, AGE], {}, towers=3, units=(4,), dim=2, shared=shared)
    np.testing.assert_array_equal(towers(_INPUTS), np.zeros([2, 3]))


def test_a_separate_embedding_gets_no_gradient_from_another_tower():
    towers = _towers(units=(4,), shared=False)
    with tf.GradientTape() as tape:
        only = tf.reduce_sum(towers(_INPUTS)[:, 1])
    place = tape.gradient(only, towers.embeddings.trainable_variables[0]).numpy()
    assert place[:, 2:4].any()
    assert not place[:, :2].any() and not place[:, 4:].any()
