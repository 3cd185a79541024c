"""Estimates and measures against arithmetic, scipy's definitions and a simulation."""

import math

import numpy as np
import pytest

from serving.compare_logs.measures import (
    Estimate,
    change,
    kendall,
    mean,
    nearest_rank,
    overlap,
    ratio,
    spearman,
    stability_index,
)

T_1, T_2 = 12.7062047, 4.3026527  # Student's t, two-sided 95 %, of 1 and 2


def test_a_mean_of_single_values_has_student_s_interval():
    found = mean([1.0, 2.0, 6.0], ["a", "b", "c"])
    error = math.sqrt((4 + 1 + 9) / 2 / 3)  # of the mean, 3
    assert found.value == 3 and found.clusters == 3
    assert found.error == pytest.approx(error)
    assert found.high - found.value == pytest.approx(T_2 * error)
    assert found.low == pytest.approx(3 - T_2 * error)


def test_a_ratio_by_clusters():
    found = ratio([1.0, 2.0, 3.0], [2.0, 2.0, 4.0], ["u", "u", "v"])
    # 6 / 8; u is 3 - 0.75 * 4 = 0 off, v as much.
    assert (found.value, found.error, found.clusters) == (0.75, 0.0, 2)
    found = ratio([2.0, 2.0, 2.0], [2.0, 2.0, 4.0], ["u", "u", "v"])
    # u is 4 - 0.75 * 4 = 1 off, v is 2 - 0.75 * 4 = -1 off.
    assert found.error == pytest.approx(math.sqrt(2 * 2) / 8)
    assert found.high == pytest.approx(0.75 + T_1 * 0.25)


def test_the_order_of_rows_does_not_matter():
    rows = [(1.0, 2.0, "b"), (5.0, 2.0, "a"), (2.0, 3.0, "b"), (4.0, 1.0, "c")]
    found = [
        ratio(*map(list, zip(*order, strict=True))) for order in (rows, rows[::-1])
    ]
    assert found[0].error == pytest.approx(found[1].error)
    assert found[0].value == found[1].value


@pytest.mark.parametrize("values", [[], [1.0]])
def test_one_cluster_has_no_interval(values):
    found = mean(values, ["a"] * len(values))
    assert math.isnan(found.low) and math.isnan(found.error)
    assert math.isnan(found.value) == (not values)


def test_the_change_of_a_mean_by_the_delta_method():
    def estimate(value, error):
        return Estimate(value=value, low=0, high=0, error=error, clusters=500)

    found = change(estimate(3.0, 0.3), estimate(2.0, 0.15))
    spread = math.sqrt(0.1**2 + 0.075**2)  # of the logarithm
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(1.5 * spread)
    assert found.low == pytest.approx(1.5 * math.exp(-1.9623 * spread) - 1, rel=1e-4)
    assert found.high == pytest.approx(1.5 * math.exp(1.9623 * spread) - 1, rel=1e-4)
    assert math.isnan(change(estimate(-1.0, 0.1), estimate(2.0, 0.1)).value)


def test_intervals_by_users_hold_where_those_by_rows_do_not():
    """60 users of 10 rows that are alike: a band by rows is three times too narrow."""
    draws = np.random.default_rng(0)
    held, narrow = 0, 0
    users = np.repeat(np.arange(60), 10)
    for _ in range(300):
        values = 5 + np.repeat(draws.normal(size=60), 10)
        found = mean(values, users)
        held += found.low <= 5 <= found.high
        plain = mean(values, np.arange(600))
        narrow += plain.low <= 5 <= plain.high
    # 285 with a standard deviation of 3.8; by rows some 140.
    assert 266 <= held <= 300 and narrow < 200


def test_psi_by_hand():
    old, empty = np.arange(1.0, 11.0), 1e-4
    assert stability_index(old, old) == 0
    expected = 9 * (empty - 0.1) * math.log(empty / 0.1) + 0.9 * math.log(10)
    assert stability_index(old, np.full(7, 10.0)) == pytest.approx(expected)
    assert stability_index(np.ones(5), np.ones(3)) == 0
    assert math.isnan(stability_index([], [1.0]))


def test_orders_by_hand():
    first = np.array([3.0, 2.0, 1.0])
    assert kendall(first, first) == spearman(first, first) == pytest.approx(1)
    assert kendall(first, first[::-1]) == pytest.approx(-1)
    other = np.array([2.0, 3.0, 1.0])  # one pair of three is turned around
    assert kendall(first, other) == pytest.approx(1 / 3)
    assert spearman(first, other) == pytest.approx(1 - 6 * 2 / 24)
    tied = np.array([2.0, 2.0, 1.0])  # tau-b: 2 pairs of sqrt(3 * 2)
    assert kendall(first, tied) == pytest.approx(2 / math.sqrt(6))
    for measure in (kendall, spearman):
        assert math.isnan(measure(first, np.ones(3)))
        assert math.isnan(measure(np.ones(1), np.ones(1)))


def test_overlap_of_the_best():
    assert overlap([1, 2, 3], [2, 1, 3], 1) == 0
    assert overlap([1, 2, 3], [2, 1, 3], 2) == 1
    assert overlap([1, 2, 3], [3, 2, 1], 2) == 0.5
    assert overlap([1, 2], [2, 3, 1], 9) == 0.5  # as many as were answered
    assert math.isnan(overlap([], [], 3))


def test_percentiles_are_values():
    assert nearest_rank(range(1, 101), 990) == 99
    assert nearest_rank([7.0, 5.0], 500) == 5
    assert nearest_rank([7.0, 5.0], 1000) == 7
    assert math.isnan(nearest_rank([], 500))
