"""What a study is made of, and the requests that make none."""

import dataclasses

import pytest

from feature_specs import read_spec
from feature_specs.reader import load_spec
from pipeline.examples.days import DayRange
from pipeline.trail_bias.study import plan_study

_DAYS = DayRange.parse("20220408:20220414")


def test_binary_tasks_that_the_log_can_tell_are_studied(spec):
    study = plan_study(spec, _DAYS)
    assert [task.name for task in study.tasks] == ["like", "like_of_seen"]
    assert study.keep == ("watch",)
    assert study.notes == (
        "Task own is left out: it reads author, not of the log alone.",
        "Filter by_someone is left out: it reads author, not of the log alone.",
    )


def test_only_asked_tasks_are_studied(spec):
    study = plan_study(spec, _DAYS, ["like_of_seen"])
    assert [task.name for task in study.tasks] == ["like_of_seen"]


def test_every_binary_task_of_kuairand_is_studied():
    spec = load_spec("kuairand")
    study = plan_study(spec, _DAYS)
    binary = [task.name for task in spec.tasks if task.kind == "binary"]
    assert [task.name for task in study.tasks] == binary
    assert study.notes == ()


def test_a_spec_without_trails_is_refused():
    with pytest.raises(ValueError, match="'movielens' has no `trail` section.*Add one"):
        plan_study(load_spec("movielens"), _DAYS)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("liek", "no such task. Did you mean 'like'?"),
        ("watch", "must be binary, and it is a regression"),
        ("own", "reads author, and this analysis has only the log's"),
    ],
)
def test_a_task_that_cannot_be_studied_is_refused(spec, task, message):
    with pytest.raises(ValueError, match=message):
        plan_study(spec, _DAYS, [task])


def test_no_task_at_all_is_refused(spec_text):
    first, last = spec_text.index("  - {name: like,"), spec_text.index("  - {name: own")
    spec = read_spec(
        (spec_text[:first] + spec_text[last:]).replace("like: 1.0", "own: 1.0")
    )
    with pytest.raises(ValueError, match="no binary task whose label reads only"):
        plan_study(spec, _DAYS)


def test_bins_that_a_trail_cannot_fill_are_refused(spec):
    with pytest.raises(ValueError, match="--min_length must be at least --bins = 20"):
        plan_study(spec, _DAYS, bins=20, min_length=19)
    with pytest.raises(ValueError, match="--bins must be at least 2, got 1"):
        plan_study(spec, _DAYS, bins=1)


def _with_time(spec, **changes):
    joined = {"clips": dataclasses.replace(spec.log.joins["clips"], columns=_CLIPS)}
    time = dataclasses.replace(spec.log.time, **changes)
    return dataclasses.replace(
        spec, log=dataclasses.replace(spec.log, time=time, joins=joined)
    )


_CLIPS = {"video": "int64", "author": "int64?", "lasts": "float64?"}


def test_a_length_of_a_side_file_is_not_looked_for_and_a_watch_is_refused(spec):
    assert plan_study(_with_time(spec, length_s="lasts"), _DAYS).spec.log.time == (
        spec.log.time
    )
    elsewhere = _with_time(spec, watched_ms=None, watched_s="lasts")
    with pytest.raises(ValueError, match=r"side file \(lasts\), and this analysis"):
        plan_study(elsewhere, _DAYS)
