"""`seconds` of tasks: what is read, and every mistake with its key path."""

import re

import pytest

from feature_specs import SpecError, load_spec, read_spec, views
from feature_specs.spec import SecondsSpec

_GOOD = """
name: ranks
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, watched: float64, length: "int64?", width: int64}
  outcomes: [watched]
quantiles:
  - {name: by_length, value: watched, by: length, boundaries: [7000], step: 250, max: 30000}
  - {name: whole, value: watched, step: 250, max: 30000}
tables: {user: {buckets: 50}, video: {buckets: 50}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: minutes, group: candidate, kind: number, expr: "length / 60000"}
  - {name: cut, group: candidate, kind: number, expr: "LEAST(length, 90000) / 60000"}
  - {name: bucket, group: candidate, kind: bucket, boundaries: [7], expr: "length / 60000"}
  - {name: length_here, group: trail, kind: number, expr: "length"}
  - {name: width, group: candidate, kind: number}
tasks:
  - {name: first, kind: regression, label: by_length, seconds: {unit: ms, feature: minutes, factor: 60000}}
  - {name: second, kind: regression, label: '"whole"', seconds: {unit: ms}}
fusion: {weights: {first: 1.0}}
"""


def test_what_is_told_is_read():
    found = {task.name: task.seconds for task in read_spec(_GOOD).tasks}
    assert found == {
        "first": SecondsSpec(unit="ms", feature="minutes", factor=60_000.0),
        "second": SecondsSpec(unit="ms"),
    }


def test_it_changes_what_is_served_and_nothing_that_is_trained():
    plain = re.sub(r", seconds: {.*?}", "", _GOOD)
    changed = {
        name
        for name in views.VIEWS
        if views.digest(read_spec(_GOOD), name) != views.digest(read_spec(plain), name)
    }
    assert changed == {views.SERVING, views.EVERYTHING}
    served = read_spec(views.text(read_spec(_GOOD), views.SERVING))
    assert [task.seconds for task in served.tasks] == [
        task.seconds for task in read_spec(_GOOD).tasks
    ]


def test_the_shipped_spec_serves_watch_rank_as_seconds():
    assert load_spec("kuairand").task("watch_rank").seconds is not None


_FEATURE = r"^tasks\[0\] \(first\)\.seconds\.feature: "


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("factor: 60000", "factor: 1000", _FEATURE + "times 1000 must be length"),
        (", factor: 60000}", "}", _FEATURE + "times 1 must be length"),
        ("feature: minutes", "feature: cut", _FEATURE + "times 60000 must be length"),
        ("feature: minutes", "feature: width", _FEATURE + "times 60000 must be"),
        ("feature: minutes", "feature: minuts", _FEATURE + ".*Did you mean 'minutes'"),
        ("feature: minutes", "feature: bucket", _FEATURE + "must be a served feature"),
        ("feature: minutes", "feature: length_here", _FEATURE + "must be a served"),
        ("feature: minutes, ", "", _FEATURE + "must be a served feature of kind"),
        ("unit: ms}", "unit: ms, feature: minutes}", "has no use: quantile 'whole'"),
        ("unit: ms}", "unit: min}", r"\(second\)\.seconds\.unit: must be one of s, ms"),
        ("unit: ms}", "factor: 2}", r"\(second\)\.seconds\.unit: is required"),
        ("factor: 60000", "factor: 0", r"\(first\)\.seconds\.factor: must be from"),
        (
            "label: by_length",
            'label: "1 - by_length"',
            r"\(first\)\.label: must be the column of a quantile.*by_length, whole",
        ),
        ("label: by_length", "label: watched", r"\(first\)\.label: must be the column"),
        (
            "first, kind: regression",
            "first, kind: binary",
            r"\(first\)\.seconds: is for regressions",
        ),
        ("name: second,", "name: first_seconds,", r"\(first\)\.seconds: is served as"),
    ],
)
def test_each_mistake_is_named(old, new, message):
    assert _GOOD.count(old) == 1
    with pytest.raises(SpecError) as refused:
        read_spec(_GOOD.replace(old, new))
    told = [text for text in refused.value.problems if "seconds" in text]
    assert [bool(re.search(message, text)) for text in told] == [True]


@pytest.mark.parametrize("old", ["step: 250, max: 30000}\n  - {name: whole", "length:"])
def test_a_mistake_elsewhere_is_told_once(old):
    with pytest.raises(SpecError) as refused:
        read_spec(_GOOD.replace(old, old.replace("max", "most").replace("h:", "h_:")))
    assert not [told for told in refused.value.problems if ".seconds" in told]
