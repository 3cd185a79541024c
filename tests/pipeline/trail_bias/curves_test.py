"""Relative rates and their bands: by hand, by plain arithmetic, and by experiment."""

import math

import numpy as np
import pytest

from pipeline.trail_bias.curves import compare, curve


def _cells(counts: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Counts and positives [B, G] of weight 1 -> cells [B, G, 4]."""
    unit = 1_000_000
    parts = [counts, positives, counts * unit, positives * unit]
    return np.stack(parts, axis=-1).astype(np.int64)


def _naive_band(counts, positives, other_counts=None, other_positives=None):
    """(ratio, low, high) of the last bin of 10 groups, one group after the other."""

    def log_relative(left_out):
        found = 0.0
        for n, y, sign in (
            (counts, positives, 1),
            (other_counts, other_positives, -1),
        ):
            if n is None:
                continue
            rates = []
            for place in (0, -1):
                kept = [g for g in range(10) if g != left_out]
                rates.append(
                    sum(y[place][g] for g in kept) / sum(n[place][g] for g in kept)
                )
            found += sign * math.log(rates[1] / rates[0])
        return found

    whole = log_relative(None)
    spread = sum((log_relative(g) - whole) ** 2 for g in range(10)) * 9 / 10
    half = 2.262157 * math.sqrt(spread)  # t table: 9 degrees of freedom
    return [math.exp(whole + d) for d in (0, -half, half)]


def test_equal_groups_give_the_ratio_without_doubt():
    counts = np.full((3, 10), 8)
    positives = np.array([[4], [2], [6]]) * np.ones((1, 10))
    found = curve(_cells(counts, positives))
    np.testing.assert_allclose(found.rate, [0.5, 0.25, 0.75])
    for values in (found.relative.ratio, found.relative.low, found.relative.high):
        np.testing.assert_allclose(values, [1.0, 0.5, 1.5])
    assert found.impressions.tolist() == [80] * 3
    assert found.positives.tolist() == [40, 20, 60]


def test_rates_are_weighted():
    cells = _cells(np.full((2, 10), 4), np.full((2, 10), 2))
    cells[1, :, 3] //= 2  # the positives of the last bin weigh half
    found = curve(cells)
    np.testing.assert_allclose(found.rate, [0.5, 0.25])
    np.testing.assert_allclose(found.relative.ratio, [1.0, 0.5])


def test_the_band_is_the_jackknife_over_groups():
    draw = np.random.default_rng(4)
    counts = draw.integers(5, 40, (2, 10))
    positives = draw.binomial(counts, 0.4)
    other = draw.integers(5, 40, (2, 10)), draw.integers(1, 5, (2, 10))
    band = curve(_cells(counts, positives)).relative
    expected = _naive_band(counts, positives)
    np.testing.assert_allclose(
        [band.ratio[1], band.low[1], band.high[1]], expected, rtol=1e-4
    )
    assert [band.ratio[0], band.low[0], band.high[0]] == [1, 1, 1]
    band = compare(_cells(counts, positives), _cells(*other))
    expected = _naive_band(counts, positives, *other)
    np.testing.assert_allclose(
        [band.ratio[1], band.low[1], band.high[1]], expected, rtol=1e-4
    )


def test_groups_without_rows_are_no_evidence():
    counts, positives = np.full((2, 10), 9), np.array([[3, 4] * 5, [1, 2] * 5])
    full = curve(_cells(counts, positives)).relative
    empty = np.zeros((2, 30), int)
    padded = curve(
        _cells(np.hstack([counts, empty]), np.hstack([positives, empty]))
    ).relative
    np.testing.assert_allclose(padded.low, full.low)
    np.testing.assert_allclose(padded.high, full.high)


@pytest.mark.parametrize(
    ("positives", "why"),
    [
        ([[9] * 9, [9] * 9], "nine groups"),
        ([[9] * 10, [4] + [0] * 9], "four positives, all of one group"),
        ([[9] * 10, [6] + [0] * 9], "all positives of one group"),
        ([[1] * 4 + [0] * 6, [9] * 10], "four positives in the first bin"),
        ([[9] * 10, [0] * 10], "no positive"),
        ([[0] * 10, [9] * 10], "no positive in the first bin"),
    ],
)
def test_a_bin_that_says_too_little_has_no_band(positives, why):
    found = curve(_cells(np.full(np.shape(positives), 20), np.array(positives)))
    assert math.isnan(found.relative.low[1]) and math.isnan(found.relative.high[1]), why


def test_a_bin_without_rows_has_no_rate():
    counts = np.array([[5] * 10, [0] * 10])
    found = curve(_cells(counts, counts // 2))
    assert found.rate[0] == pytest.approx(0.4)
    assert math.isnan(found.rate[1]) and math.isnan(found.relative.ratio[1])


@pytest.mark.stochastic
@pytest.mark.parametrize(
    ("users", "rows", "rate"), [(2000, 12, 0.3), (2000, 12, 0.02), (60, 200, 0.3)]
)
def test_the_band_covers_the_truth_as_often_as_it_says(users, rows, rate, any_seed):
    # Users differ in how much they watch, in their rate, and in how it moves: halves
    # or stays, on average 0.75 of the first bin. Rows of one user are alike.
    draw = np.random.default_rng(7 + any_seed)
    covered = []
    for _ in range(400):
        group = draw.integers(0, 200, users)
        activity = np.exp(draw.normal(0, 0.7, users)) * rows
        level = rate * np.exp(draw.normal(-0.125, 0.5, users))
        move = draw.choice([0.5, 1.0], users)
        cells = np.zeros((2, 200, 2), np.int64)
        for place, rates in enumerate((level, level * move)):
            counts = draw.poisson(activity)
            positives = draw.binomial(counts, np.minimum(rates, 1))
            np.add.at(cells[place], group, np.stack([counts, positives], axis=-1))
        band = curve(_cells(cells[..., 0], cells[..., 1])).relative
        covered.append(band.low[1] <= 0.75 <= band.high[1])
    assert 0.92 <= np.mean(covered) <= 0.98  # standard error 0.011
