"""The statistics, against printed tables and figures worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from pipeline.reporting.intervals import paired_gain, student_t, summarise

NAN = math.nan


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [  # a printed t table, two-sided 95 %
        *((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447)),
        *((7, 2.365), (8, 2.306), (9, 2.262), (10, 2.228), (29, 2.045), (120, 1.980)),
    ],
)
def test_t_is_that_of_the_table(freedom, quantile):
    assert student_t(0.95, freedom) == pytest.approx(quantile, abs=5.1e-4)


def test_t_of_other_levels():
    assert student_t(0.99, 4) == pytest.approx(4.604, abs=5e-4)
    assert student_t(0.5, 1) == pytest.approx(1)  # Cauchy's quartile
    assert student_t(0.9, 2) == pytest.approx(2.920, abs=5e-4)


@pytest.mark.parametrize("freedom", [1, 2, 9, 199, 100_000])
def test_t_gives_back_its_level(freedom):
    # By the distribution itself, integrated by scipy: 95 % lie within.
    edge = student_t(0.95, freedom)
    inside = stats.t.cdf(edge, freedom) - stats.t.cdf(-edge, freedom)
    assert inside == pytest.approx(0.95, abs=1e-10)


@pytest.mark.parametrize("level", [0, 1, 95, NAN])
def test_a_level_is_a_share(level):
    with pytest.raises(ValueError, match="level: must be above 0 and below 1. Got"):
        student_t(level, 4)


def test_t_without_freedom_is_refused():
    with pytest.raises(ValueError, match="freedom: must be at least 1. Got 0."):
        student_t(0.95, 0)


def test_gain_is_the_mean_of_the_pairs_differences():
    values, baseline = {0: 0.72, 1: 0.75, 2: 0.71}, {0: 0.70, 1: 0.74, 2: 0.70}
    gain = paired_gain(values, baseline, 1)  # differences 0.02, 0.01, 0.01
    assert gain.mean == pytest.approx(0.04 / 3)
    # Their standard deviation is 0.01 / sqrt(3), over sqrt(3) seeds; t = 4.303.
    assert gain.half == pytest.approx(4.303 * 0.01 / 3, rel=1e-4)
    assert gain.low == pytest.approx(0.04 / 3 - 0.014343, abs=1e-6)
    assert gain.high == pytest.approx(0.04 / 3 + 0.014343, abs=1e-6)
    assert (gain.pairs, gain.has_interval, gain.is_significant) == (3, True, False)


def test_a_lower_error_is_a_gain():
    gain = paired_gain({0: 1.0, 1: 1.1}, {0: 1.5, 1: 1.61}, -1)
    assert gain.mean == pytest.approx(0.505)
    assert gain.half == pytest.approx(12.706 * 0.005, rel=1e-4)  # sd 0.01 / sqrt(2)
    assert gain.is_significant


def test_a_loss_can_be_significant_too():
    gain = paired_gain({0: 0.5, 1: 0.51, 2: 0.52}, {0: 0.6, 1: 0.61, 2: 0.621}, 1)
    assert gain.high < 0
    assert gain.is_significant


def test_only_seeds_that_both_have_are_pairs():
    gain = paired_gain({0: 0.5, 2: 0.7, 3: 0.9}, {1: 0.1, 2: 0.6, 3: 0.6}, 1)
    assert gain.pairs == 2
    assert gain.mean == pytest.approx(0.2)


def test_one_seed_has_no_interval():
    gain = paired_gain({0: 0.6}, {0: 0.5}, 1)
    assert gain.mean == pytest.approx(0.1)
    assert (gain.has_interval, gain.is_significant, gain.pairs) == (False, False, 1)


def test_no_seed_in_common_is_no_gain():
    gain = paired_gain({0: 0.6}, {1: 0.5}, 1)
    assert math.isnan(gain.mean)
    assert gain.pairs == 0


def test_equal_models_gain_nothing_for_certain():
    gain = paired_gain({0: 0.6, 1: 0.7}, {0: 0.6, 1: 0.7}, 1)
    assert (gain.low, gain.high, gain.is_significant) == (0, 0, False)


def test_summary_of_known_values():
    summary = summarise([1.0, 2.0, NAN, 6.0])
    assert (summary.mean, summary.n) == (3.0, 3)
    assert summary.sd == pytest.approx(math.sqrt(7))  # (4 + 1 + 9) / 2
    assert summary.half == pytest.approx(4.3027 * math.sqrt(7 / 3), rel=1e-4)
    assert math.isnan(summarise([1.0]).sd)
    assert math.isnan(summarise([1.0]).half)
    assert math.isnan(summarise([]).mean)


@pytest.mark.stochastic
def test_intervals_cover_what_they_claim(any_seed):
    rng = np.random.default_rng(any_seed)
    shared = rng.normal(size=(4000, 5))  # what a seed does to both models
    values, baseline = 0.3 + shared + rng.normal(size=(4000, 5)), shared
    gains = [
        paired_gain(dict(enumerate(a)), dict(enumerate(b)), 1)
        for a, b in zip(values.tolist(), baseline.tolist(), strict=True)
    ]
    covered = np.mean([gain.low < 0.3 < gain.high for gain in gains])
    assert covered == pytest.approx(0.95, abs=0.017)  # five standard errors
