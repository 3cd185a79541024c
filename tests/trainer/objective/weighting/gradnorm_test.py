"""GradNorm (Chen et al., 2018) by hand."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting

TASKS = [
    TaskSpec(name="click", kind="binary", label="x"),
    TaskSpec(name="watch", kind="regression", label="x"),
    TaskSpec(name="like", kind="binary", label="x", loss_weight=5.0),
]
STEP = tf.constant(0, tf.int64)


def _weights(**config):
    return weighting.create(WeightsConfig(kind="gradnorm", **config), TASKS)


def _update(weights, norms, losses, rows=(9.0, 9.0, 9.0)):
    weights.update(*(tf.constant(v, tf.float32) for v in (norms, losses, rows)))
    return weights.weights.numpy()


@tf.function
def _update_often(weights, times, norms, losses):
    for _ in tf.range(times):
        weights.update(tf.constant(norms), tf.constant(losses), tf.ones([3]))


def test_starts_at_the_fixed_weights():
    weights = _weights()
    np.testing.assert_array_equal(weights.current(STEP), [1, 1, 5])
    total = weights.total(tf.constant([0.3, 2.0, 0.1]), tf.ones([3]), STEP)
    np.testing.assert_allclose(total, 0.3 + 2.0 + 0.5)
    assert weights.reads_gradients and not weights.trainable_variables


def test_two_steps_by_hand():
    weights = _weights(alpha=0.5, learning_rate=0.1)
    # At first every r is 1, so the target is the mean of 0.5, 4 and 1.5, which is 2.
    found = _update(weights, [0.5, 4.0, 1.5], [0.8, 2.0, 0.1])
    moved = np.exp(-0.1 * np.array([-0.5, 4.0, -1.5]) / 2)
    expected = moved * 3 / moved.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Then the losses are 0.5, 1 and 0.75 of the first; their mean is 0.75.
    found = _update(weights, [0.5, 4.0, 1.5], [0.4, 2.0, 0.075])
    sizes = expected * [0.5, 4.0, 1.5]
    targets = sizes.mean() * np.sqrt(np.array([0.5, 1.0, 0.75]) / 0.75)
    moved = expected * np.exp(-0.1 * np.sign(sizes - targets) * sizes / sizes.mean())
    np.testing.assert_allclose(found, moved * 3 / moved.sum(), rtol=1e-6)
    np.testing.assert_allclose(weights.first_losses, [0.8, 2.0, 0.1])
    np.testing.assert_allclose(weights.current(STEP), found * [1, 1, 5])


def test_a_leaf_without_rows_stays_as_it_is():
    weights = _weights(learning_rate=0.1)
    weights.weights.assign([0.5, 1.5, 1.0])
    found = _update(weights, [1.0, 3.0, 0.0], [0.8, 2.0, 0.0], rows=[9.0, 9.0, 0.0])
    # The other two share 2; their sizes are 0.5 and 4.5, the target 2.5.
    moved = np.array([0.5, 1.5]) * np.exp(-0.1 * np.array([-0.5, 4.5]) / 2.5)
    np.testing.assert_allclose(found, [*(moved * 2 / moved.sum()), 1.0], rtol=1e-6)
    np.testing.assert_allclose(weights.first_losses, [0.8, 2.0, -1.0])


def test_the_first_loss_is_of_the_first_step_with_rows():
    weights = _weights()
    _update(weights, [1.0, 1.0, 0.0], [0.8, 2.0, 0.0], rows=[9.0, 9.0, 0.0])
    _update(weights, [1.0, 1.0, 1.0], [0.7, 1.0, 0.3])
    _update(weights, [1.0, 1.0, 1.0], [0.6, 0.5, 0.2])
    np.testing.assert_allclose(weights.first_losses, [0.8, 2.0, 0.3])


def test_a_leaf_without_a_gradient_takes_no_weight_from_others():
    """As at the start, where the heads are zero and nothing reaches the bottom."""
    weights = _weights()
    np.testing.assert_allclose(_update(weights, [0, 0, 0], [0.8, 2, 0.1]), [1, 1, 1])
    for _ in range(50):
        found = _update(weights, [1, 1, 0], [0.8, 2, 0.1])
    np.testing.assert_allclose(found, [1, 1, 1], rtol=1e-6)


def test_a_first_loss_of_zero_counts_as_learning_at_the_mean():
    weights = _weights()
    _update(weights, [1, 1, 1], [0.8, 2.0, 0.0])
    assert np.isfinite(_update(weights, [1, 1, 1], [0.8, 2.0, 0.1])).all()


@pytest.mark.parametrize("sizes", [[1e-3, 1.0, 1e3], [0.02, 0.01, 0.002]])
def test_gradients_even_out_whatever_their_size(sizes):
    weights = _weights()
    _update_often(weights, 2500, sizes, [0.5, 2.0, 0.1])
    found = weights.weights.numpy()
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(), 3, rtol=1e-5)
    weighted = found * sizes
    np.testing.assert_allclose(weighted / weighted.mean(), [1, 1, 1], atol=0.1)


def test_alpha_gives_the_slow_task_the_larger_gradient():
    weights = _weights(alpha=1.0)
    _update(weights, [1, 1, 1], [1.0, 1.0, 1.0])
    _update_often(weights, 1000, [1.0, 1.0, 1.0], [0.2, 0.4, 0.6])
    # r = 0.5, 1 and 1.5
    np.testing.assert_allclose(weights.weights, [0.5, 1.0, 1.5], atol=0.1)


def test_a_checkpoint_holds_the_first_losses(tmp_path):
    weights = _weights()
    before = _update(weights, [1.0, 2.0, 1.0], [0.8, 2.0, 0.1])
    path = tf.train.Checkpoint(weights=weights).save(str(tmp_path / "state"))
    restored = _weights()
    tf.train.Checkpoint(weights=restored).restore(path).assert_consumed()
    np.testing.assert_array_equal(restored.weights, before)
    np.testing.assert_array_equal(restored.first_losses, weights.first_losses)
