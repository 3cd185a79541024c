"""Which columns are outcomes."""

import polars as pl
import pytest

from pipeline.proposing.columns import columns_of
from pipeline.proposing.guess_outcomes import (
    guess_length,
    guess_watched,
    is_outcome_name,
    is_total_name,
    told_by_copies,
    told_by_idle_rows,
    unit_of,
)
from pipeline.proposing.sampling import Sample


def columns(**values):
    return columns_of(Sample(None, pl.DataFrame(values), True, 1.0))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("is_like", True),
        ("isFollow", True),
        ("play_time_ms", True),
        ("profile_stay_time", True),
        ("rating", True),
        ("long_view", True),
        ("tab", False),
        ("time_ms", False),
        ("like_id", False),  # names something
        ("follow_user_num", False),  # of the user's profile
        ("duration_ms", False),
    ],
)
def test_outcomes_by_name(name, is_one):
    assert is_outcome_name(columns(**{name: [0, 1]})[name]) == is_one


def test_totals_of_side_files_by_name():
    found = columns(like_cnt=[1.0], play_duration=[2.0], age=[3], follow_type=["a"])
    assert [is_total_name(c) for c in found.values()] == [True, True, False, False]


def test_what_differs_between_rows_of_one_impression_is_an_outcome():
    values = {"u": [1, 1, 2], "t": [5, 5, 5], "i": [7, 7, 7]}
    values |= {"reaction_x": [0, 1, 0], "surface": ["a", "a", "b"]}
    found = columns(**values)
    assert told_by_copies(pl.DataFrame(values), ["u", "t", "i"], found) == {
        "reaction_x"
    }


def test_what_is_0_wherever_nothing_was_watched_is_an_outcome():
    watched = [0] * 40 + [1000] * 60
    values = {"watch_time": watched, "emoji": [0] * 40 + [1] * 30 + [0] * 30}
    values |= {"tab": [1, 0] * 50, "rare": [0] * 99 + [1]}
    found = columns(**values)
    # `rare` is 1 in one of 60 watched rows: 40 zeros before are no surprise.
    assert told_by_idle_rows(found, found["watch_time"]) == {"emoji"}


def test_few_idle_rows_tell_nothing():
    found = columns(watch_time=[0] * 9 + [5] * 91, emoji=[0] * 9 + [1] * 91)
    assert told_by_idle_rows(found, found["watch_time"]) == set()


def test_time_watched_and_length_of_the_video():
    values = {"play_time_ms": range(20), "duration_ms": range(20)}
    values |= {"profile_stay_time": range(20), "title_length": range(20)}
    found = columns(**{name: list(v) for name, v in values.items()})
    watched = guess_watched(found)
    assert watched.name == "play_time_ms"
    assert guess_length(found, watched).name == "duration_ms"


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("watch_ms", [1, 2], "ms"),
        ("watch_seconds", [90_000], "s"),
        ("duration", [0, 27_000, 30_000], "ms"),
        ("duration", [0, 27, 30], "s"),
    ],
)
def test_units_by_name_or_by_the_median_of_what_is_not_0(name, values, unit):
    assert unit_of(columns(**{name: values})[name]) == unit
