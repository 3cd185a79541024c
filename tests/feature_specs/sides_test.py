"""Whose the columns of a spec are, and who may read them."""

import pytest

from feature_specs import SpecError, read_spec
from feature_specs.sides import whose as whose_in

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
    "age": {"user"},  # a query feature is this column
    "tags": {"video"},  # a candidate feature reads it through a derived column
    "tag_list": {"video"},
    "tag_likes": {"user", "video"},  # a counter that matches it
}


@pytest.mark.parametrize(("column", "whose"), _SIDES.items())
def test_a_column_is_of_who_it_comes_from(good, column, whose):
    assert whose_in(read_spec(good)).of(column) == whose


@pytest.mark.parametrize("column", ["tab", "trail_length"])
def test_nothing_is_known_of_other_columns(good, column):
    assert not whose_in(read_spec(good)).of(column)


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
    assert mistakes(_AGE, f'group: {group}, kind: number, expr: "tab / 2"') == []


# --- what features say of columns that have no role in the log ------------------------


def test_two_features_may_not_say_that_a_column_is_of_both_sides(mistakes):
    (told,) = mistakes(_AGE, "group: candidate, kind: number, expr: age * 2")
    assert (
        "feature 'age_years' reads age (as feature 'age' of group query does), the "
        "user's or the request's" in told
    )
    (told,) = mistakes(_AGE, "group: context, kind: number, expr: LENGTH(tags)")
    assert (
        "feature 'tag_list' reads tag_list (as feature 'age_years' of group context "
        "does), the user's or the request's" in told
    )  # the first in the file has said it


def test_a_pair_of_columns_of_the_log_is_called_so(mistakes):
    """The user's age and the video's tags: neither has a role in the log."""
    new = 'kind: number, expr: "age + LENGTH(tags)"'
    (told,) = mistakes(_AGE, f"group: candidate, {new}")
    assert "Say `paired: true`" in told
    assert mistakes(_AGE, f"group: candidate, paired: true, {new}") == []
    (told,) = mistakes(_AGE, f"group: query, {new}")
    assert "and say `paired: true` if it reads the user or the request, too" in told


def test_what_reads_one_column_says_more_than_what_reads_two(mistakes):
    """A wrong pair comes first in the file, and is the one that is told of."""
    pair = "  - {name: pair, group: candidate, kind: code, size: 2, expr: age = tab}\n"
    (told,) = mistakes("features:\n", f"features:\n{pair}")
    assert told.startswith("features[0] (pair).expr: feature 'pair' reads age (as")


# --- through everything that may lie between ------------------------------------------

_MADE = {
    "derived": ("derived:\n", "derived:\n  made: {read}\n"),
    "statistics": (
        "statistics:\n",
        "statistics:\n  - {{name: made, by: {read}, value: liked}}\n",
    ),
    "counters": ("counters:\n", "counters:\n  - {{name: made, match: {read}}}\n"),
}
_READS = {  # of the log's columns: one of each side
    "user": ("user_id", {"query": "", "candidate": "the user's or the request's"}),
    "request": ("time_ms", {"query": "", "candidate": "the user's or the request's"}),
    "video": ("duration", {"query": "the video's", "candidate": ""}),
    "said": ("age", {"query": "", "candidate": "the user's or the request's"}),
}


@pytest.mark.parametrize("group", ["query", "candidate"])
@pytest.mark.parametrize("whose", _READS)
@pytest.mark.parametrize("section", ["derived", "statistics"])
def test_what_is_made_of_a_column_is_whose_the_column_is(good, section, whose, group):
    column, told = _READS[whose]
    assert _told(good, section, column, group) == told[group]


@pytest.mark.parametrize(
    ("whose", "group", "told"),
    [
        ("user", "query", ""),  # the user's own past, whatever it is matched by
        ("request", "query", ""),
        ("said", "query", ""),
        ("video", "query", "a counter with a `match`"),
        ("user", "candidate", "the user's or the request's"),
        ("video", "candidate", "the user's or the request's"),
    ],
)
def test_a_counter_is_the_users_and_whose_its_match_is(good, whose, group, told):
    assert _told(good, "counters", _READS[whose][0], group) == told


def test_a_counter_that_matches_what_nobody_claims_may_be_the_videos(good):
    assert _told(good, "counters", "tab", "query") == "a counter with a `match`"
    said = good.replace(
        "features:\n", "features:\n  - {name: tab, group: context, kind: code}\n"
    )
    assert _told(said, "counters", "tab", "query") == ""


@pytest.mark.parametrize(
    ("column", "group", "told"),
    [
        ("ARRAY_LENGTH(history_video_id)", "candidate", "the user's or the request's"),
        ("trail_last_tab", "candidate", "the user's or the request's"),
        ("EXTRACT(hour FROM event_time)", "candidate", "the user's or the request's"),
        ("author_id", "query", "the video's"),  # of a side file by the video
    ],
)
def test_columns_of_the_past_and_of_side_files_are_someones(good, column, group, told):
    assert _told(good, "derived", column, group) == told


def test_a_quantile_is_known_too_late_for_either_side(good):
    with pytest.raises(SpecError, match="reads watch_rank, known only after"):
        read_spec(good.replace('expr: "age / 1"', "expr: watch_rank"))


def test_a_side_file_by_a_column_without_a_role_is_whose_a_feature_says(good):
    join = "    tabs: {files: t.csv, format: csv, key: tab, columns: {tab: int64, x: float64}}"
    text = good.replace("  joins:\n", f"  joins:\n{join}\n")
    read_spec(text.replace('expr: "age / 1"', "expr: x"))
    tab = "  - {name: tab, group: candidate, kind: code, size: 4}\n"
    text = text.replace("features:\n", f"features:\n{tab}")
    with pytest.raises(SpecError, match=r"reads x \(as feature 'tab' of group cand"):
        read_spec(text.replace('expr: "age / 1"', "expr: x"))


def _told(good: str, section: str, column: str, group: str) -> str:
    """What is said of a feature that reads something made of a column."""
    old, new = _MADE[section]
    text = good.replace(old, new.format(read=column), 1)
    feature = f"group: {group}, kind: number, expr: made / 2"
    try:
        read_spec(text.replace(_AGE, feature))
    except SpecError as error:
        (problem,) = error.problems
        said = [
            "the user's or the request's",
            "the video's",
            "a counter with a `match`",
        ]
        assert "feature 'age_years' reads made" in problem
        return next(text for text in said if text in problem)
    return ""
