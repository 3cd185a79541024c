"""Stages of impressions on a timeline, by hand."""

import numpy as np
import polars as pl

from pipeline.examples.columns.stages import DatedStages, Stages, Versions
from pipeline.examples.columns.timeline import Timeline
from tests.pipeline.examples.columns.past_rows import NOON, make_frame, make_spec, row

# User 1 sees a (until 10), b and c; user 2 sees d. The first is liked at 25, then not.
_ROWS = [row(0, "a", watched=10), row(20, "b"), row(30, "c"), row(0, "d", user=2)]
_VERSIONS = Versions(
    np.array([0, 0, 0]),
    NOON + np.array([10, 25, 90]),
    pl.DataFrame({"like": [False, True, False]}),
)


def _stages(versions=_VERSIONS):
    frame = make_frame(_ROWS)
    return Stages.of(frame, Timeline.of(frame, make_spec()), versions)


def test_each_impression_has_a_stage_and_one_for_each_event():
    stages = _stages()
    assert stages.rows.tolist() == [0, 0, 0, 1, 2, 3]
    assert stages.source.tolist() == [4, 5, 6, 1, 2, 3]
    # b knows a, c knows that it is liked, and nobody that it is not any more.
    assert stages.seen_by.tolist() == [1, 2, 3, 2, 3, 4]
    assert not stages.are_final


def test_changes_add_up_to_what_is_known():
    likes = np.array([0, 5, 5, 5, 0, 1, 0])  # of four impressions, three versions
    assert _stages().changes(likes).tolist() == [0, 1, -1, 5, 5, 5]


def test_a_row_knows_the_stage_of_its_moment():
    rows, seen_from = np.array([0, 0, 1]), np.array([1, 2, 2])
    assert _stages().at(rows, seen_from).tolist() == [4, 5, 1]


def test_without_events_every_impression_has_one_stage():
    stages = _stages(Versions.none())
    assert stages.are_final
    assert stages.source.tolist() == [0, 1, 2, 3]
    assert stages.changes(np.array([7, 0, 1, 2])).tolist() == [7, 0, 1, 2]


def test_stages_by_the_clock_are_in_the_order_of_rows():
    stages = DatedStages.of(NOON + np.array([10, 21, 31, 1]), _VERSIONS)
    assert (stages.known_ms - NOON).tolist() == [10, 25, 90, 21, 31, 1]
