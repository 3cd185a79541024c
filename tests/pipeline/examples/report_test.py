"""The checks on a finished run's report."""

import pytest

from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.report import (
    ExamplesError,
    build_report,
    check,
    merge_counts,
    read_report,
)

_PLAN = plan_splits(DayRange.parse("20220408:20220409"), 1, 1)


def _counts():
    counts = {
        ("rows", "log"): 10,
        ("reject", "log", "a.csv", "empty"): 1,
        ("outside_days",): 2,
        ("filtered", "duplicate"): 3,
        ("examples", "day-20220408"): 3,
        ("examples", "day-20220409"): 1,
        ("day", "20220408"): 6,
        ("day", "20220409"): 3,
        ("mask", "like", "day-20220408"): 2.0,
        ("label", "like", "day-20220408"): 1.0,
        ("mask", "like", "day-20220409"): 1.0,
        ("label", "like", "day-20220409"): 1.0,
    }
    return counts


def test_a_report_that_adds_up_passes(spec):
    report = build_report(_counts(), spec, _PLAN, seed=0)
    check(report, spec, "rejects")
    assert report["rejects"] == {"a.csv": {"empty": 1}}
    assert report["reject_share"] == 0.1


def test_label_means_are_those_of_training_days(spec):
    report = build_report(_counts(), spec, _PLAN, seed=0)
    assert report["label_means"]["like"] == 0.5  # 1 of 2
    assert report["label_means_per_split"]["day-20220409"]["like"] == 1
    assert report["label_means"]["ratio"] is None  # nothing in its sample space


def test_a_lost_row_is_a_fault(spec):
    report = build_report(_counts(), spec, _PLAN, seed=0)
    report["filtered"]["duplicate"] -= 1
    message = r"10 rows came in, but 4 examples \+ 2 filtered \+ 1 rejected .* = 9"
    with pytest.raises(ExamplesError, match=message):
        check(report, spec, "rejects")


def test_an_unreadable_side_file_fails_too(spec):
    counts = _counts()
    counts["rows", "people"] = 4
    counts["reject", "people", "p.csv", "uid: empty"] = 3
    report = build_report(counts, spec, _PLAN, seed=0)
    with pytest.raises(
        ExamplesError, match=r"75\.00% of the rows of side file 'people'"
    ):
        check(report, spec, "rejects")


def test_an_empty_evaluation_split_is_named(spec):
    counts = _counts()
    counts["filtered", "duplicate"] += counts.pop(("examples", "day-20220409"))
    report = build_report(counts, spec, _PLAN, seed=0)
    message = (
        r"No example for day-20220409 \(evaluation\)\. Days with rows: 20220408 \(6\)"
    )
    with pytest.raises(ExamplesError, match=message):
        check(report, spec, "rejects")


def test_a_run_without_report_did_not_end(tmp_path):
    with pytest.raises(ExamplesError, match="did not come to its end"):
        read_report(str(tmp_path / "report.json"))


def test_counts_add_up_key_by_key():
    assert merge_counts([{("a",): 1}, {("a",): 2, ("b",): 3}]) == {("a",): 3, ("b",): 3}
