"""One question to the past of groups: how many, which last, what sum."""

import numpy as np
import pytest

from pipeline.examples.columns.past import Past
from pipeline.examples.columns.timeline import Timeline
from tests.pipeline.examples.columns.past_rows import (
    make_frame,
    make_spec,
    random_rows,
    row,
)


def _timeline(rows):
    return Timeline.of(make_frame(rows), make_spec())


_ROWS = [
    row(0, watched=100),
    row(10, watched=5),
    row(15),
    row(100),
    row(0, user=2),
    row(200, user=2),
]


def test_each_row_sees_what_its_user_knows():
    timeline = _timeline(_ROWS)
    past = Past.of(timeline, timeline.users, np.ones(6, bool))
    assert past.count.tolist() == [0, 0, 1, 3, 0, 1]
    assert past.last.tolist() == [-1, -1, 1, 0, -1, 4]  # row 0 is known at 100
    assert past.events[past.start[3] : past.stop[3]].tolist() == [1, 2, 0]


def test_only_events_that_count_are_seen():
    timeline = _timeline(_ROWS)
    counts = np.array([False, True, False, True, False, False])
    past = Past.of(timeline, timeline.users, counts)
    assert past.count.tolist() == [0, 0, 1, 1, 0, 0]
    assert past.last.tolist() == [-1, -1, 1, 1, -1, -1]
    assert past.sums(np.arange(6.0)).tolist() == [0, 0, 1, 1, 0, 0]
    nothing = Past.of(timeline, timeline.users, np.zeros(6, bool))
    assert nothing.last.tolist() == [-1] * 6
    assert nothing.sums(np.arange(6)).tolist() == [0] * 6


def test_groups_finer_than_users_see_their_own_events():
    timeline = _timeline(_ROWS)
    rows = np.array([0, 2, 3, 1, 2, 3, 5])  # row 2 and 3 in two groups
    groups = np.array([0, 0, 0, 1, 1, 1, 2])
    past = Past.of(timeline, groups, np.ones(7, bool), rows)
    assert past.count.tolist() == [0, 0, 2, 0, 1, 2, 0]
    assert past.last.tolist() == [-1, -1, 0, -1, 1, 2, -1]
    values = np.array([1, 10, 100, 1_000, 0, 0])
    assert past.sums(values).tolist() == [0, 0, 101, 0, 10, 110, 0]


@pytest.mark.parametrize("seed", range(3))
def test_sums_add_each_group_in_order(seed):
    rows = random_rows(seed, users=17)
    timeline = _timeline(rows)
    counts = np.array([r["liked"] == 1 for r in rows])
    values = np.random.default_rng(seed).normal(size=len(rows)) * 10.0**seed
    past = Past.of(timeline, timeline.users, counts)
    for question, found in enumerate(past.sums(values)):
        total = 0.0
        for event in past.events[past.start[question] : past.stop[question]]:
            total += values[event]
        assert found == total  # to the last digit
