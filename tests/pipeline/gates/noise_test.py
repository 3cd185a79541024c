"""How far a measure may be from the days before it; expected values by hand."""

import math

import pytest

from pipeline.gates.noise import (
    Level,
    Limits,
    expect,
    independent_rows,
    never,
    robust_spread,
    typical_spread,
)

_WIDE = Limits(1.0, 1.0)


def _levels(*values, spread=0.0):
    return [Level(value, 100.0, spread) for value in values]


def test_rows_of_one_user_count_for_less():
    # 100 rows of 10 users: 1 + (10 - 1) * 0.1 = 1.9.
    assert independent_rows(100, 10, 0.1) == pytest.approx(100 / 1.9)
    assert independent_rows(100, 10, 1.0) == 10  # what belongs to the user
    assert independent_rows(100, 100, 1.0) == 100
    assert independent_rows(0, 10, 1.0) == 0


def test_a_spread_that_one_odd_day_does_not_move():
    # Deviations of 1, 2, 3, 4, 100 from 3: 2, 1, 0, 1, 97; their median is 1.
    assert robust_spread([1, 2, 3, 4, 100]) == pytest.approx(1.4826 * (1 + 4 / 5))


def test_within_the_limit_a_day_passes_however_quiet_the_days_before_were():
    found = expect(Level(5.9, 100, 0.0), _levels(5, 5, 5), [], _WIDE, z=6)
    assert (found.centre, found.low, found.high) == (5, 4, 6)
    assert found.times == pytest.approx(0.9)
    assert expect(Level(6.1, 100, 0.0), _levels(5, 5, 5), [], _WIDE, z=6).times > 1


def test_noise_lets_more_pass_than_the_limit():
    """Of the days before: a MAD of 1, of three days."""
    before = _levels(4, 5, 6)
    most = 6 * 1.4826 * (1 + 4 / 3)
    found = expect(Level(5 + most, 100, 0.0), before, [], _WIDE, z=6)
    assert found.times == pytest.approx(1)


def test_chance_lets_more_pass_even_if_the_days_before_agree():
    """Rows with a spread of 10, 25 of them: a standard error of 2."""
    before = _levels(5, 5, 5, spread=10.0)
    found = expect(Level(5 + 12, 25, 10.0), before, [], _WIDE, z=6)
    assert found.times == pytest.approx(1)


def test_a_day_may_be_like_another_instead_of_the_median():
    before = _levels(5, 5, 5, 9)
    plain = expect(Level(9.5, 100, 0.0), before, [], _WIDE, z=1)
    assert plain.times > 1
    found = expect(Level(9.5, 100, 0.0), before, before[3:], _WIDE, z=1)
    assert (found.centre, found.times) == (9, pytest.approx(0.5))


def test_down_and_up_have_limits_of_their_own():
    limits = Limits(math.inf, 0.5)
    assert expect(Level(0, 100, 0.0), _levels(9, 9), [], limits, z=6).times == 0
    assert expect(Level(9.6, 100, 0.0), _levels(9, 9), [], limits, z=6).times > 1


def test_where_nothing_may_move_any_move_is_beyond_measure():
    nothing = Limits(0.0, 0.0)
    assert expect(Level(1, 100, 0.0), _levels(0, 0), [], nothing, z=6).times == math.inf
    assert expect(Level(0, 100, 0.0), _levels(0, 0), [], nothing, z=6).times == 0


def test_a_column_that_had_one_value_is_measured_by_what_it_has_now():
    assert typical_spread(Level(1, 100, 0.3), _levels(0, 0, 0)) == 0.3
    assert typical_spread(Level(1, 100, 0.3), _levels(0, 0, spread=0.2)) == 0.2


@pytest.mark.parametrize(
    ("share", "n", "impossible"),
    [
        (0.5, 20, False),  # 20 ln 2 = 13.9
        (0.5, 21, True),  # 14.6
        (0.001, 10_000, False),
        (0.001, 14_000, True),
        (0.0, 1e9, False),
        (1.0, 1, True),
    ],
)
def test_what_rows_cannot_all_miss(share, n, impossible):
    assert never(share, n) == impossible
