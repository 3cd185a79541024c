"""The study itself, by its quick run: its rows are what they are said to be."""

import io

import numpy as np
import pytest
import rich.console

from tests.pipeline.weight_selection.conftest import TASK


def test_labels_have_the_means_and_directions_the_cosine_that_are_set(study):
    means = [0.5, 1e-2, 1e-3]
    recipe = study.Recipe.drawn(3, means)
    x = np.random.default_rng(7).normal(size=(100_000, 16))
    chances = study.sigmoid(recipe.scores(x)).mean(axis=0)
    np.testing.assert_allclose(chances, means, rtol=0.1)
    cosines = recipe.directions @ recipe.directions.T
    np.testing.assert_allclose(cosines, 0.5 + 0.5 * np.eye(3), atol=1e-12)


def test_it_tells_what_the_selection_found_and_at_which_cost(study, selected, sizes):
    _, found = selected
    printed = io.StringIO()
    study._show(found, rich.console.Console(file=printed, width=118))
    assert "Ways to a weight, each trained on all rows" in printed.getvalue()
    told = study._summary({TASK: found}, sizes, 12.0)
    (own,) = told["selections"].values()
    assert own["weight"] == found.weight
    ways = own["ways"]
    cost = ways["meta learner"]["selecting_processor_s"]
    grid = ways["grid"]["selecting_processor_s"]
    assert own["cost_of_grid"] == pytest.approx(cost / grid, abs=1e-3)
