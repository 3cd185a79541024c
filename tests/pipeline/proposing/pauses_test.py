"""When a silence ends a trail."""

import numpy as np
import polars as pl

from pipeline.proposing.pauses import guess_gap, valley
from pipeline.proposing.sampling import STRETCH


def test_the_gap_is_the_valley_between_two_hills():
    draw = np.random.default_rng(0)
    watching = draw.lognormal(np.log(15), 0.6, 4000)
    away = draw.lognormal(np.log(8 * 3600), 0.5, 800)
    found = valley(np.concatenate([watching, away]))
    assert found.is_known
    # The hills' edges: exp(0.6 * 3) * 15 s = 91 s, exp(-0.5 * 3) * 8 h = 107 min.
    assert 2 <= found.minutes <= 100


def test_one_hill_has_no_valley():
    draw = np.random.default_rng(0)
    found = valley(draw.lognormal(np.log(600), 2.0, 5000))
    assert not found.is_known
    assert found.minutes == 30
    assert "could not know" in found.why


def test_few_pauses_tell_nothing():
    assert not valley(np.array([10.0] * 20 + [9000.0] * 20)).is_known


def test_pauses_begin_at_the_end_of_the_watch_and_stay_in_a_stretch():
    """User 1: begins 0, 10 and 100 s, watched 20, 5 and 0; the other stretch is far."""
    rows = pl.DataFrame(
        {
            STRETCH: [0, 0, 0, 1, 0],
            "user": [1, 1, 1, 1, 2],
            "ms": [0, 10_000, 100_000, 9_000_000, 50_000],
            "watched": [20_000, 5_000, 0, 0, 0],
        }
    )
    found = guess_gap(rows, "user", "ms", "watched")
    # One pause: from 20 s (the first video still runs at 15 s) to 100 s.
    assert "1 pauses" in found.why
