"""What a user did before an impression began, as another log tells it."""

import dataclasses
import random

import polars as pl
import pytest

from feature_specs.moments import MomentSpec
from feature_specs.spec import LogHistorySpec
from pipeline.examples.columns.histories import add_histories, settle_events
from tests.pipeline.examples.columns.past_rows import (
    NOON,
    make_frame,
    make_spec,
    random_rows,
    row,
)

_TYPES = {"who": pl.Int64, "at": pl.Int64, "query": pl.String, "results": pl.Int64}
_SEARCHES = LogHistorySpec(
    files="*.csv",
    user="who",
    time=MomentSpec(column="at"),
    types={"who": "int64", "at": "int64", "query": "string?", "results": "int64?"},
    columns={"words": "STRING_TO_ARRAY(query, ' ')", "results": "results"},
    length=3,
)


def _search(at=0, query="cats", user=1, results=None):
    return {"who": user, "at": NOON + at, "query": query, "results": results}


def _events(searches):
    frame = pl.DataFrame(searches, schema=_TYPES)
    return frame.with_columns(pl.col("at").alias("_time_ms"))


def _histories(rows, searches, history=_SEARCHES):
    """{column: lists} of impressions in order."""
    spec = make_spec(histories={"searches": history})
    events = settle_events(_events(searches), history) if searches else None
    found = add_histories(make_frame(rows), spec, {"searches": events})
    names = [name for name in found.columns if name.startswith("history_")]
    return {name.removeprefix("history_searches_"): found[name] for name in names}


def _words(rows, searches, **changes):
    history = dataclasses.replace(_SEARCHES, **changes)
    return _histories(rows, searches, history)["words"].to_list()


def test_an_event_of_the_same_millisecond_is_not_seen():
    rows = [row(-1), row(0), row(1)]
    assert _words(rows, [_search(0)]) == [[], [], ["cats"]]


def test_lists_are_flattened_and_the_newest_words_stay():
    searches = [_search(0, "a b"), _search(1, "c"), _search(2, "d e")]
    rows = [row(1), row(2), row(3)]
    assert _words(rows, searches) == [["a", "b"], ["a", "b", "c"], ["c", "d", "e"]]
    assert _words(rows, searches, length=1) == [["b"], ["c"], ["e"]]
    # A list that is longer by itself is cut in its middle.
    assert _words([row(1)], [_search(0, "a b c d e")], length=2) == [["d", "e"]]


def test_an_event_without_a_list_takes_no_place_and_one_without_a_value_does():
    searches = [_search(0, "a", results=5), _search(1, None), _search(2, "b")]
    found = _histories([row(9)], searches)
    assert found["words"].to_list() == [["a", "b"]]
    assert found["results"].to_list() == [[5, None, None]]


def test_users_see_their_own_events_only():
    rows = [row(9, user=1), row(9, user=2), row(9, user=4)]
    searches = [
        _search(0, "a", user=1),
        _search(0, "b", user=3),
        _search(0, "c", user=4),
    ]
    assert _words(rows, searches) == [["a"], [], ["c"]]


def test_users_without_events_have_lists_without_values():
    found = _histories([row(0), row(1)], [])
    assert found["words"].to_list() == [[], []]
    assert found["words"].dtype == pl.List(pl.String)
    assert found["results"].dtype == pl.List(pl.Int64)
    assert _words([], [_search(0)]) == []


def test_equal_rows_count_once_and_others_of_the_moment_stand_by_their_values():
    searches = [_search(0, "b"), _search(0, "a"), _search(0, "b"), _search(0, None)]
    searches += [_search(0, "b", results=1)]
    found = settle_events(_events(searches), _SEARCHES)
    assert found["query"].to_list() == ["a", "b", "b", None]
    assert found["results"].to_list() == [None, 1, None, None]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_zeros_of_either_sign_mean_nothing(seed):
    searches = [
        _search(n % 2, q, n % 3) for n, q in enumerate(["a", "b", "c", None] * 5)
    ]
    shuffled = random.Random(seed).sample(searches, len(searches))
    one, other = (settle_events(_events(s), _SEARCHES) for s in (searches, shuffled))
    assert one.equals(other)
    floats = pl.DataFrame({"who": [1, 1], "_time_ms": [0, 0], "x": [0.0, -0.0]})
    assert settle_events(floats, _SEARCHES).height == 1


def test_events_may_have_lists_and_vectors():
    """Both have an order, and equal ones are equal."""
    types = {"who": pl.Int64, "_time_ms": pl.Int64, "tags": pl.List(pl.String)}
    types["vector"] = pl.Array(pl.Float32, 2)
    rows = [(1, 0, ["b"], [1, 2]), (1, 0, ["a", "c"], None), (1, 0, ["b"], [1, 2])]
    events = pl.DataFrame(rows, schema=types, orient="row")
    settled = settle_events(events, _SEARCHES)
    assert settled["tags"].to_list() == [["a", "c"], ["b"]]
    history = dataclasses.replace(_SEARCHES, columns={"tags": "tags"}, length=2)
    spec = make_spec(histories={"s": history})
    found = add_histories(make_frame([row(0)]), spec, {"s": settled})
    assert found["history_s_tags"].to_list() == [["c", "b"]]


@pytest.mark.parametrize("seed", range(4))
def test_random_events_equal_plain_loops(seed):
    rows = random_rows(seed)
    draw = random.Random(seed)
    searches = [
        _search(
            r["ts"] - NOON + draw.choice([-1, 0, 1, -5_000]),
            draw.choice([None, "", "a", "b c", "d e f g"]),
            r["user"],
            draw.choice([None, 1, 2]),
        )
        for r in draw.choices(rows, k=300)
    ]
    found = _histories(rows, searches)
    unique = {tuple(s.values()): s for s in searches}.values()

    ordered = sorted(
        unique,
        key=lambda s: (
            s["at"],
            (s["query"] is None, s["query"] or ""),
            (s["results"] is None, s["results"] or 0),
        ),
    )
    for number, r in enumerate(rows):
        past = [s for s in ordered if s["who"] == r["user"] and s["at"] < r["ts"]]
        words = [
            w for s in past if s["query"] is not None for w in s["query"].split(" ")
        ]
        assert found["words"][number].to_list() == words[-3:]
        assert found["results"][number].to_list() == [s["results"] for s in past][-3:]
