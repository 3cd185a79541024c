"""G learns a function that is known, and its slopes are those of its error."""

import numpy as np
import pytest

from pipeline.weight_selection import learner
from pipeline.weight_selection.learner import Scale, learn


def _known(x):
    """A hill over the first column, whose top the second one moves."""
    return 3.0 - (x[:, 0] - x[:, 1]) ** 2 + 0.5 * x[:, 2]


@pytest.mark.parametrize("seed", [0, 1])
def test_it_learns_a_function_known_in_closed_form(seed):
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, (200, 3))
    new = rng.uniform(-0.9, 0.9, (500, 3))
    found = learn(x, _known(x), seed)(new)
    error = np.sqrt(np.mean((found - _known(new)) ** 2))
    assert error < 0.15 * _known(new).std()


def test_it_begins_at_the_mean_of_the_examples():
    parameters = learner._first(3, np.random.default_rng(0))
    _, output = learner._forward(np.full((2, 3), 7.0), parameters)
    assert (output == 0).all()  # of targets with a mean of 0


def test_units_of_features_and_targets_change_nothing():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(30, 3))
    size, of_targets = 2.0 ** np.array([-20, 0, 10]), 2.0**-10  # which round nothing
    plain = learn(x, _known(x), 0)(x)
    other = learn(x * size, of_targets * _known(x), 0)(x * size)
    np.testing.assert_allclose(other, of_targets * plain, rtol=1e-6)


def test_slopes_are_those_of_the_mean_squared_error():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(5, 1))
    first = learner._first(4, rng)
    assert [p.shape for p in first] == [(4, 256), (256,), (256, 1), (1,)]
    parameters = tuple(rng.normal(size=own.shape) for own in first)

    def error():
        hidden = np.maximum(x @ parameters[0] + parameters[1], 0)
        return np.mean((hidden @ parameters[2] + parameters[3] - y) ** 2)

    for own, slope in zip(parameters, learner._slopes(x, y, parameters), strict=True):
        for place in [(0,) * own.ndim, tuple(n - 1 for n in own.shape)]:
            kept = own[place]
            own[place] = kept + 1e-6
            above = error()
            own[place] = kept - 1e-6
            below = error()
            own[place] = kept
            assert slope[place] == pytest.approx((above - below) / 2e-6, rel=1e-4)


def test_what_is_the_same_for_all_says_nothing():
    scale = Scale.of(np.array([[1.0, 0.1], [3.0, 0.1], [5.0, 0.1]]))
    told = scale.apply(np.array([[3.0, 0.1], [5.0, 99.0]]))
    np.testing.assert_allclose(told, [[0, 0], [2 / np.sqrt(8 / 3), 0]])
    x = np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(learn(x, np.full(3, 0.7), 0)(x), 0.7)


def test_a_seed_decides_the_first_weights():
    x = np.random.default_rng(1).normal(size=(6, 3))
    first, again, other = (learn(x, _known(x), seed)(2 * x) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
