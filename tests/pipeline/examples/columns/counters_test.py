"""Counters of a user's own past: of everything, of a value, of the values of a list."""

import math

import polars as pl
import pytest

from feature_specs.past import CounterSpec
from pipeline.examples.columns.counters import add_counters
from pipeline.examples.columns.timeline import Timeline
from tests.pipeline.examples.columns.past_rows import (
    known_from,
    make_frame,
    make_spec,
    past_of,
    random_rows,
    row,
)


def _counters(rows, *counters):
    spec = make_spec(counters=counters)
    frame = make_frame(rows)
    return add_counters(frame, spec, Timeline.of(frame, spec))


def _one(rows, **counter):
    return _counters(rows, CounterSpec(name="c", **counter))["c"].to_list()


def test_without_a_match_all_of_the_users_past_counts():
    rows = [row(n) for n in range(3)] + [row(9, user=2)]
    assert _one(rows) == [0, 1, 2, 0]


def test_an_event_counts_from_its_end_on():
    rows = [row(0, "a", watched=8_000), row(7_999, "b", watched=9), row(8_000, "c")]
    assert _one(rows) == [0, 0, 1]
    assert _one(rows, measure="seconds_since") == [None, None, 0]


def test_impressions_that_begin_together_do_not_count_each_other():
    assert _one([row(0, "a"), row(0, "b"), row(1, "c")]) == [0, 0, 2]


def test_a_match_counts_the_past_of_the_same_value():
    authors = [5, 6, 5, 5, 6]
    rows = [row(n, author=author) for n, author in enumerate(authors)]
    rows.append(row(9, author=5, user=2))
    assert _one(rows, match="author") == [0, 0, 1, 2, 1, 0]


def test_values_of_text_match_too():
    rows = [row(n, item) for n, item in enumerate(["b", "a", "b"])]
    assert _one(rows, match="item") == [0, 0, 1]


def test_a_null_matches_nothing_and_has_no_counter():
    rows = [row(n, author=author) for n, author in enumerate([None, 5, None, 5])]
    assert _one(rows, match="author") == [None, 0, None, 1]
    mean = {"measure": "mean", "value": "1", "prior": 0.5, "strength": 2.0}
    assert _one(rows, match="author", **mean) == [None, 0.5, None, 2 / 3]
    since = _one(rows, match="author", measure="seconds_since")
    assert since == [None, None, None, 0.001]


def test_a_list_counts_each_of_its_values_once():
    tags = [["a", "b", "a"], ["b", None, "b"], ["a", "b"], ["c", "a", "a"]]
    rows = [row(n, tags=tag) for n, tag in enumerate(tags)]
    # The third shares a and b with the first, b with the second: three pairs.
    assert _one(rows, match="tags") == [0, 1, 3, 2]


def test_a_list_without_values_matches_nothing_and_has_no_counter():
    tags = [["a"], [], None, [None], ["a"]]
    rows = [row(n, tags=tag) for n, tag in enumerate(tags)]
    assert _one(rows, match="tags") == [0, None, None, None, 1]


def test_a_computed_list_matches():
    rows = [row(n, item) for n, item in enumerate(["x|y", "y", "x|y", ""])]
    match = "STRING_TO_ARRAY(NULLIF(item, ''), '|')"
    assert _one(rows, match=match) == [0, 1, 3, None]


def test_only_events_that_fulfil_where_count_and_null_does_not():
    rows = [row(n, tab=tab) for n, tab in enumerate([1, None, 0, 1, 0])]
    assert _one(rows, where="tab = 1") == [0, 1, 1, 1, 2]
    assert _one(rows, where="FALSE") == [0, 0, 0, 0, 0]


def test_seconds_run_from_the_last_time_an_outcome_became_known():
    rows = [
        row(0, watched=5_000, author=1),
        row(1_000, watched=1_000, author=1),
        row(3_000, author=1),  # the second is known, since one second
        row(6_500, author=1),  # the first is known last
        row(6_600, author=2),
    ]
    found = _one(rows, match="author", measure="seconds_since")
    assert found == [None, None, 1.0, 1.5, None]


def test_seconds_of_a_list_run_from_the_last_of_any_value():
    rows = [row(0, tags=["a"]), row(2_000, tags=["b"]), row(5_001, tags=["b", "a"])]
    found = _one(rows, match="tags", measure="seconds_since")
    assert found == [None, None, 3.0]


