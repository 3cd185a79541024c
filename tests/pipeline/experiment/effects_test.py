"""Relative changes and their intervals, against arithmetic and against many draws."""

import math

import numpy as np
import pytest

from pipeline.experiment.effects import (
    FEWEST,
    UserSums,
    always_half,
    effect,
    linearised,
    ratio,
)


def _sums(y, n=None):
    y = np.asarray(y, float)
    return UserSums(y=y, n=np.ones(len(y)) if n is None else np.asarray(n, float))


def test_means_have_the_delta_methods_interval():
    control = _sums([1, 2, 3, 4, 5, 1, 2, 3, 4, 5])  # mean 3, variance 20 / 9
    treatment = _sums([2, 4, 6, 8, 10, 2, 4, 6, 8, 10])
    found = effect(control, treatment)
    of_c, of_t = 20 / 9 / 10, 4 * 20 / 9 / 10
    assert found.change == pytest.approx(1.0)
    assert (found.control, found.treatment) == (3, 6)
    variance = of_t / 3**2 + 6**2 * of_c / 3**4
    assert found.half == pytest.approx(1.95996398 * math.sqrt(variance))


def test_a_ratio_counts_users_not_rows():
    """Of rates by user, the delta method's variance is sum (y - R n)^2 / (n-1) / N."""
    y, n = [1.0, 0, 3, 2, 9] * 4, [4.0, 2, 5, 2, 30] * 4
    shares = linearised(_sums(y, n))
    rate = 15 / 43
    assert ratio(_sums(y, n)) == pytest.approx(rate)
    assert shares.mean() == pytest.approx(rate)
    residual = np.array(y) - rate * np.array(n)
    assert shares.std() == pytest.approx(residual.std() / (43 / 5))


def test_what_the_days_before_tell_is_taken_out():
    """A treatment that adds nothing to users who differ by habit alone."""
    rng = np.random.default_rng(0)
    habit = rng.lognormal(size=400)
    before = _sums(habit[:200]), _sums(habit[200:])
    after = _sums(2 * habit[:200]), _sums(2 * habit[200:] * 1.1)
    plain, found = effect(*after), effect(*after, before)
    assert found.change == pytest.approx(0.1, abs=0.01)
    assert found.half < plain.half / 5
    assert found.variance_left < 1 / 25
    no_days = tuple(_sums(np.zeros(200), np.zeros(200)) for _ in range(2))
    assert effect(*after, no_days) == plain


@pytest.mark.parametrize("variance", [1e-6, 1e-3, 0.2])
@pytest.mark.parametrize("tau", [0.01, 0.05, 0.3])
def test_the_sequence_ends_where_the_mixture_rejects(variance, tau):
    """Robbins: the likelihood ratio of a normal mixture of changes is 1 / alpha there."""
    half = always_half(variance, tau)
    both = variance + tau**2
    log_ratio = (math.log(variance / both) + tau**2 * half**2 / (variance * both)) / 2
    assert log_ratio == pytest.approx(math.log(20))


def test_too_few_users_have_no_interval():
    some, many = _sums([1] * (FEWEST - 1) + [0] * 50), _sums([1] * 60)
    assert math.isnan(effect(some, many).half)
    assert math.isnan(effect(many, some).change)
    assert not effect(many, some).is_significant
    assert not effect(many, some).is_always_significant


@pytest.mark.stochastic
def test_an_interval_covers_no_effect_as_often_as_it_says(any_seed):
    """Users with habits, daily looks: 5 % for one look, no more for all together."""
    rng = np.random.default_rng([any_seed, 7])
    runs, users, days = 800, 120, 8
    once = ever = 0
    for _ in range(runs):
        habit = rng.gamma(2.0, size=users)
        daily = rng.poisson(habit, size=(days + 3, users))
        before = daily[:3].sum(axis=0)
        parts = slice(0, users // 2), slice(users // 2, users)
        looks = [
            effect(
                *(_sums(daily[3 : 4 + day, p].sum(axis=0)) for p in parts),
                tuple(_sums(before[p]) for p in parts),
                mixture_sd=0.2,
            )
            for day in range(days)
        ]
        once += looks[-1].is_significant
        ever += any(look.is_always_significant for look in looks)
    assert 0.025 < once / runs < 0.08  # 3.3 standard deviations of 0.05 on 800 runs
    assert ever / runs < 0.06
