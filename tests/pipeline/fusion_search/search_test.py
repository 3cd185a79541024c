"""The evolution against a search of everything, and what it has to keep."""

import dataclasses

import numpy as np
import pytest

from pipeline.fusion_search.candidates import VALUE
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.search import anchored, search
from tests.pipeline.fusion_search.toy import toy

_START = np.array([0.2, 0.2])


def _value(candidates, weights):
    return candidates.measure(np.asarray(weights), [VALUE])[VALUE].ratio


def test_it_finds_what_all_angles_find(any_seed):
    """Of two weights an order knows the angle alone."""
    candidates = toy(any_seed)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    every = [_value(candidates, [np.cos(a), np.sin(a)]) for a in angles]
    found, trials = search(
        candidates, _START, evaluations=250, seed=any_seed, scale_free=True
    )
    best = max(every)
    assert best > _value(candidates, _START) + 0.05  # there is something to find
    assert _value(candidates, found) >= 0.995 * best
    assert len(trials) == 250
    assert np.abs(found).sum() == pytest.approx(0.4, rel=1e-3)


def test_the_same_seed_gives_the_same_weights():
    one = search(toy(), _START, evaluations=40, seed=3)[0]
    np.testing.assert_array_equal(one, search(toy(), _START, evaluations=40, seed=3)[0])
    assert (one != search(toy(), _START, evaluations=40, seed=4)[0]).any()


def test_constraints_hold_on_the_searched_rows_and_cost_value():
    candidates = toy(5)
    free = search(candidates, _START, evaluations=150)[0]
    limit = Constraint("like", "<=", 0.1)
    kept = search(candidates, _START, [limit], evaluations=150)[0]

    def change(weights):
        rates = [candidates.measure(w, ["like"])["like"].ratio for w in weights]
        return rates[0] / rates[1] - 1

    assert change([free, _START]) > 0.1
    assert change([kept, _START]) <= 0.1
    assert _value(candidates, kept) > _value(candidates, _START)


def test_a_rise_that_is_asked_for_is_reached_from_a_start_without():
    candidates = toy(5)
    asked = Constraint("like", ">=", 0.2)
    found = search(candidates, _START, [asked], evaluations=150)[0]
    rates = [candidates.measure(w, ["like"])["like"].ratio for w in (found, _START)]
    assert rates[0] / rates[1] >= 1.2


def test_what_cannot_be_kept_is_told():
    impossible = Constraint("like", ">=", 50.0)
    with pytest.raises(FusionSearchError, match="None of 20 weights keeps like >= "):
        search(toy(), _START, [impossible], evaluations=20)


def test_signs_are_kept_where_asked():
    free = search(toy(), _START, evaluations=100)[0]
    kept = search(toy(), _START, evaluations=100, keep_signs=True)[0]
    assert free[1] < 0 <= kept.min()


def test_the_default_stays_where_it_cannot_be_beaten():
    candidates = toy()
    ideal = dataclasses.replace(
        candidates, factors=np.stack([candidates.gains, np.zeros(720)], axis=1)
    )
    found = search(ideal, np.array([1.0, 0.5]), evaluations=20)[0]
    np.testing.assert_array_equal(found, [1.0, 0.5])


def test_rows_that_no_order_is_better_for_are_told():
    flat = dataclasses.replace(toy(), gains=np.ones(720))
    with pytest.raises(FusionSearchError, match="no order is better"):
        search(flat, _START, evaluations=20)


def test_an_anchored_multiple_is_as_large_as_the_default():
    found = anchored(np.array([3.0, -1.0]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [0.75, -0.25])
