"""Bins of floats: where they end, what quantiles they give."""

import math

import numpy as np
import pytest

from pipeline.summaries.histogram import Histogram, edge


def _of(*values):
    return Histogram.of(np.array(values, np.float32))


def test_a_bin_is_a_64th_of_an_octave():
    one = next(iter(_of(1.0).bins))
    assert edge(one) == 1.0
    assert edge(one + 1) == 1 + 1 / 64
    assert edge(one + 64) == 2.0
    assert edge(-one) == -1.0
    # 1 and all below 1 + 1/64 share a bin, and 1 - 2^-24 is in the one before.
    below = np.nextafter(np.float32(1), np.float32(0))
    assert _of(1.0, 1.015, 1.0157, below).bins == {one - 1: 1, one: 2, one + 1: 1}


def test_zero_is_alone():
    tiny = np.float32(2.0**-149)
    assert _of(0.0, -0.0, tiny, -tiny).bins == {-1: 1, 0: 2, 1: 1}
    assert _of(0.0, -0.0, tiny).zeros == 2


def test_quantiles_of_small_whole_numbers_are_exact():
    found = _of(*range(1, 101))
    assert [found.quantile(q) for q in (0.01, 0.25, 0.5, 0.999, 1)] == [
        1,
        25,
        50,
        100,
        100,
    ]
    assert found.quantile(0) == 1
    assert math.isnan(_of().quantile(0.5))


def test_negative_numbers_come_first():
    found = _of(-8.0, -2.0, 0.0, 2.0, 4.0)
    assert [found.quantile(n / 5) for n in range(1, 6)] == [-8, -2, 0, 2, 4]


def test_quantiles_are_near_those_of_numpy(any_seed):
    draw = np.random.default_rng(any_seed)
    values = draw.lognormal(3, 2, 5_000).astype(np.float32)
    found = Histogram.of(values)
    for share in (0.01, 0.1, 0.5, 0.9, 0.999):
        wanted = np.quantile(values, share, method="inverted_cdf")
        assert wanted / (1 + 1 / 64) <= found.quantile(share) <= wanted


def test_parts_add_up(any_seed):
    values = np.random.default_rng(any_seed).normal(size=999).astype(np.float32)
    one, other = Histogram.of(values[:300]), Histogram.of(values[300:])
    whole = Histogram.of(values)
    assert one.merge(other) == other.merge(one) == whole
    assert list(one.merge(other).bins) == list(whole.bins)  # in order, for quantiles
    assert whole.count == 999


def test_ranges_hold_their_numbers():
    values = [-3.7, -0.01, 0.0, 0.5, 1e30]
    for value, (low, high, count) in zip(values, _of(*values).ranges(), strict=True):
        assert count == 1
        assert low <= np.float32(value) <= high
        assert high - low <= abs(value) / 64


@pytest.mark.parametrize("values", [(), (0.0, -1.5, 7.0)])
def test_a_histogram_comes_back_from_json(values):
    found = _of(*values)
    assert Histogram.from_json(found.to_json()) == found
