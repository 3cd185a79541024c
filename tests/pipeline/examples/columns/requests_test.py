"""Which impressions are of one request, and where each stands in it."""

import dataclasses

import polars as pl
import pytest

from feature_specs.spec import NO_REQUEST, RequestSpec
from pipeline.examples.columns.requests import REQUEST, add_requests
from tests.pipeline.examples.columns.past_rows import make_frame, make_spec, row

_BY_TAB = RequestSpec(column="tab")
_BY_SESSION = RequestSpec(session="tab", seconds=30)


def _requests(rows, request=_BY_TAB):
    spec = make_spec()
    log = dataclasses.replace(spec.log, request=request)
    return add_requests(make_frame(rows), dataclasses.replace(spec, log=log))


def _places(rows, request=_BY_TAB):
    found = _requests(rows, request)
    return list(found.select("request_position", "request_size").iter_rows())


def _groups(rows, request=_BY_TAB):
    """Each row's request, numbered by its first row; None for none."""
    numbers = {NO_REQUEST: None}
    for key in (keys := _requests(rows, request)[REQUEST].to_list()):
        numbers.setdefault(key, len(numbers))
    return [numbers[key] for key in keys]


def test_rows_of_one_value_are_one_request_whenever_they_come():
    rows = [row(0, tab=5), row(1, tab=6), row(2, tab=5), row(90_000_000, tab=5)]
    assert _groups(rows) == [1, 2, 1, 1]
    assert _places(rows) == [(1, 3), (1, 1), (2, 3), (3, 3)]


def test_requests_of_two_users_are_two_though_their_ids_are_one():
    rows = [row(0, tab=5, user=1), row(0, tab=5, user=2)]
    assert _groups(rows) == [1, 2]
    assert _places(rows) == [(1, 1), (1, 1)]


def test_what_begins_together_stands_in_the_order_of_its_items():
    rows = [row(0, "b", tab=5), row(0, "a", tab=5), row(0, "c", tab=5)]
    found = _requests(rows)
    assert found["item"].to_list() == ["a", "b", "c"]
    assert found["request_position"].to_list() == [1, 2, 3]


@pytest.mark.parametrize("request_", [_BY_TAB, _BY_SESSION])
def test_a_row_without_a_value_is_of_no_request(request_):
    rows = [row(0, tab=None), row(1, tab=None), row(2, tab=0)]
    assert _groups(rows, request_) == [None, None, 1]
    assert _places(rows, request_) == [(None, None), (None, None), (1, 1)]


def test_a_longer_pause_than_is_said_begins_another_request():
    # The pauses are from begin to begin of rows of one session.
    rows = [row(0, tab=1), row(20_000, tab=2), row(30_000, tab=1), row(60_001, tab=1)]
    assert _groups(rows, _BY_SESSION) == [1, 2, 1, 3]
    assert _places(rows, _BY_SESSION) == [(1, 2), (1, 1), (2, 2), (1, 1)]


def test_two_users_share_no_session():
    rows = [row(0, tab=1, user=1), row(1, tab=1, user=2)]
    assert _groups(rows, _BY_SESSION) == [1, 2]


def test_a_session_may_be_all_that_a_user_does():
    own = RequestSpec(session="user", seconds=30)
    rows = [row(0, user=1), row(1, user=2), row(30_000, user=1), row(60_001, user=1)]
    assert _groups(rows, own) == [1, 1, 2, 3]  # sorted by user, then by time


def test_an_id_may_be_text_and_no_row_is_no_trouble():
    by_text = RequestSpec(column="item")
    rows = [row(0, "x"), row(1, "y"), row(2, "x")]
    assert _groups(rows, by_text) == [1, 2, 1]
    found = _requests([], by_text)
    assert found.schema[REQUEST] == pl.Int64
    assert found.height == 0


def test_without_a_request_in_the_spec_nothing_is_added():
    frame = make_frame([row(0)])
    assert add_requests(frame, make_spec()).columns == frame.columns