def test_a_mean_is_drawn_towards_the_prior():
    rows = [row(n, liked=liked) for n, liked in enumerate([1, 1, 0])]
    mean = {"measure": "mean", "value": "liked", "prior": 0.25, "strength": 4.0}
    assert _one(rows, **mean) == [1 / 4, 2 / 5, 3 / 6]


def test_a_mean_of_nothing_is_null_without_a_prior():
    rows = [row(n, liked=1) for n in range(2)]
    assert _one(rows, measure="mean", value="liked") == [None, 1.0]


def test_a_mean_leaves_out_values_that_are_missing_or_not_finite():
    rows = [row(n, share=share) for n, share in enumerate([0.5, None, 1.0])]
    rows += [row(5, share=math.nan), row(6, share=math.inf), row(7, share=0.0)]
    rows += [row(8)]
    found = _one(rows, measure="mean", value="share")
    assert found == [None, 0.5, 0.5, 0.75, 0.75, 0.75, 0.5]


def test_a_mean_of_true_and_false_is_a_share():
    rows = [row(n, tab=n) for n in range(4)]
    found = _one(rows, measure="mean", value="tab >= 1")
    assert found == [None, 0, 1 / 2, 2 / 3]


def test_sums_do_not_depend_on_who_shares_the_shard():
    rows = random_rows(1, users=9)
    # Values of other users, a billion times larger, would cost digits.
    rows = [
        dict(r, share=r["share"] and r["share"] * 1e9 ** (r["user"] % 2)) for r in rows
    ]
    counters = [
        CounterSpec(name=f"of_{match}", match=match, measure="mean", value="share")
        for match in ("", "author", "tags")
    ]
    together = _counters(rows, *counters)
    names = [counter.name for counter in counters]
    for user in range(9):
        alone = _counters([r for r in rows if r["user"] == user], *counters)
        mine = together.filter(pl.col("user") == user)
        assert mine.select(names).equals(alone.select(names))


def test_no_rows_give_columns_of_the_right_types():
    found = _counters(
        [],
        CounterSpec(name="c", match="author"),
        CounterSpec(name="s", match="tags", measure="seconds_since"),
        CounterSpec(name="m", measure="mean", value="share"),
    )
    assert [found.schema[name] for name in "csm"] == [pl.Int64, pl.Float64, pl.Float64]


def _values(r, match):
    if not match:
        return {"all"}
    found = r[match] if match == "tags" else [r[match]]
    return {value for value in found or [] if value is not None}


def _plain(r, rows, counter):
    wanted = _values(r, counter.match)
    if not wanted:
        return None
    pairs = [
        (e, value)
        for value in sorted(wanted)
        for e in past_of(r, rows)
        if e["liked"] == 1 and value in _values(e, counter.match)
    ]
    if counter.measure == "count":
        return len(pairs)
    if counter.measure == "seconds_since":
        known = [known_from(e) for e, _ in pairs]
        return (r["ts"] - max(known)) / 1000 if known else None
    shares = [e["share"] for e, _ in pairs if e["share"] is not None]
    weight = len(shares) + counter.strength
    if not weight:
        return None
    return (sum(shares) + counter.prior * counter.strength) / weight


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("match", ["", "author", "item", "tags"])
def test_random_rows_equal_plain_loops(match, seed):
    rows = random_rows(seed, count=240)
    share = {"match": match, "where": "liked = 1", "measure": "mean", "value": "share"}
    counters = [
        CounterSpec(name="count", match=match, where="liked = 1"),
        CounterSpec(
            name="since", match=match, where="liked = 1", measure="seconds_since"
        ),
        CounterSpec(name="mean", **share),
        CounterSpec(name="smoothed", **share, prior=0.3, strength=2.5),
    ]
    found = _counters(rows, *counters)
    for counter in counters:
        wanted = [_plain(r, rows, counter) for r in rows]
        got = found[counter.name].to_list()
        assert [v is None for v in got] == [v is None for v in wanted]
        assert got == [v if v is None else pytest.approx(v, rel=1e-12) for v in wanted]
        assert sum(v is not None and v > 0 for v in wanted) > 40
