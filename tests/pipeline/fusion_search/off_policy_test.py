"""Importance weights by counting all sets, and bands that cover a truth that is known."""

import itertools

import numpy as np
import pytest

from pipeline.fusion_search import off_policy
from pipeline.fusion_search.judging import difference
from pipeline.fusion_search.off_policy import Outcomes, set_weights

_POOL, _OTHERS, _K = 25, 16, 4


def _by_enumeration(own: float, others: np.ndarray, k: int) -> float:
    """k times the mean over all sets of 1 / (those level with it) if none is above."""
    firsts = []
    for chosen in itertools.combinations(others, k - 1):
        level = sum(score == own for score in chosen)
        is_first = all(score <= own for score in chosen)
        firsts.append(is_first / (1 + level))
    return k * float(np.mean(firsts))


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_a_weight_is_the_mean_over_all_sets(k):
    draw = np.random.default_rng(0)
    own, others = draw.integers(0, 4, 20), draw.integers(0, 4, (20, 5))  # many ties
    expected = [_by_enumeration(o, row, k) for o, row in zip(own, others, strict=True)]
    np.testing.assert_allclose(set_weights(own, others, k), expected, rtol=1e-12)


def test_a_set_of_one_is_the_slice_itself_and_all_alike_too():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(9, 8))
    assert set_weights(scores[:, 0], scores[:, 1:], 1).tolist() == [1] * 9
    alike = set_weights(np.ones(9), np.ones((9, 7)), 4)
    np.testing.assert_allclose(alike, 1)


def test_the_effective_size_of_weights():
    """Two of weight 3, four of 1: 10^2 / (18 + 4)."""
    assert off_policy.effective(np.array([3.0, 3, 1, 1, 1, 1])) == pytest.approx(
        100 / 22
    )
    assert off_policy.effective(np.zeros(3)) == 0
    outcomes = Outcomes(users=np.array([0, 0, 1]), values={}, known={})
    assert off_policy.effective_users(outcomes, np.array([1.0, 1, 2])) == 2


def test_an_outcome_counts_inside_its_sample_space_only():
    outcomes = Outcomes(
        users=np.array([0, 0, 1, 1]),
        values={"like": np.array([1.0, 0, 1, 0])},
        known={"like": np.array([1.0, 1, 1, 0])},
    )
    found = off_policy.estimate(outcomes, "like", np.array([2.0, 1, 1, 9]))
    assert found.mean == pytest.approx(3 / 4)


class _World:
    """A pool of items for users of two tastes, of which everything is known.

    A user's own level adds to every outcome; the score knows taste and quality in part.
    """

    def __init__(self, seed: int):
        draw = np.random.default_rng([seed, 0])
        self.worth = draw.uniform(0.1, 0.7, (2, _POOL))  # of each taste, less the level
        noise = draw.normal(0, 0.15, (2, 2, _POOL))
        self.scores = np.round(self.worth + noise, 1)  # [weights, taste, item], ties

    def truth(self, which: int) -> float:
        """The best of K draws: P(a) by the distribution of the score, over the pool."""
        values = []
        for scores, worth in zip(self.scores[which], self.worth, strict=True):
            below = (scores[:, None] > scores).mean(axis=1)
            upto = (scores[:, None] >= scores).mean(axis=1)
            level = (scores[:, None] == scores).sum(axis=1)
            values.append(float(((upto**_K - below**_K) / level) @ worth))
        return float(np.mean(values)) + 0.1  # the mean level

    def logged(self, seed: int, users: int = 120, others: int = _OTHERS):
        """(outcomes, weights of both) of one log."""
        draw = np.random.default_rng([seed, 1])
        owner = np.repeat(np.arange(users), draw.integers(1, 20, users))
        taste = draw.integers(0, 2, users)[owner]
        level = draw.uniform(0, 0.2, users)[owner]
        item = draw.integers(0, _POOL, len(owner))
        rest = draw.integers(0, _POOL, (len(owner), others))
        like = draw.random(len(owner)) < self.worth[taste, item] + level
        outcomes = Outcomes(
            users=owner,
            values={"like": like.astype(float)},
            known={"like": np.ones(len(owner))},
        )
        weights = [
            set_weights(s[taste, item], s[taste[:, np.newaxis], rest], _K)
            for s in self.scores
        ]
        return outcomes, weights


def test_snips_and_replay_are_right_in_the_mean_and_counting_sets_is_the_surer():
    world, found = _World(3), {"snips": [], "replay": []}
    for seed in range(200):
        for name, others in (("snips", _OTHERS), ("replay", _K - 1)):
            outcomes, (weights, _) = world.logged(seed, others=others)
            found[name].append(off_policy.estimate(outcomes, "like", weights).mean)
    for values in found.values():
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - world.truth(0)) < 4 * error
    assert np.std(found["snips"]) < 0.9 * np.std(found["replay"])


def test_the_bands_cover_the_truth_as_often_as_they_say():
    """Of the value under each weights, and of their difference in pairs."""
    tries, covered = 600, np.zeros(3)
    for seed in range(tries):
        world = _World(seed)
        outcomes, weights = world.logged(seed)
        truths = [world.truth(0), world.truth(1)]
        bands = [off_policy.estimate(outcomes, "like", own) for own in weights]
        bands.append(difference(*(outcomes.by_user("like", own) for own in weights)))
        truths.append(truths[0] - truths[1])
        covered += [b.low <= t <= b.high for b, t in zip(bands, truths, strict=True)]
    assert (covered / tries >= 0.93).all() and (covered / tries <= 0.97).all()
