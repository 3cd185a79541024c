"""Watch trails: where they end, and what is known of one when an impression begins."""

import dataclasses

import polars as pl
import pytest

from feature_specs.past import TrailSpec
from pipeline.examples.columns.timeline import Timeline
from pipeline.examples.columns.trails import add_trails
from tests.pipeline.examples.columns.past_rows import (
    make_frame,
    make_spec,
    past_of,
    random_rows,
    row,
)

_GAP_MS = 30 * 60_000
_SPEC = make_spec(trail=TrailSpec(scope=("user", "tab"), last=("item", "author")))


def _trails(rows, spec=_SPEC):
    frame = make_frame(rows)
    return add_trails(frame, spec, Timeline.of(frame, spec))


def _column(rows, name, spec=_SPEC):
    return _trails(rows, spec)[name].to_list()


def test_positions_count_from_one_and_know_the_whole_trail():
    rows = [row(0), row(1_500), row(4_000), row(4_000 + _GAP_MS + 1), row(0, user=2)]
    found = _trails(rows)
    assert found["trail_position"].to_list() == [1, 2, 3, 1, 1]
    assert found["trail_seconds"].to_list() == [0, 1.5, 4, 0, 0]
    assert found["trail_length"].to_list() == [3, 3, 3, 1, 1]
    assert found["trail_relative"].to_list() == [1 / 3, 2 / 3, 1, 1, 1]


def test_a_silence_as_long_as_the_gap_ends_no_trail():
    end = 5_000
    rows = [row(0, watched=end), row(end + _GAP_MS)]
    assert _column(rows, "trail_position") == [1, 2]
    rows = [row(0, watched=end), row(end + _GAP_MS + 1)]
    assert _column(rows, "trail_position") == [1, 1]


def test_a_long_video_that_still_runs_is_no_silence():
    rows = [row(0, watched=3 * _GAP_MS), row(1, watched=5), row(2 * _GAP_MS)]
    assert _column(rows, "trail_position") == [1, 2, 3]


def test_an_absurd_watch_glues_no_trails_together():
    day = 86_400_000
    rows = [row(0, watched=9 * day), row(3 * day), row(6 * day)]
    assert _column(rows, "trail_position") == [1, 2, 3]
    time = dataclasses.replace(_SPEC.log.time, longest_ms=60_000)
    log = dataclasses.replace(_SPEC.log, time=time)
    bounded = dataclasses.replace(_SPEC, log=log)
    assert _column(rows, "trail_position", bounded) == [1, 1, 1]
    rows = [row(0, watched=9 * day), row(60_000 + _GAP_MS), row(60_001 + 2 * _GAP_MS)]
    assert _column(rows, "trail_position", bounded) == [1, 2, 1]


def test_another_tab_ends_a_trail_and_null_equals_null():
    tabs = [0, 0, None, None, 0]
    rows = [row(n, tab=tab) for n, tab in enumerate(tabs)]
    assert _column(rows, "trail_position") == [1, 2, 1, 2, 1]


def test_users_do_not_share_a_trail_though_their_times_meet():
    rows = [row(0, user=1), row(1, user=2), row(2, user=3)]
    assert _column(rows, "trail_length") == [1, 1, 1]


def test_the_watched_share_sees_what_is_known_exactly_at_the_begin():
    first = row(0, watched=4_000, length=10_000)
    assert _column([first, row(4_000)], "trail_watched_share") == [None, 0.4]
    assert _column([first, row(3_999)], "trail_watched_share") == [None, None]


def test_the_watched_share_counts_no_replay():
    rows = [
        row(0, watched=9_000, length=3_000),  # three times: 3 s of 3 s
        row(10_000, watched=0, length=5_000),  # known a millisecond later
        row(10_001),
    ]
    assert _column(rows, "trail_watched_share") == [None, 1.0, 3 / 8]


def test_the_watched_share_begins_anew_with_a_trail():
    rows = [row(0, tab=0, watched=9_000), row(10_000, tab=1), row(10_001, tab=0)]
    assert _column(rows, "trail_watched_share") == [None, None, None]


def test_lengths_that_sum_to_nothing_have_no_share():
    rows = [row(0, length=0, watched=7), row(10, length=-5), row(20)]
    assert _column(rows, "trail_watched_share") == [None, None, None]


