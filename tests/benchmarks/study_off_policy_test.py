"""The study of off-policy bands: its truth is the policy's own, and it runs."""

import pathlib
import sys

import numpy as np
import pytest

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, _BENCHMARKS)
    try:
        import study_off_policy

        yield study_off_policy
    finally:
        sys.path.remove(_BENCHMARKS)


@pytest.fixture(scope="module")
def made(study):
    return study.Slice(seed=2, users=200, rows=30.0)


def test_labels_are_drawn_with_the_true_probabilities(study, made):
    places = np.repeat(np.arange(len(made.user)), 20)
    items = np.random.default_rng(0).integers(0, len(made.pool), len(places))
    drawn, truth = made.outcomes(places, items, 0), made.truth(places, items)
    for name in ("is_click", "long_view", "skip", "is_like"):
        error = 4 * np.sqrt(truth[name].mean() / len(places))
        assert drawn[name].mean() == pytest.approx(truth[name].mean(), abs=error)


def test_the_truth_is_what_the_whole_pool_says(study, made):
    """The best of K draws is item a with F(a)^K - F(a-)^K, F over the pool."""
    pool = len(made.pool)
    places = np.repeat(np.arange(len(made.user)), pool)
    items = np.tile(np.arange(pool), len(made.user))
    values = study.with_value(made.truth(places, items))["value"].reshape(-1, pool)
    scores = made.scores(places, items)["found"].reshape(-1, pool)
    upto = (1 + np.argsort(np.argsort(scores, axis=1), axis=1)) / pool
    chances = upto**study._K - (upto - 1 / pool) ** study._K
    expected = (chances * values).sum(axis=1).mean()
    told = [study.true_means(made, seed)["found"]["value"] for seed in range(8)]
    error = 5 * np.std(told, ddof=1) / np.sqrt(len(told))
    assert np.mean(told) == pytest.approx(expected, abs=error)
    assert expected > values.mean() + error  # an order is worth something


def test_it_measures_worlds(study):
    sizes = study._Sizes(seeds=2, users=200, logged=50, rows=30.0)
    found = [study.measure(seed, sizes) for seed in range(2)]
    for way in ("SNIPS", "replay"):
        for one in found:
            assert 0 < one[way]["size"]["ess"] < 0.4 * one[way]["size"]["rows"]
            value = one[way]["change"]["value"]
            assert value["half"] > 0 and abs(value["error"]) < 4 * value["half"]
    told = study._summary(found, sizes, 1.0)
    assert told["covered"]["SNIPS change value"] in (0, 1, 2)
