"""Values against the metrics' own, and draws against the same metric of drawn rows."""

import math

import numpy as np
import pytest

from pipeline.gates import statistics
from pipeline.gates.draws import GROUPS, draw, groups_of
from pipeline.reporting import metrics

_DRAWS = 40


@pytest.fixture(scope="module")
def rows(any_seed):
    """Labels, scores (with ties), values and users of 1,500 rows of 60 users."""
    generator = np.random.default_rng(any_seed)
    users = generator.integers(0, 60, 1_500)
    taste = generator.normal(0, 1, 60)[users]  # rows of a user are alike
    labels = (generator.random(1_500) < 1 / (1 + np.exp(2 - taste))).astype(np.float64)
    scores = np.round(0.3 * labels + 0.2 * taste + generator.normal(0, 0.5, 1_500), 1)
    return labels, scores, users


@pytest.fixture(scope="module")
def drawn_groups(rows):
    groups = groups_of(rows[2])
    return groups, draw(groups, _DRAWS)


def _drawn_rows(groups, counts):
    """Indices of the rows of a draw, each as often as its group was drawn."""
    return np.repeat(np.arange(len(groups)), counts[groups].astype(int))


def _copies(users, groups, counts):
    """Users of a draw's rows: one drawn twice is two."""
    times = counts[groups].astype(int)
    copy = np.concatenate([np.arange(t) for t in times])
    return users[_drawn_rows(groups, counts)] * 1_000 + copy


def test_values_are_those_of_the_metrics(rows, drawn_groups):
    labels, scores, users = rows
    chances = 1 / (1 + np.exp(-scores))
    found = {
        name: getattr(statistics, name)(labels, chances, users, *drawn_groups).value
        for name in ("auc", "gauc", "rmse", "miscalibration")
    }
    ratio = metrics.calibration(labels, chances)
    assert found == pytest.approx(
        {
            "auc": metrics.auc(labels, chances),
            "gauc": metrics.gauc(users, labels, chances),
            "rmse": metrics.rmse(labels, chances),
            "miscalibration": max(ratio, 1 / ratio),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("name", ["gauc", "rmse", "miscalibration"])
def test_draws_are_the_metric_of_the_drawn_rows(rows, drawn_groups, name):
    labels, scores, users = rows
    groups, draws = drawn_groups
    found = getattr(statistics, name)(labels, np.exp(scores), users, groups, draws)
    for counts, value in zip(draws, found.drawn, strict=True):
        chosen = _drawn_rows(groups, counts)
        truth, values = labels[chosen], np.exp(scores)[chosen]
        ratio = metrics.calibration(truth, values)
        expected = {
            "rmse": metrics.rmse(truth, values),
            "miscalibration": max(ratio, 1 / ratio),
            "gauc": metrics.gauc(_copies(users, groups, counts), truth, values),
        }
        assert value == pytest.approx(expected[name], rel=1e-9)


def test_draws_of_an_auc_are_near_the_auc_of_the_drawn_rows(rows, drawn_groups):
    """The pairs between two groups that are left out are small, of a value and of a
    difference: even with 60 users whose rows are much alike, a spread is right within a
    tenth, and a draw within a quarter of it."""
    labels, scores, users = rows
    groups, draws = drawn_groups
    other = scores + np.random.default_rng(5).normal(0, 0.5, len(scores))
    exact, found = [], []
    for column in (scores, other):
        found.append(statistics.auc(labels, column, users, groups, draws))
        values = []
        for counts in draws:
            chosen = _drawn_rows(groups, counts)
            values.append(metrics.auc(labels[chosen], column[chosen]))
        exact.append(np.array(values))
    for near, true in (
        (found[0].drawn, exact[0]),
        (found[0].drawn - found[1].drawn, exact[0] - exact[1]),
    ):
        assert np.std(near) == pytest.approx(np.std(true), rel=0.1)
        assert np.std(near - true) < 0.25 * np.std(true)


def test_a_difference_of_two_models_is_paired(rows, drawn_groups):
    """Of two models that differ in little, the difference moves far less than each."""
    labels, scores, users = rows
    other = scores + np.random.default_rng(5).normal(0, 0.02, len(scores))
    one, two = (
        statistics.auc(labels, column, users, *drawn_groups)
        for column in (scores, other)
    )
    assert np.std(one.drawn - two.drawn) < 0.3 * np.std(one.drawn)


def test_by_hand():
    """Users 1 and 2 with two rows each; the second draw has user 2 twice."""
    users = np.array([1, 1, 2, 2])
    groups = groups_of(users)
    draws = np.zeros((2, GROUPS))
    draws[0, groups] = 1
    draws[1, groups[2]] = 2
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    scores = np.array([0.9, 0.2, 0.5, 0.5])
    found = statistics.auc(labels, scores, users, groups, draws)
    # pairs: 0.9 > 0.2, 0.9 > 0.5, 0.5 > 0.2, 0.5 = 0.5
    assert found.value == 3.5 / 4
    assert found.drawn[0] == 3.5 / 4
    assert found.groups == 2
    inside = statistics.gauc(labels, scores, users, groups, draws)
    assert inside.value == 0.75  # user 1 has 1, user 2 has 0.5
    assert inside.drawn.tolist() == [0.75, 0.5]
    off = statistics.miscalibration(labels, scores, users, groups, draws)
    assert off.drawn == pytest.approx([2.1 / 2, 1.0])


def test_there_is_no_such_number(drawn_groups):
    groups, draws = drawn_groups
    ones, users = np.ones(len(groups)), np.arange(len(groups))
    for name in ("auc", "gauc"):
        found = getattr(statistics, name)(ones, ones, users, groups, draws)
        assert math.isnan(found.value) and found.groups == 0
    nothing = statistics.miscalibration(0 * ones, ones, users, groups, draws)
    below = statistics.miscalibration(ones - 2, ones, users, groups, draws)
    assert math.isnan(nothing.value) and math.isnan(below.value)
    assert math.isnan(statistics.mean(np.nan * ones, groups, draws).value)


def test_predictions_that_sum_to_nothing_are_off_by_any_factor(drawn_groups):
    groups, draws = drawn_groups
    ones = np.ones(len(groups))
    found = statistics.miscalibration(ones, -ones, groups, groups, draws)
    assert found.value == statistics.FARTHEST
    assert np.isfinite(found.drawn).all()
