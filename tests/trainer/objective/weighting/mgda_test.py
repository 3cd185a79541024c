"""MGDA against its closed form of two tasks, and a solver of quadratic programs."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting
from trainer.objective.weighting.mgda import least_norm

_solve = tf.function(least_norm, autograph=False)


def _correction(gradients, weights):
    tasks = [TaskSpec(name=f"t{i}", kind="binary", label="x") for i in weights]
    own = weighting.create(WeightsConfig(kind="mgda"), tasks)
    constants = [tf.constant(g, tf.float32) for g in gradients]
    bend = tf.function(own.correction, autograph=False)
    return bend(constants, tf.constant(weights, tf.float32), tf.constant([0, 0]))


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        # (g_2 - g_1) . g_2 / |g_1 - g_2|^2, in [0, 1] (Sener & Koltun, alg. 1)
        ([2.0, 1.0], [-2.0, 1.0], 0.5),  # (-4, 0) . (-2, 1) / 16
        ([1.0, 0.0], [0.0, 2.0], 0.8),  # (-1, 2) . (0, 2) / 5
        ([1.0, 0.0], [3.0, 1.0], 1.0),  # 7 / 5: the first is the shorter one
        ([1.0, 0.0], [1.0, 0.0], 0.5),  # whatever the share
    ],
)
def test_two_vectors_have_a_closed_form(one, other, share):
    vectors = np.array([one, other])
    found = _solve(tf.constant(vectors @ vectors.T, tf.float32))
    np.testing.assert_allclose(found, [share, 1 - share], atol=1e-6)


@pytest.mark.parametrize(("leaves", "width"), [(3, 2), (5, 40), (17, 6), (17, 100)])
def test_many_vectors_are_as_a_solver_has_them(leaves, width):
    """Some of them much longer than others; in 6 dimensions 17 may sum up to 0."""
    rng = np.random.default_rng(leaves + width)
    vectors = rng.normal(0.4, 1, (leaves, width)) * rng.uniform(0.1, 3, (leaves, 1))
    products = vectors @ vectors.T
    alpha = _solve(tf.constant(products, tf.float32)).numpy().astype(np.float64)
    solved = scipy.optimize.minimize(
        lambda a: a @ products @ a,
        np.full(leaves, 1 / leaves),
        jac=lambda a: 2 * products @ a,
        bounds=[(0, 1)] * leaves,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert solved.success and alpha.min() >= 0
    np.testing.assert_allclose(alpha.sum(), 1, atol=1e-5)
    least = max(solved.fun, 0)
    scale = np.diag(products).mean()
    np.testing.assert_allclose(alpha @ products @ alpha, least, atol=1e-4 * scale)
    # No task gets worse: g_k . d >= |d|^2 (Sener & Koltun, after eq. 3).
    assert (products @ alpha).min() > least - 2e-3 * scale


def test_the_direction_is_that_of_the_weighted_losses_times_their_number():
    """Of 1 (2, 1) and 2 (-1, 1/2), whose shares are one half: (0, 1), twice that."""
    gradients = [[2.0, 1.0], [-1.0, 0.5]]
    (found,) = _correction([gradients], [1.0, 2.0])
    np.testing.assert_allclose(found, [0.0, 2.0 - 2.0], atol=1e-6)
    # (1, 0) and (0, 2) with 0.8 and 0.2: (0.8, 0.4) twice, less their sum.
    (found,) = _correction([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]], [1.0, 1.0])
    np.testing.assert_allclose(found, [0.0, 0.0, 0.0])  # shared is no entry


def test_a_leaf_without_a_gradient_has_no_part():
    vectors = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    found = _solve(tf.constant(vectors @ vectors.T, tf.float32))
    np.testing.assert_allclose(found, [0.8, 0.0, 0.2], atol=1e-6)
    np.testing.assert_array_equal(_solve(tf.zeros([2, 2])), [0.0, 0.0])
    # (3, 1) and (-1, 1): shares 1/4 and 3/4, so (0, 1), twice that less (2, 2).
    both = [[3.0, 1.0], [0.0, 0.0], [-1.0, 1.0]]
    (found,) = _correction([both], [1.0, 1.0, 1.0])
    np.testing.assert_allclose(found, [-2.0, 0.0], atol=1e-6)
