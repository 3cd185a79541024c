"""Trail towers: what they add, what is dropped, what serving sees (SFV sec. 4.2)."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import TrailConfig
from trainer.model.trail import TrailTowers


def _inputs(position, seconds):
    return {
        "trail_position": tf.constant(position, tf.int32),
        "trail_seconds": tf.constant(seconds, tf.int32),
    }


def _randomised(towers):
    towers(towers.missing())
    rng = np.random.default_rng(0)
    towers.set_weights([rng.normal(size=w.shape) for w in towers.get_weights()])
    return towers


def test_untrained_towers_add_nothing(spec):
    towers = TrailTowers(spec, TrailConfig())
    np.testing.assert_array_equal(towers(_inputs([1, 4], [2, 3])), np.zeros([2, 4]))


def test_linear_tower_is_a_dot_product_with_both_embeddings(spec):
    towers = _randomised(TrailTowers(spec, TrailConfig(units=(), dim=4)))
    position, seconds, kernel = towers.get_weights()
    found = towers(_inputs([2], [3]))
    expected = kernel[:, :, 0] @ np.r_[position[2], seconds[3]]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_only_the_chosen_tasks_have_a_tower(spec):
    config = TrailConfig(tasks=("watch", "seconds"))
    towers = _randomised(TrailTowers(spec, config))
    logits = towers(_inputs([1], [1])).numpy()[0]
    assert (logits != 0).tolist() == [False, True, False, True]
    assert towers.towers.output_layer.kernel.shape[0] == 2


@pytest.mark.stochastic
def test_a_row_loses_all_of_its_trail_features_or_none(spec, any_seed):
    towers = TrailTowers(spec, TrailConfig(dropout=0.1))
    ones = np.ones(20_000, np.int32)
    dropped = towers.drop(_inputs(ones, ones), tf.constant([any_seed, 1]))
    position, seconds = dropped["trail_position"], dropped["trail_seconds"]
    np.testing.assert_array_equal(position, seconds)
    share = 1 - position.numpy().mean()
    assert abs(share - 0.1) < 0.01  # 0.1 +- 5 standard deviations of 20,000 draws


def test_draws_follow_from_the_seed(spec):
    towers = TrailTowers(spec, TrailConfig(dropout=0.5))
    inputs = _inputs(np.ones(64), np.ones(64))
    first, again, other = (
        towers.drop(inputs, tf.constant([0, step]))["trail_position"].numpy()
        for step in (1, 1, 2)
    )
    assert (first == again).all() and (first != other).any()


def test_sequences_and_numbers_can_be_dropped(spec):
    features = list(spec.features)
    features[6] = dataclasses.replace(features[1], name="t_ids", group="trail")
    features[7] = dataclasses.replace(features[5], name="t_age", group="trail")
    towers = TrailTowers(
        dataclasses.replace(spec, features=tuple(features)), TrailConfig(dropout=0.5)
    )
    inputs = {"t_ids": tf.ones([64, 4], tf.int32), "t_age": tf.ones([64])}
    dropped = towers.drop(inputs, tf.constant([0, 1]))
    assert towers(dropped).shape == (64, 4)
    np.testing.assert_array_equal(dropped["t_ids"][:, 0] == 0, dropped["t_age"] == 0)
    assert 0 < dropped["t_age"].numpy().mean() < 1
