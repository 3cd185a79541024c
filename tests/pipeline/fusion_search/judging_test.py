"""The interval of a paired difference, by hand and by drawing again."""

import math

import numpy as np
import pytest

from pipeline.fusion_search.candidates import Sums
from pipeline.fusion_search.judging import difference


def test_a_difference_of_means_is_the_paired_t_test():
    """A user a group: 0.1, 0.3, 0.2 more; sd 0.1, t with 2 degrees 4.3027."""
    ones = np.ones(3)
    default = Sums(np.array([0.5, 0.2, 0.4]), ones)
    found = Sums(np.array([0.6, 0.5, 0.6]), ones)
    gain = difference(found, default)
    assert gain.mean == pytest.approx(0.2)
    assert gain.half == pytest.approx(4.30265 * 0.1 / math.sqrt(3), rel=1e-4)
    assert gain.pairs == 3


def test_a_change_as_a_share_goes_by_the_ratio():
    """Twice the default for every user: the change is 1, and nothing is uncertain."""
    default = Sums(np.array([1.0, 4.0, 2.0]), np.array([2.0, 5.0, 9.0]))
    gain = difference(Sums(2 * default.over, default.under), default, relative=True)
    assert gain.mean == pytest.approx(1)
    assert gain.half == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_had_is_nan():
    nothing = Sums(np.zeros(3), np.ones(3))
    assert math.isnan(difference(nothing, nothing, relative=True).mean)
    alone = Sums(np.ones(1), np.ones(1))
    assert difference(alone, alone).mean == 0
    assert not difference(alone, alone).has_interval


@pytest.mark.parametrize("relative", [False, True])
def test_the_interval_covers_the_truth_as_often_as_it_says(relative):
    """Users with 1 to 9 groups, alike inside; the truth is known."""
    draw, covered, tries = np.random.default_rng(0), 0, 1000
    for _ in range(tries):
        sizes = draw.integers(1, 10, 80).astype(float)
        taste = draw.normal(0, 0.1, 80)  # of the user, in both orders
        own = draw.normal(0, 0.05, (2, 80))
        default = Sums(sizes * (0.5 + taste + own[0]), sizes)
        found = Sums(sizes * (0.6 + taste + own[1]), sizes)
        gain = difference(found, default, relative=relative)
        covered += gain.low <= (0.2 if relative else 0.1) <= gain.high
    assert 0.93 <= covered / tries <= 0.97
