"""Logarithms of predictions, from the logits."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.objective.links import Exponential, Identity, Probability


@pytest.mark.parametrize("z", [-750.0, -30.0, -1.0, 0.0, 1.0, 20.0, 30.0])
def test_log_of_a_probability_is_exact_where_it_is_0_or_1(z):
    expected = z - np.log1p(np.exp(z)) if z < 0 else -np.log1p(np.exp(-z))
    found = Probability().log_predict(tf.constant(z, tf.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("link", [Identity(), Exponential()])
def test_log_of_another_mean_is_finite_where_the_mean_is_0(link):
    means = link.predict(tf.constant([-1.0, 0.0, 2.0], tf.float64)).numpy()
    found = link.log_predict(tf.constant([-1.0, 0.0, 2.0], tf.float64)).numpy()
    assert found[0] == found[1] and np.isfinite(found).all()
    np.testing.assert_allclose(found[2], np.log(means[2]))
