"""Trails, history, filters and labels of a shard, against a per-row reference."""

import dataclasses
import itertools
import math
import random

import polars as pl
import pytest

from feature_specs import read_spec
from feature_specs.spec import RequestSpec
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.joins import count_items, impressions_by
from pipeline.examples.shard import (
    EVALUATION_ONLY,
    ORDER,
    SPLIT,
    make_examples,
    settle,
)

_PLAN = plan_splits(DayRange.parse("20220408:20220411"), 1, 1)


@pytest.fixture
def to_frame(sides):
    """Row dicts -> the frame that a shard gets, side columns joined by hand."""
    people, clips = sides

    def make(rows):
        joined = []
        for row in rows:
            person, clip = people.get(row["uid"], {}), clips.get(row["video"], {})
            joined.append(
                {
                    **row,
                    "city": person.get("city") or None,
                    "age": person.get("age"),
                    "author": clip.get("author"),
                    "tags": clip.get("tags") or None,
                    "_time_ms": row["ts"],
                }
            )
        schema = {"tab": pl.Int64, "author": pl.Int64, "age": pl.Float64}
        schema |= {"city": pl.String, "tags": pl.String}
        return pl.DataFrame(joined, schema_overrides=schema)

    return make


@pytest.fixture
def make(spec, to_frame):
    return lambda rows: _make(to_frame(rows), spec)


def _make(frame, spec):
    frame, copies = settle(frame, spec, _PLAN.days.first)
    asked = frame.select("video", "_day").unique()
    shown = impressions_by(asked, count_items(frame, spec, _PLAN), "video", _PLAN)
    frame = frame.join(shown, on=["video", "_day"], how="left", maintain_order="left")
    shard = make_examples(frame, spec, _PLAN, [], seed=7)
    return dataclasses.replace(
        shard, filtered={"duplicate": copies.rows, **shard.filtered}
    )


def _row(ts, video="v1", user=1, watched=0, tab=0, liked=0, length=8_000):
    return {
        "uid": user, "video": video, "ts": ts, "watched": watched,
        "length": length, "tab": tab, "liked": liked,
    }  # fmt: skip


def _by_key(examples):
    rows = examples.drop(SPLIT, ORDER, EVALUATION_ONLY).to_dicts()
    return {(r["key_user"], r["key_time_ms"], r["key_item"]): r for r in rows}


def _assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        got = found[name]
        if isinstance(value, list):
            assert (got or []) == value, name
        elif isinstance(value, float) and math.isnan(value):
            assert math.isnan(got), name
        elif isinstance(value, float):
            assert got == pytest.approx(value, rel=1e-6), name
        else:
            assert got == value, name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_examples_equal_the_per_row_reference(make, random_rows, reference, seed):
    rows = random_rows(seed)
    expected, filtered = reference(rows)
    shard = make(rows)
    found = _by_key(shard.examples)
    assert shard.filtered == filtered
    assert min(filtered.values()) > 0  # every rule had something to do
    assert found.keys() == expected.keys()
    for key, example in expected.items():
        _assert_same(found[key], example)


def test_result_ignores_the_order_of_rows(make, random_rows):
    rows = random_rows(4)
    shuffled = random.Random(5).sample(rows, len(rows))
    first, second = make(rows).examples, make(shuffled).examples
    assert first.sort(ORDER).equals(second.sort(ORDER))


