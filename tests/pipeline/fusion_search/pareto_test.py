"""Fronts and knees, by hand and against a search of everything."""

import numpy as np
import pytest

from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.pareto import knee_of, search_front, shares, undominated
from tests.pipeline.fusion_search.toy import toy


def test_a_point_is_dominated_by_one_that_is_nowhere_worse():
    points = np.array([[1, 5], [2, 4], [2, 3], [5, 1], [5, 1], [0, 5]])
    np.testing.assert_array_equal(
        undominated(points), [True, True, False, True, True, False]
    )


def test_the_knee_is_farthest_from_the_line_through_the_ends():
    """Scaled: (0, 1), (0.8, 0.9), (0.9, 0.2), (1, 0)."""
    points = np.array([[10, 2.0], [18, 1.9], [19, 1.2], [20, 1.0]])
    assert knee_of(points) == 1


def test_shares_add_up_to_1_and_reach_each_task():
    for tasks in (2, 3):
        found = shares(tasks)
        assert {float(one.sum()) for one in found} == {1.0}
        for own in np.eye(tasks):
            assert any((one == own).all() for one in found)


def test_a_front_reaches_what_each_task_alone_can_have():
    candidates = toy(2)
    front = search_front(
        candidates, np.array([0.3, 0.3]), ["like", "skip"], [1, -1], evaluations=200
    )
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    every = np.array(
        [
            [sums.ratio for sums in found.values()]
            for found in (
                candidates.measure(np.array([np.cos(a), np.sin(a)]), ["like", "skip"])
                for a in angles
            )
        ]
    )
    ends = front.rates[front.members]
    near = 0.02 * np.ptp(every, axis=0)
    assert ends[:, 0].max() >= every[:, 0].max() - near[0]
    assert ends[:, 1].min() <= every[:, 1].min() + near[1]
    assert front.knee in front.members
    rising = np.diff(ends, axis=0)
    assert (rising > 0).all()  # more likes cost more skips


def test_a_task_that_never_happens_is_told():
    candidates = toy()
    candidates.labels["skip"][:] = 0
    with pytest.raises(FusionSearchError, match="no skip among the first 5"):
        search_front(candidates, np.ones(2), ["like", "skip"], [1, 1], evaluations=20)
