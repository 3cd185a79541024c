"""The study of rare labels: its data are what they are said to be, and it runs."""

import pathlib
import sys

import numpy as np
import pytest

_BENCHMARKS = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, _BENCHMARKS)
    try:
        import study_imbalance

        yield study_imbalance
    finally:
        sys.path.remove(_BENCHMARKS)


@pytest.mark.parametrize("mean", [1e-4, 1e-2])
def test_labels_have_the_means_and_directions_the_cosine_that_are_set(study, mean):
    recipe = study.Recipe.drawn(3, mean)
    x = study._inputs(3, 7, 100_000)
    chances = study._sigmoid(recipe.scores(x)).mean(axis=0)
    np.testing.assert_allclose(chances, [0.5, mean], rtol=0.1)
    one, other = recipe.directions
    np.testing.assert_allclose([one @ one, other @ other, one @ other], [1, 1, 0.5])


def test_it_measures_a_training(study):
    spec, strategies = study._spec(), study._strategies()
    found = {
        name: study._measure(spec, strategies[name], 2_048, 0.05, seed=0)
        for name in ("none", "separate")
    }
    for measures in found.values():
        assert 50 < measures["positives"] < 160  # of 2,048 with a mean of 0.05
        assert 0.5 < measures["auc dense"] < 1
        assert 0.5 < measures["calibration sparse"] < 2
    assert found["separate"]["weights"] > found["none"]["weights"]