def test_the_future_changes_no_earlier_example(make, random_rows):
    rows = random_rows(6)
    now = sorted(row["ts"] for row in rows)[len(rows) // 2]
    future = [row for row in rows if row["ts"] > now]
    outcomes = [(row["liked"], row["watched"]) for row in future]
    random.Random(8).shuffle(outcomes)
    changed = [row for row in rows if row["ts"] <= now]
    changed += [
        dict(row, liked=liked, watched=watched)
        for row, (liked, watched) in zip(future, outcomes, strict=True)
    ]
    before = _by_key(make(rows).examples)
    after = _by_key(make(changed).examples)
    early = [key for key in before if key[1] <= now]
    assert len(early) > 50
    for key in early:
        _assert_same(after[key], before[key])
    assert any(before[key] != after.get(key) for key in before if key[1] > now)


def test_a_video_still_running_is_no_history(make, midnight):
    running = _row(midnight, "v1", watched=8_000)
    seen = make(
        [
            running,
            running | {"ts": midnight + 7_999, "video": "v2"},
            running | {"ts": midnight + 8_000, "video": "v3"},
            *_others(midnight),
        ]
    )
    by_key = _by_key(seen.examples)
    assert by_key[1, midnight + 7_999, "v2"]["history_video"] is None
    assert by_key[1, midnight + 8_000, "v3"]["history_video"] == ["v1"]


def test_a_literal_condition_holds_for_every_row(spec_text, to_frame, midnight):
    spec = read_spec(spec_text.replace('"liked = 1 OR watched > 7000"', '"TRUE"'))
    rows = [
        _row(midnight + 60_000 * minute, f"v{minute}", user=user)
        for user in (11, 12)
        for minute in range(3)
    ]
    frame = to_frame([*rows, *_others(midnight)])
    by_key = _by_key(_make(frame, spec).examples)
    for user in (11, 12):
        last = by_key[user, midnight + 120_000, "v2"]
        assert last["history_video"] == ["v0", "v1"]


def _others(midnight):
    """Enough rows of another user that no video is too rare."""
    return [
        _row(midnight + n, f"v{v}", user=2) for n in range(2) for v in (1, 2, 3)
    ]  # fmt: skip


def test_impressions_that_begin_together_do_not_see_each_other(make, midnight):
    rows = [_row(midnight, v, liked=1) for v in ("v1", "v2")]
    rows.append(_row(midnight + 1, "v3", liked=1))
    by_key = _by_key(make(rows + _others(midnight)).examples)
    assert by_key[1, midnight, "v1"]["history_video"] is None
    assert by_key[1, midnight, "v2"]["history_video"] is None
    assert by_key[1, midnight + 1, "v3"]["history_video"] == ["v1", "v2"]


def test_a_trail_goes_on_over_midnight_and_ends_with_silence(make, midnight):
    next_day = midnight + 86_400_000
    rows = [
        _row(next_day - 10_000, "v1", watched=5_000),
        _row(next_day + 10_000, "v2", watched=1_000),  # 20 s later: the same trail
        _row(next_day + 11_000 + 1_800_000, "v3"),  # exactly 30 minutes of silence
        _row(next_day + 11_000 + 3_600_001, "v1"),  # one millisecond more
    ]
    shard = make(rows + _others(midnight))
    mine = shard.examples.filter(pl.col("key_user") == 1).sort("key_time_ms")
    assert mine["trail_position"].to_list() == [1, 2, 3, 1]
    assert mine["trail_seconds"].to_list() == [0, 20, 1_821, 0]
    assert mine[SPLIT].to_list() == [0, 1, 1, 1]


def test_a_change_of_scope_ends_the_trail(make, midnight):
    rows = [
        _row(midnight + n * 1000, f"v{n % 3 + 1}", tab=tab)
        for n, tab in enumerate([0, 0, 1, 0, None, None])
    ]
    mine = make(rows + _others(midnight)).examples.filter(pl.col("key_user") == 1)
    assert mine.sort("key_time_ms")["trail_position"].to_list() == [1, 2, 1, 1, 1, 2]


def test_rows_of_a_request_lie_together_where_they_are_to(spec, to_frame, midnight):
    """Of four requests, on the evaluation day, which filters nothing."""
    evaluation = midnight + 3 * 86_400_000
    rows = [
        _row(evaluation + 1_000 * n, f"v{n}", user=1 + n % 2, tab=tab)
        for n, tab in enumerate([0, 0, 1, 1, None, None] * 4)
    ]
    frame = to_frame(rows)

    def order(**said):
        log = dataclasses.replace(spec.log, request=RequestSpec(column="tab", **said))
        examples = _make(frame, dataclasses.replace(spec, log=log)).examples.sort(ORDER)
        keys = examples["key_request"].to_list()
        assert len(keys) == 24 and keys.count(0) == 8
        return len([1 for key, _ in itertools.groupby(keys) if key])

    assert order(together=True) == 4
    assert order() > 4


def test_counts_neither_see_nor_drop_evaluation_days(make, midnight):
    evaluation = midnight + 3 * 86_400_000
    rows = [_row(evaluation + n, "v9", user=5) for n in range(9)]
    rows.append(_row(midnight, "v9", user=5))  # 1 event and 1 impression in training
    shard = make(rows)
    assert shard.filtered["min_item_impressions"] == 1
    assert shard.examples.height == 9


def test_split_names_are_in_the_order_of_days():
    assert _PLAN.splits == (
        "day-20220408", "day-20220409", "day-20220410", "day-20220411",
    )  # fmt: skip


def test_an_empty_shard_gives_no_example(make, random_rows, spec, to_frame):
    frame = to_frame(random_rows(1, 60)).clear()
    shard = _make(frame, spec)
    assert shard.examples.height == 0
    assert set(shard.filtered.values()) == {0}
