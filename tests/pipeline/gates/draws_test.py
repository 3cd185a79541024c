"""Groups of users, draws of them, and intervals that hold together."""

import numpy as np
import pytest
from scipy import stats

from pipeline.gates.draws import GROUPS, bound, draw, groups_of


def test_a_user_is_in_one_group_whatever_its_row():
    users = np.array([7, -3, 7, 2**62, -3])
    groups = groups_of(users)
    assert groups[0] == groups[2] and groups[1] == groups[4]
    assert groups.min() >= 0 and groups.max() < GROUPS


def test_users_with_ids_in_a_row_are_spread():
    counts = np.bincount(groups_of(np.arange(100 * GROUPS)), minlength=GROUPS)
    assert counts.min() > 50 and counts.max() < 150  # 100, and 5 deviations of 10


def test_each_draw_has_as_many_groups_as_there_are():
    groups = groups_of(np.array([1, 2, 3, 1]))
    draws = draw(groups, 50)
    assert (draws.sum(axis=1) == len(np.unique(groups))).all()
    absent = np.setdiff1d(np.arange(GROUPS), groups)
    assert not draws[:, absent].any()


def test_rows_are_drawn_alike_every_time():
    users = np.arange(500)
    shuffled = np.random.default_rng(1).permutation(users)
    np.testing.assert_array_equal(
        draw(groups_of(users), 20), draw(groups_of(shuffled), 20)
    )


@pytest.mark.parametrize("comparisons", [1, 20])
def test_intervals_hold_together(comparisons, any_seed):
    """Of independent normal losses the largest stays below the quantile of a normal to
    the power of how many there are."""
    generator = np.random.default_rng(any_seed)
    errors = generator.uniform(0.1, 3, comparisons)
    drawn = generator.normal(0, errors, (20_000, comparisons))
    losses = np.zeros(comparisons)
    low, high, width = bound(losses, drawn, 0.95)
    assert width == pytest.approx(stats.norm.ppf(0.95 ** (1 / comparisons)), abs=0.06)
    np.testing.assert_allclose(high, -low)
    np.testing.assert_allclose(high, width * errors, rtol=0.05)


def test_comparisons_that_say_the_same_count_once(any_seed):
    one = np.random.default_rng(any_seed).normal(0, 1, (5_000, 1))
    _, _, alone = bound(np.zeros(1), one, 0.95)
    _, _, copied = bound(np.zeros(9), np.repeat(one, 9, axis=1), 0.95)
    assert copied == pytest.approx(alone)


def test_a_loss_that_never_moves_has_no_width():
    low, high, _ = bound(np.array([0.5]), np.full((100, 1), 0.5), 0.95)
    assert (low[0], high[0]) == (0.5, 0.5)
