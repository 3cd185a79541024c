"""Moments: exact, in every order. References are fractions, and values by hand."""

import fractions
import math
import random

import numpy as np
import pytest

from pipeline.summaries.exact import Moments, merge_moments


def _reference(values):
    """(mean, variance) of numbers, rounded once."""
    exact = [fractions.Fraction(float(value)) for value in values]
    mean = sum(exact) / len(exact)
    return float(mean), float(sum((x - mean) ** 2 for x in exact) / len(exact))


def test_moments_of_few_numbers():
    found = Moments.of(np.array([1.0, 2.0, 4.5], np.float32))
    assert found.count == 3
    assert found.mean == 2.5
    assert found.variance == pytest.approx((1.5**2 + 0.5**2 + 2**2) / 3, rel=1e-15)
    assert (found.smallest, found.largest) == (1.0, 4.5)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_nothing_has_no_mean_and_changes_nothing(dtype):
    none = Moments.of(np.zeros(0, dtype))
    assert none == Moments()
    assert math.isnan(none.mean)
    assert math.isnan(none.variance)
    some = Moments.of(np.array([3], dtype))
    assert none.merge(some) == some == some.merge(none)
    assert merge_moments([None, some, None]) == some
    assert merge_moments([None]) is None


def test_floats_of_every_size_are_summed_without_rounding():
    smallest, largest = np.float32(2.0**-149), np.finfo(np.float32).max
    values = np.array([largest, smallest, -largest, 1.0], np.float32)
    found = Moments.of(values)
    assert found.total == 1 + (1 << 149)  # in units of 2^-149
    assert found.squares == 2 * int(float(largest)) ** 2 * 2**298 + 1 + 2**298
    assert found.mean == 0.25  # a float64 sum of these is 0 or 1


def test_large_whole_numbers_are_summed_without_rounding():
    values = [-(2**63), 2**63 - 1, 2**53 + 1, -(2**31), 2**32 - 1, 0, -1]
    found = Moments.of(np.array(values, np.int64))
    assert found.total == sum(values) << 149
    assert found.squares == sum(value**2 for value in values) << 298
    small = Moments.of(np.array([2**31, 2**31 - 1], np.int64))  # below 2^32
    assert small.squares == (2**62 + (2**31 - 1) ** 2) << 298


def test_moments_are_those_of_fractions(any_seed):
    draw = np.random.default_rng(any_seed)
    wide = draw.normal(size=500) * 10.0 ** draw.integers(-30, 30, 500)
    for values in (wide.astype(np.float32), draw.integers(-(2**40), 2**40, 300)):
        found, (mean, variance) = Moments.of(values), _reference(values)
        assert found.mean == mean
        assert found.variance == pytest.approx(variance, rel=1e-15)


def test_a_far_away_mean_leaves_the_variance_right():
    values = np.array([16_777_215, 16_777_216] * 50, np.float32)  # 2^24 and one less
    assert Moments.of(values).variance == 0.25


def test_parts_in_any_order_give_the_same(any_seed):
    draw = random.Random(any_seed)
    values = np.array([draw.gauss(0, 1) * 1e6 for _ in range(997)], np.float32)
    whole = Moments.of(values)
    edges = sorted(draw.sample(range(998), 6))
    parts = [Moments.of(part) for part in np.split(values, edges)]
    draw.shuffle(parts)
    assert merge_moments(parts) == whole
    assert Moments.of(values[::-1].copy()) == whole


def test_moments_come_back_from_json():
    for values in ([-1.5, 2.25], []):
        found = Moments.of(np.array(values, np.float32))
        assert Moments.from_json(found.to_json()) == found