@pytest.mark.parametrize("missing", ["watched", "length"])
def test_there_is_no_watched_share_without_both_lengths(missing):
    spec = make_spec(trail=_SPEC.trail, **{missing: None})
    assert "trail_watched_share" not in _trails([row()], spec).columns


def test_the_last_impression_is_the_one_known_last():
    rows = [
        row(0, "long", watched=5_000, author=7),
        row(100, "short", watched=50, author=8),
        row(4_999, "c", watched=9),  # the long one still runs
        row(5_000, "d"),
    ]
    assert _column(rows, "trail_last_item") == [None, None, "short", "long"]
    assert _column(rows, "trail_last_author") == [None, None, 8, 7]


def test_of_two_known_together_the_later_row_is_the_last():
    rows = [row(0, "a", watched=500), row(100, "b", watched=400), row(500, "c")]
    assert _column(rows, "trail_last_item") == [None, None, "b"]


def test_impressions_that_begin_together_do_not_see_each_other():
    rows = [row(0, "a"), row(0, "b"), row(1, "c")]
    assert _column(rows, "trail_last_item") == [None, None, "b"]


def test_the_last_value_of_another_trail_is_not_seen():
    rows = [row(0, "a", tab=0), row(5, "b", tab=1), row(10, "c", tab=1)]
    assert _column(rows, "trail_last_item") == [None, None, "b"]


def test_a_null_of_the_last_impression_stays_null():
    rows = [row(0, author=7), row(5, author=None), row(10)]
    assert _column(rows, "trail_last_author") == [None, 7, None]


def test_a_damaged_watch_without_end_overflows_nothing():
    rows = [row(0, "a", watched=2**62, length=2**62), row(5, "b"), row(0, user=2)]
    found = _trails(rows)
    assert found["trail_seconds"].to_list() == [0, 0.005, 0]
    assert found["trail_watched_share"].to_list() == [None, None, None]
    assert _column([*rows, row(10, "c")], "trail_last_item") == [None, None, "b", None]


def test_a_spec_without_a_trail_adds_nothing():
    assert _trails([row()], make_spec()).columns == make_frame([row()]).columns


def test_no_rows_give_columns_of_the_right_types():
    found = _trails([])
    types = [found.schema[name] for name in found.columns if name.startswith("trail_")]
    assert types == [
        pl.Int64, pl.Float64, pl.Int64, pl.Float64, pl.Float64, pl.String, pl.Int64,
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_random_rows_equal_plain_loops(seed):
    rows = random_rows(seed)
    expected = _plain(rows)
    found = _trails(rows)
    for name in expected[0]:
        got, wanted = found[name].to_list(), [e[name] for e in expected]
        assert got == wanted, name
    assert max(e["trail_length"] for e in expected) > 5
    shares = [e["trail_watched_share"] for e in expected]
    assert sum(share is not None for share in shares) > 50


def _plain(rows):
    """The columns of each row, trail by trail."""
    trail_of, trails = [], []
    for i, r in enumerate(rows):
        earlier = [e for e in rows[:i] if e["user"] == r["user"]]
        ends = [e["ts"] + max(e["watched"], 0) for e in earlier]
        new = not earlier or r["ts"] - max(ends) > _GAP_MS
        if new or rows[i - 1]["tab"] != r["tab"]:
            trails.append([])
        trails[-1].append(r)
        trail_of.append(trails[-1])
    return [_plain_row(r, trail) for r, trail in zip(rows, trail_of, strict=True)]


def _plain_row(r, trail):
    position = next(n for n, e in enumerate(trail, 1) if e is r)
    past = past_of(r, trail)
    length = sum(max(e["length"], 0) for e in past)
    watched = sum(max(min(e["watched"], e["length"]), 0) for e in past)
    return {
        "trail_position": position,
        "trail_seconds": (r["ts"] - trail[0]["ts"]) / 1000,
        "trail_length": len(trail),
        "trail_relative": position / len(trail),
        "trail_watched_share": watched / length if length else None,
        "trail_last_item": past[-1]["item"] if past else None,
        "trail_last_author": past[-1]["author"] if past else None,
    }
