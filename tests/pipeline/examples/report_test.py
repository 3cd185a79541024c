"""The checks on a finished run's report."""

import pytest

from pipeline.examples import report as module
from pipeline.examples.days import DayRange
from pipeline.examples.outputs import Outputs
from pipeline.examples.report import ExamplesError, merge_counts, read_report
from pipeline.examples.request import ExamplesRequest


@pytest.fixture
def request_of(spec):
    """(changes) -> a request for two days."""

    def make(**changes):
        settings = {
            "spec": spec,
            "logs_dir": "logs",
            "examples_dir": "examples",
            "rejects_dir": "rejects",
            "report_path": "report.json",
            "days": DayRange.parse("20220408:20220409"),
        }
        return ExamplesRequest(**{**settings, **changes})

    return make


def build_report(counts, request):
    """The report of a request's run."""
    return module.build_report(counts, request.spec, request.plan, request.seed)


def check(report, request):
    """The check that a request's run gets."""
    outputs = Outputs.of(request)
    module.check(report, outputs.limits, outputs.rejects_dir)


def _counts():
    counts = {
        ("rows", "log"): 11,
        ("file_rows", "a.csv"): 10,
        ("file_rows", "b.csv"): 1,
        ("context",): 1,
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


def test_a_report_that_adds_up_passes(request_of):
    report = build_report(_counts(), request_of())
    check(report, request_of())
    assert report["files"] == {
        "a.csv": {"rows": 10, "rejects": {"empty": 1}, "broken": []},
        "b.csv": {"rows": 1, "rejects": {}, "broken": []},
    }
    assert report["reject_share"] == 1 / 11


def test_label_means_are_those_of_training_days(request_of):
    report = build_report(_counts(), request_of())
    assert report["label_means"]["like"] == 0.5  # 1 of 2
    assert report["label_means_per_split"]["day-20220409"]["like"] == 1
    assert report["label_means"]["ratio"] is None  # nothing in its sample space


def test_a_lost_row_is_a_fault(request_of):
    report = build_report(_counts(), request_of())
    report["filtered"]["duplicate"] -= 1
    message = r"11 rows came in, but 4 examples \+ 2 filtered \+ 1 rejected .* = 10"
    with pytest.raises(ExamplesError, match=message):
        check(report, request_of())


def test_an_unreadable_side_file_fails_too(request_of):
    counts = _counts()
    counts["rows", "people"] = 4
    counts["file_rows", "p.csv"] = 4
    counts["reject", "people", "p.csv", "uid: empty"] = 3
    report = build_report(counts, request_of())
    with pytest.raises(
        ExamplesError, match=r"75\.00% of the rows of side file 'people'"
    ):
        check(report, request_of())


def test_an_empty_evaluation_split_is_named(request_of):
    counts = _counts()
    counts["filtered", "duplicate"] += counts.pop(("examples", "day-20220409"))
    report = build_report(counts, request_of())
    message = (
        r"No example for day-20220409 \(evaluation\)\. Days with rows: 20220408 \(6\)"
    )
    with pytest.raises(ExamplesError, match=message):
        check(report, request_of())


def test_a_file_that_broke_off_is_named(request_of):
    counts = {**_counts(), ("broken", "a.csv", "gzip data ends early"): 1}
    report = build_report(counts, request_of())
    with pytest.raises(ExamplesError, match=r"could be read:\n  - a.csv: gzip data"):
        check(report, request_of())


def _daily(rows):
    """Counts of examples on the days from 2022-04-01 on, nothing filtered."""
    counts = {("rows", "log"): sum(rows)}
    for number, found in enumerate(rows, start=1):
        day = f"202204{number:02d}"
        counts["day", day] = counts["examples", f"day-{day}"] = found
    return counts


def test_a_day_far_below_the_week_before_stops_the_run(request_of):
    days = DayRange.parse("20220401:20220409")
    request = request_of(days=days)
    # The median of 100 .. 160 is 130, and 0.3 of it 39.
    rows = [120, 100, 110, 120, 130, 140, 150, 160, 38]
    message = r"Unusually few rows on 20220409 \(38, against 130\): less than .* 30%"
    with pytest.raises(ExamplesError, match=message) as refused:
        check(build_report(_daily(rows), request), request)
    assert refused.value.exit_status == 3
    check(build_report(_daily([*rows[:-1], 39]), request), request)
    allowed = request_of(days=days, allow_small_days=True)
    check(build_report(_daily(rows), allowed), allowed)


def test_of_replaced_days_only_they_are_judged(request_of):
    days = DayRange.parse("20220401:20220404")
    counts = _daily([100, 100, 10, 100])
    good = request_of(days=days, only=DayRange.parse("20220404"))
    check(build_report(counts, good), good)
    bad = request_of(days=days, only=DayRange.parse("20220403"))
    with pytest.raises(ExamplesError, match="few rows on 20220403"):
        check(build_report(counts, bad), bad)


def test_trail_lengths_are_quantiles_of_trails(request_of):
    # Ten trails: 1 1 1 1 1 2 2 2 30 400
    lengths = {1: 5, 2: 3, 30: 1, 400: 1}
    counts = _counts() | {("trail_length", n): found for n, found in lengths.items()}
    trails = build_report(counts, request_of())["trails"]
    assert trails["trails"] == 10
    assert trails["length_quantiles"] == {
        "0.1": 1, "0.25": 1, "0.5": 1, "0.75": 2, "0.9": 30, "0.99": 400, "1": 400,
    }  # fmt: skip


def test_a_run_without_report_did_not_end(tmp_path):
    with pytest.raises(ExamplesError, match="did not come to its end"):
        read_report(str(tmp_path / "report.json"))


def test_counts_add_up_key_by_key():
    assert merge_counts([{("a",): 1}, {("a",): 2, ("b",): 3}]) == {("a",): 3, ("b",): 3}
