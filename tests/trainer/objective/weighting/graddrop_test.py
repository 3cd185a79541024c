"""GradDrop by hand, over draws, and against the paper's masks in NumPy."""

import numpy as np
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting


def _bent(gradients, weights, seed):
    """The gradients that the shared weights move along."""
    tasks = [TaskSpec(name=f"t{i}", kind="binary", label="x") for i in weights]
    own = weighting.create(WeightsConfig(kind="graddrop"), tasks)
    constants = [tf.constant(g, tf.float32) for g in gradients]
    found = own.correction(
        constants, tf.constant(weights, tf.float32), tf.constant(seed)
    )
    plain = [np.tensordot(weights, g, 1) for g in gradients]
    return [f.numpy() + p for f, p in zip(found, plain, strict=True)]


def test_each_entry_is_as_the_paper_s_masks_have_it():
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(4, *shape)) for shape in ((3, 2), (5,))]
    weights = np.array([1.0, 0.5, 2.0, 0.0])
    found = _bent(gradients, weights, [7, 3])
    draws = tf.random.stateless_uniform([11], [7, 3], alg="philox").numpy()
    flat = np.concatenate([g.reshape(4, -1) for g in gradients], axis=1)
    flat *= weights[:, np.newaxis]
    purity = (1 + flat.sum(axis=0) / np.abs(flat).sum(axis=0)) / 2
    kept = np.where(draws < purity, flat > 0, flat < 0)
    expected = (kept * flat).sum(axis=0)
    np.testing.assert_allclose(
        np.concatenate([f.ravel() for f in found]), expected, atol=1e-6
    )


def test_an_entry_moves_one_way_or_the_other_and_the_mean_is_the_plain_sum():
    """Of 3 and -1 it is 3 in three of four draws, else -1: in the mean 2."""
    rows = 20_000
    gradients = np.repeat([[3.0], [-1.0]], rows, axis=1)
    (found,) = _bent([gradients], np.ones(2), [1, 2])
    assert set(np.round(found, 5)) == {3.0, -1.0}
    # The standard deviation of an entry is 4 sqrt(3/16): five of the mean's are 0.06.
    assert abs(found.mean() - 2) < 0.06


def test_what_all_pull_one_way_or_one_alone_is_left_as_it_is():
    gradients = np.repeat([[1.0, -1.0, 5.0, 0.0], [2.0, -3.0, 0.0, 0.0]], 50, axis=1)
    (found,) = _bent([gradients], np.ones(2), [4, 4])
    np.testing.assert_allclose(found, gradients.sum(axis=0), atol=1e-6)


def test_the_step_s_seed_decides_the_draws():
    gradients = np.repeat([[1.0], [-1.0]], 64, axis=1)
    first, again, next_step = (
        _bent([gradients], np.ones(2), seed)[0] for seed in ([3, 1], [3, 1], [3, 2])
    )
    np.testing.assert_array_equal(first, again)
    assert (first != next_step).any()
