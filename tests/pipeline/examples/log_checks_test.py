"""Which reports stop a run: rejects by day and file, days in other folders."""

import pytest

from pipeline.examples.log_checks import (
    ExamplesError,
    check_folders,
    check_missing,
    check_rejects,
)


def _report(days, files=(), notes=()):
    """A report of days (rows, rejects) from 2022-04-01 on, and files of the same."""
    names = [f"2022{4 + n // 30:02}{1 + n % 30:02}" for n in range(len(days))]
    files = files or [(rows, bad) for rows, bad in days]
    rejected = sum(bad for _, bad in files)
    return {
        "days": f"{names[0]}:{names[-1]}",
        "rejected": rejected,
        "rows_in": sum(rows for rows, _ in files),
        "reject_share": 0,
        "joins": {},
        "histories": {},
        "events": {},
        "notes": dict(notes),
        "rows_per_day": {
            n: rows - bad for n, (rows, bad) in zip(names, days, strict=True)
        },
        "rejects_per_day": {
            n: bad for n, (_, bad) in zip(names, days, strict=True) if bad
        },
        "files": {
            f"log_{n}.csv": {
                "rows": rows,
                "rejects": {"uid: empty": bad} if bad else {},
            }
            for n, (rows, bad) in enumerate(files)
        },
    }


def test_one_unreadable_day_of_sixty_is_named():
    days = [(1000, 0)] * 60
    days[37] = (1000, 1000)  # 1.67 % of all
    message = (
        r"^100\.00% of the rows of day 20220508 are unreadable, more than "
        r"log\.max_reject_share = 5\.00%\. So are log_37\.csv \(100\.00%\)\. Commonest: "
        r"uid: empty \(1000\)\. Every line is in rejects:"
    )
    with pytest.raises(ExamplesError, match=message):
        check_rejects(_report(days), 0.05, "rejects")


@pytest.mark.parametrize(
    ("rows", "bad", "limit", "stops"),
    [
        (1000, 51, 0.05, True),
        (1000, 50, 0.05, False),
        (1000, 10, 0.001, True),
        (1000, 9, 0.001, False),  # a few are left to the share of the whole
        (12, 9, 0.1, True),  # ... unless they are most of a file
        (3, 3, 0.5, True),
        (1000, 1000, 1.0, False),
    ],
)
@pytest.mark.parametrize("part", ["day", "file"])
def test_a_part_is_judged_by_the_share_of_the_whole(part, rows, bad, limit, stops):
    many = [(100_000, 0), (rows, bad)]
    evenly = [(50_000 + rows // 2, 0)] * 2
    report = _report(many, many) if part == "file" else _report(many, evenly)
    report["rejected"] = bad
    if part == "day" and bad <= 9:  # a day without rows is told by other checks
        stops = False
    if not stops:
        check_rejects(report, limit, "rejects")
        return
    with pytest.raises(ExamplesError, match="day 20220402|log_1.csv"):
        check_rejects(report, limit, "rejects")


def test_the_whole_comes_first_and_tells_what_was_assumed():
    note = "ts: no plausible time in ms, but one in s (log.time.unit)"
    report = _report([(100, 100)], notes=[(note, 100)])
    with pytest.raises(ExamplesError) as caught:
        check_rejects(report, 0.001, "rejects")
    assert "100.00% of the rows of the log are unreadable" in str(caught.value)
    assert f"Of the values: {note} (100)." in str(caught.value)


def test_a_reason_is_told_with_a_value():
    report = _report([(100, 100)]) | {"samples": {"uid: empty": '{"uid":null}'}}
    with pytest.raises(
        ExamplesError, match=r'uid: empty \(100, such as {"uid":null}\)'
    ):
        check_rejects(report, 0.001, "rejects")


def test_a_column_without_any_value_stops_the_run_unless_it_is_expected():
    found = {"rows": 5, "share": 1.0, "expected": True}
    check_missing({"missing_values": {"a": found, "b": {**found, "share": 0.9}}})
    both = {name: {**found, "expected": False} for name in ("b", "a")}
    with pytest.raises(
        ExamplesError, match="No row has a value of a, b. Are they call"
    ):
        check_missing({"missing_values": both})


def test_several_days_and_files_are_named():
    days = [(1000, 0)] * 100 + [(1000, 20)] * 9
    with pytest.raises(ExamplesError) as caught:
        check_rejects(_report(days), 0.01, "rejects")
    assert "So are day 20220712 (2.00%), day 20220713" in str(caught.value)
    assert "and 12 more." in str(caught.value)  # 9 days and 9 files, 1 and 5 named


def test_rows_of_another_day_than_their_folder_stop_the_run():
    folders = {
        "20220408": {"rows": 900, "early": 300},
        "20220409": {"rows": 900, "early": 300, "late": 1},
    }
    with pytest.raises(ExamplesError) as caught:
        check_folders(folders, "log")
    assert str(caught.value).startswith(
        "33.39% of the rows lie on another day than their file is named by: 20220408 "
        "(300 earlier, 0 later, of 900), 20220409 (300 earlier, 1 later, of 900)."
    )
    assert "log.folder_timezone of the spec. They are days of UTC: set it" in str(
        caught.value
    )
    folders["20220408"]["not UTC"] = 500
    with pytest.raises(ExamplesError) as caught:
        check_folders(folders, "log")
    assert "days of UTC" not in str(caught.value)


def test_some_late_rows_do_not():
    check_folders({}, "log")
    check_folders({"20220408": {"rows": 900, "late": 9}}, "log")
