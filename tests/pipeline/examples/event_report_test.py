"""What is told of events: accounts, open days, labels."""

import dataclasses

import pytest

from feature_specs import read_spec
from feature_specs.errors import UsageError
from pipeline.examples.days import DayRange, midnight_ms, plan_splits, without_newest
from pipeline.examples.errors import ExamplesError
from pipeline.examples.event_report import check_events, report_events
from pipeline.examples.tables import events_lines
from tests.tiny_spec import TINY_SPEC

_SPEC = read_spec(
    TINY_SPEC.replace("timezone: UTC", "timezone: Asia/Shanghai")
    + """
events:
  acts:
    files: "acts/{day}/*.csv"
    types: {user: int64, item: int64, at: int64}
    key: [user, item]
    time: at
    window: 24h
    columns: {acted: "COUNT(*) > 0"}
"""
)
_DAYS = DayRange.parse("20220408:20220411")
_HOUR = 3_600_000


def _hour(day, hour):
    """Hours since 1970 of an hour in Shanghai."""
    return midnight_ms(DayRange.parse(day).first, "Asia/Shanghai") // _HOUR + hour


def _report(hours, folders, spec=_SPEC, **counts):
    """The report of events in some hours, in files of some days."""
    found = {("event_hour", "acts", hour): n for hour, n in hours.items()}
    found |= {("file", "events.acts", f"/logs/acts/{d}/a.csv"): 1 for d in folders}
    found |= {("event", "acts", what): n for what, n in counts.items()}
    found["rows", "events.acts"] = sum(hours.values())
    return report_events(found, spec, plan_splits(_DAYS, 1, 1))["acts"]


_FOLDERS = ["20220408", "20220409", "20220410", "20220411", "20220412"]


@pytest.mark.parametrize(
    "newest, folders, expected",
    [
        (_hour("20220412", 23), _FOLDERS, []),  # to its end, and the window's
        (_hour("20220412", 22), _FOLDERS, ["20220411"]),
        (_hour("20220412", 23), _FOLDERS[:4], ["20220411"]),  # events of other zones
        (_hour("20220411", 3), _FOLDERS[:4], ["20220410", "20220411"]),
        (_hour("20220412", 23), [*_FOLDERS[:3], "20220412"], ["20220410", "20220411"]),
    ],
)
def test_a_day_is_open_until_its_window_was_read(newest, folders, expected):
    hours = {_hour("20220408", 1): 50, newest: 1}
    assert _report(hours, folders)["incomplete_days"] == expected


def test_a_few_damaged_times_say_nothing_of_how_far_was_read():
    hours = {_hour("20220411", 3): 100_000, _hour("20990101", 0): 9}
    found = _report(hours, _FOLDERS)
    assert found["read_until"] == "2022-04-11 04:00+08:00"
    assert found["incomplete_days"] == ["20220410", "20220411"]


def test_open_labels_are_told():
    task = dataclasses.replace(_SPEC.tasks[0], name="act", label="acted")
    spec = dataclasses.replace(_SPEC, tasks=(*_SPEC.tasks, task))
    hours = {_hour("20220411", 3): 10}
    found = _report(hours, _FOLDERS, spec, joined=6, late=1, unmatched=2, repeated=1)
    assert found["labels"] == ["act"]
    first, second = events_lines({"events": {"acts": found}})
    assert first == (
        "acts: 6 of 10 events joined, 1 late (after 24h), 2 unmatched (0 before their "
        "impression, 0 of other days), 1 repeated, 0 rejected."
    )
    assert second.startswith(
        "acts: labels of 20220410:20220411 may still change (act): events count for "
        "24h, and those that were read end at 2022-04-11 04:00+08:00."
    )


def test_an_event_that_is_lost_is_a_fault():
    found = _report({_hour("20220411", 3): 10}, _FOLDERS, joined=6, late=3)
    message = "10 events of acts came in, but 6 joined .* = 9. This is a fault"
    with pytest.raises(ExamplesError, match=message):
        check_events({"events": {"acts": found}})


def test_labels_wait_by_whole_days():
    assert str(without_newest(_DAYS, "1d")) == "20220408:20220410"
    assert str(without_newest(_DAYS, "25h")) == "20220408:20220409"


@pytest.mark.parametrize(
    "delay, message",
    [("4d", "moves out 4 of the 4 days"), ("soon", "--label_delay 'soon': must be a")],
)
def test_a_delay_leaves_a_day(delay, message):
    with pytest.raises(UsageError, match=message):
        without_newest(_DAYS, delay)
