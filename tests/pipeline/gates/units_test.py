"""Factors between units, and moves that are none."""

import math

import pytest

from pipeline.gates.units import unit_change

_BEFORE = [800.0, 3_000.0, 9_000.0, 21_000.0, 60_000.0]


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1 / 1_000, "seconds instead of milliseconds"),
        (1_000, "milliseconds instead of seconds"),
        (1 / 60, "minutes instead of seconds"),
        (3_600, "seconds instead of hours"),
        (1 / 1_024, "seconds instead of milliseconds, or MiB instead of KiB"),
        (100, "percent instead of shares"),
        (1 / 86_400, "days instead of seconds"),
        (1 / 60_000, "minutes instead of milliseconds"),
    ],
)
def test_a_factor_is_named(factor, told):
    change = unit_change([factor * value for value in _BEFORE], _BEFORE)
    assert change is not None
    assert change.ratio == pytest.approx(factor)
    assert change.larger == (factor > 1)
    assert told in str(change)


def test_rounding_to_the_new_unit_is_allowed_for():
    rounded = [round(value / 1_000) for value in _BEFORE]  # 1, 3, 9, 21, 60
    assert unit_change(rounded, _BEFORE).factor == 1_000


def test_seconds_cut_to_whole_ones_are_coarse_where_they_are_few():
    cut = [math.floor(value / 1_000) for value in [1_950, *_BEFORE[1:]]]  # 1, 3, 9...
    assert unit_change(cut, [1_950, *_BEFORE[1:]]).factor == 1_000


@pytest.mark.parametrize(
    "now",
    [
        _BEFORE,
        [10 * value for value in _BEFORE],  # no two units
        [value + 1e6 for value in _BEFORE],  # moved, not multiplied
        [value * f for value, f in zip(_BEFORE, (60, 80, 100, 120, 90), strict=True)],
        [0.0, 0.0, 0.0, 21.0, 60.0],  # too few quantiles to know
        [math.nan] * 5,
    ],
)
def test_a_drift_is_no_unit(now):
    assert unit_change(now, _BEFORE) is None


def test_one_value_says_nothing():
    assert unit_change([60.0] * 5, [1.0] * 5) is None
