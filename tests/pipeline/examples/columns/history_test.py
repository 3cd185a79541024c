"""The last positive events that a user knew of when an impression began."""

import polars as pl
import pytest

from feature_specs.past import HistorySpec
from pipeline.examples.columns.history import add_history
from pipeline.examples.columns.timeline import Timeline
from tests.pipeline.examples.columns.past_rows import (
    make_frame,
    make_spec,
    past_of,
    random_rows,
    row,
)


def _history(rows, positive="TRUE", length=3, columns=("item",)):
    history = HistorySpec(positive=positive, columns=columns, length=length)
    spec = make_spec(history=history)
    frame = make_frame(rows)
    return add_history(frame, spec, Timeline.of(frame, spec))


def _items(rows, **options):
    return _history(rows, **options)["history_item"].to_list()


def test_the_newest_stand_last_and_the_oldest_are_left_out():
    rows = [row(n, f"v{n}") for n in range(5)]
    found = _items(rows, length=2)
    assert found == [[], ["v0"], ["v0", "v1"], ["v1", "v2"], ["v2", "v3"]]


def test_an_event_is_seen_from_its_end_on():
    rows = [row(0, "a", watched=8_000), row(7_999, "b", watched=9), row(8_000, "c")]
    assert _items(rows) == [[], [], ["a"]]


def test_events_stand_in_the_order_of_their_ends():
    rows = [row(0, "long", watched=500), row(10, "short", watched=20), row(500, "c")]
    assert _items(rows) == [[], [], ["short", "long"]]


def test_one_without_length_is_seen_a_millisecond_later():
    rows = [row(0, "a"), row(0, "b"), row(1, "c")]
    assert _items(rows) == [[], [], ["a", "b"]]


def test_one_without_length_and_one_of_a_millisecond_stand_in_the_order_of_rows():
    rows = [row(0, "a", watched=1), row(0, "b", watched=0), row(1, "c")]
    assert _items(rows) == [[], [], ["a", "b"]]


def test_users_do_not_see_each_other():
    rows = [row(0, "a", user=1), row(9, "b", user=2), row(10, "c", user=1)]
    assert _items(rows) == [[], ["a"], []]


def test_only_positive_events_stay_and_null_is_not_positive():
    rows = [row(0, "a", tab=1), row(1, "b", tab=None), row(2, "c", tab=2), row(3)]
    assert _items(rows, positive="tab >= 1")[-1] == ["a", "c"]
    assert _items(rows, positive="1 = 0") == [[]] * 4


def test_an_empty_value_stays_in_its_place():
    rows = [row(0, author=4), row(1, author=None), row(2)]
    found = _history(rows, columns=("author", "item"))
    assert found["history_author"].to_list() == [[], [4], [4, None]]


def test_no_rows_give_lists():
    found = _history([], columns=("author", "item"))
    assert found.schema["history_author"] == pl.List(pl.Int64)
    assert found.schema["history_item"] == pl.List(pl.String)


@pytest.mark.parametrize("seed", range(4))
def test_random_rows_equal_plain_loops(seed):
    rows = random_rows(seed)
    found = _history(rows, "liked = 1", length=4, columns=("item", "author"))
    for column in ("item", "author"):
        wanted = []
        for r in rows:
            liked = [e[column] for e in past_of(r, rows) if e["liked"] == 1]
            wanted.append(liked[-4:])
        assert found[f"history_{column}"].to_list() == wanted
