"""Whose the columns of a spec are, and who may read them."""

import pytest

from feature_specs import read_spec
from feature_specs.sides import sides_of

_SIDES = {
    "user_id": {"user"},
    "history_video_id": {"user"},
    "since_like": {"user"},  # a counter without a match
    "user_group": {"user"},  # derived from it
    "video_id": {"video"},
    "author_id": {"video"},  # joined by the video
    "duration": {"video"},  # log.time.length_ms
    "like_rate": {"video"},  # by the video
    "author_seen": {"user", "video"},  # a counter with a match
    "time_ms": {"request"},
    "event_time": {"request"},
    "trail_position": {"request"},
    "trail_last_tab": {"request"},
}


@pytest.mark.parametrize(("column", "whose"), _SIDES.items())
def test_a_column_is_of_who_it_comes_from(good, column, whose):
    assert sides_of(read_spec(good))[column] == whose


@pytest.mark.parametrize("column", ["tab", "age", "tags", "tag_list", "trail_length"])
def test_nothing_is_known_of_other_columns(good, column):
    assert not sides_of(read_spec(good)).get(column)


_AGE = 'group: query, kind: number, expr: "age / 1"'


@pytest.mark.parametrize("group", ["query", "context"])
@pytest.mark.parametrize("column", ["duration", "author_id", "score", "plays"])
def test_a_request_cannot_read_the_video(mistakes, group, column):
    (told,) = mistakes(_AGE, f'group: {group}, kind: number, expr: "{column} + age"')
    assert f"'age_years' reads {column}, the video's" in told
    assert mistakes(_AGE, f"group: candidate, kind: number, expr: {column}") == []


@pytest.mark.parametrize("column", ["user_id", "time_ms", "since_like", "author_seen"])
def test_a_candidate_says_that_it_is_paired(mistakes, column):
    new = f'kind: number, expr: "{column} / 2 + duration"'
    (told,) = mistakes(_AGE, f"group: candidate, {new}")
    assert f"reads {column}, the user's or the request's" in told
    assert "Say `paired: true`" in told
    assert mistakes(_AGE, f"group: candidate, paired: true, {new}") == []


@pytest.mark.parametrize("group", ["query", "candidate", "context", "trail"])
def test_a_column_of_nobody_known_is_for_all(mistakes, group):
    assert mistakes(_AGE, f'group: {group}, kind: number, expr: "age + tab"') == []
