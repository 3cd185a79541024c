"""Distances of distributions: by hand, and as SciPy computes them."""

import math

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from pipeline.gates import mixes
from pipeline.summaries.histogram import Histogram
from pipeline.summaries.summary import ColumnSummary


def _values(**top):
    return ColumnSummary(dtype="string", top=top, values=sum(top.values()))


def _numbers(values):
    values = np.asarray(values, np.float32)
    return ColumnSummary(
        dtype="float32", histogram=Histogram.of(values), values=len(values)
    )


def test_the_divergence_is_scipys():
    rng = np.random.default_rng(1)
    for _ in range(5):
        one, other = rng.integers(1, 9, (2, 6)).astype(float)
        distance = scipy.spatial.distance.jensenshannon(one, other, base=2)
        assert mixes.divergence(one, other) == pytest.approx(distance**2)


def test_the_divergence_goes_from_0_to_1():
    same, apart = np.array([3.0, 1.0]), np.array([[1.0, 0.0], [0.0, 7.0]])
    assert mixes.divergence(same, 10 * same) == 0
    assert mixes.divergence(*apart) == 1


def test_the_gap_is_kolmogorovs():
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 40, 300), rng.integers(5, 50, 200)
    mix = mixes.mix_of_numbers([_numbers(one), _numbers(other)])
    found = mixes.largest_gap(mix.counts[0], mix.counts[1])
    # Whole numbers up to 128 have bins of their own.
    assert found == pytest.approx(scipy.stats.ks_2samp(one, other).statistic)


def test_chance_hardly_ever_gives_as_much():
    """Multinomial days of the same shares, against many days before together."""
    rng = np.random.default_rng(3)
    shares = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    whole = 1e6 * shares
    for n in (30, 1_000):
        days = rng.multinomial(n, shares, 2_000).astype(float)
        most = mixes.divergence_by_chance(5, n)
        assert max(mixes.divergence(day, whole) for day in days) < most
        most = mixes.gap_by_chance(5, n)
        assert max(mixes.largest_gap(day, whole) for day in days) < most


def test_quantiles_are_numpys_of_whole_numbers():
    values = np.random.default_rng(4).integers(0, 100, 997)
    wanted = np.quantile(values, mixes.QUANTILES, method="inverted_cdf")
    assert mixes.quantiles(_numbers(values)) == wanted.tolist()
    of_top = ColumnSummary(
        dtype="int64", top={v: int(n) for v, n in enumerate(np.bincount(values))}
    )
    assert mixes.quantiles(of_top) == wanted.tolist()
    assert all(map(math.isnan, mixes.quantiles(_numbers([]))))


def _distance(columns, others=(), limit=0.1, n=1e9):
    return mixes.distance(
        mixes.mix_of_values(columns),
        others,
        limit,
        n,
        6.0,
        measure=mixes.divergence,
        by_chance=mixes.divergence_by_chance,
    )


def test_days_that_differ_from_each_other_let_a_day_differ():
    quiet = [_values(a=60, b=40)] * 6
    wild = [_values(a=90, b=10), _values(a=30, b=70), _values(a=60, b=40)] * 2
    now = _values(a=20, b=80)
    found = _distance([*quiet, now])
    assert found.value > found.most
    found = _distance([*wild, now])
    assert found.value < found.most


def test_each_day_before_is_compared_with_the_others():
    """Without itself: two days that have nothing in common are 1 apart."""
    found = _distance([_values(a=5), _values(b=5), _values(a=5)])
    assert found.typical == 1


def test_a_day_may_be_like_one_of_the_days_before():
    days = [*[_values(a=90, b=10)] * 6, _values(a=10, b=90)]
    alone = _distance([*days, _values(a=11, b=89)])
    like = _distance([*days, _values(a=11, b=89)], others=[6])
    assert alone.value > alone.most
    assert like.value == pytest.approx(0, abs=1e-3)


def test_without_values_there_is_no_distance():
    assert _distance([_values(), _values(a=1)]) is None
    assert _distance([_values(a=1), _values()]) is None


def test_values_beyond_those_that_are_counted_are_all_others():
    column = ColumnSummary(dtype="string", top={"a": 5}, values=8, others=3)
    mix = mixes.mix_of_values([column, _values(a=1, b=2)])
    assert mix.values == ["a", "b", mixes.OTHERS]
    assert mix.counts.tolist() == [[5, 0, 3], [1, 2, 0]]


def test_exchanged_names_are_told_from_other_moves():
    before = [_values(a=300, b=200, c=500)] * 2
    assert mixes.exchanged(
        mixes.mix_of_values([*before, _values(a=200, b=300, c=500)])
    ) == ("a", "b")
    moved = mixes.mix_of_values([*before, _values(a=100, b=400, c=500)])
    assert mixes.exchanged(moved) is None
    near = [_values(a=210, b=200, c=590)] * 2  # nobody could tell
    found = mixes.mix_of_values([*near, _values(a=200, b=210, c=590)])
    assert mixes.exchanged(found) is None
