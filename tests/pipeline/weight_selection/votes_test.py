"""The majority's weight, by hand."""

import numpy as np

from pipeline.weight_selection.votes import majority, votes_of

_WEIGHTS = (1.0, 10.0, 100.0)


def _chosen(*predicted):
    table = np.array(predicted)
    return majority(votes_of(table, _WEIGHTS), table, _WEIGHTS)


def test_each_run_votes_for_its_largest_prediction():
    table = np.array([[1, 2, 3], [3, 2, 1], [1, 5, 5]])
    assert votes_of(table, _WEIGHTS) == [100, 1, 10]  # of equal ones the smallest


def test_the_most_votes_win_whatever_the_mean_is():
    assert _chosen([0, 0.1, 0], [0, 0.1, 0], [0, 0, 99]) == 10


def test_a_tie_goes_to_the_larger_mean_prediction():
    # Two votes each for 1 and 100; the means are 0.5 and 1.5.
    tied = [[1, 0, 0], [1, 0, 0], [0, 0, 3], [0, 0, 3]]
    assert _chosen(*tied) == 100
    assert _chosen(*tied, [0, 9, 0]) == 100  # a single vote is none of the tied


def test_a_tie_of_means_too_goes_to_the_smaller_weight():
    assert _chosen([1, 0, 0], [0, 0, 1]) == 1
