"""Damaged logs through the whole of example generation: told, counted, never lost.

What becomes of each damaged line or file on reading: `damaged_files_test.py`.
"""

import gzip
import json
import pathlib
import re
import shutil

import pytest

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.report import ExamplesError
from pipeline.examples.request import ExamplesRequest


@pytest.fixture
def logs(tmp_path, write_logs, log_line, random_rows):
    """Four days in two files, and the side files."""
    lines = [log_line(row) for row in random_rows(31, 200)]
    parts = {"log_1.csv": lines[:100], "log_2.csv": lines[100:]}
    return pathlib.Path(write_logs(tmp_path / "logs", parts))


@pytest.fixture
def run(tmp_path, spec, logs):
    """Runs on `logs`; gives the report."""

    def make(spec=spec):
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        return run_examples(
            ExamplesRequest(
                spec=spec,
                logs_dir=str(logs),
                examples_dir=str(out / "examples"),
                rejects_dir=str(out / "rejects"),
                report_path=str(out / "report.json"),
                days=DayRange.parse("20220408:20220411"),
            )
        )

    return make


def _report(tmp_path):
    return json.loads((tmp_path / "out" / "report.json").read_text())


def _truncated_gzip(path):
    data = gzip.compress(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])


def _corrupt_gzip(path):
    data = bytearray(gzip.compress(path.read_bytes()))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_truncated_gzip, _corrupt_gzip])
@pytest.mark.parametrize("name", ["log_1.csv", "clips_1.csv"])
def test_a_file_that_breaks_off_stops_the_run(run, logs, tmp_path, damage, name):
    damage(logs / name)
    message = rf"(?s){logs}/{name}: gzip data .*[Cc]opy"
    with pytest.raises((ExamplesError, ValueError), match=message):
        run()
    assert not list((tmp_path / "out").rglob("_unfinished"))


def _empty(logs):
    (logs / "log_1.csv").write_bytes(b"")


def _no_logs(logs):
    for path in logs.glob("log*"):
        path.unlink()


def _no_side_file(logs):
    (logs / "people.csv").unlink()


def _lost_column(logs):
    path = logs / "log_2.csv"
    path.write_text(path.read_text().replace("watched", "watch_ms", 1))


def _headers_only(logs):
    for path in logs.glob("log*"):
        path.write_text(path.read_text().splitlines()[0] + "\n")


def _seconds(logs):
    for path in logs.glob("log*"):
        path.write_text(re.sub(r"(\d{10})\d{3},", r"\1,", path.read_text()))


def _swapped_columns(logs):
    path = logs / "log_1.csv"
    path.write_text(path.read_text().replace("uid,video", "video,uid", 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_empty, r"log_1\.csv is empty"),
        (
            _no_logs,
            r"No file matches .*/log\*\.csv \(log\.files of the spec\)\. It hol",
        ),
        (_no_side_file, r"No file matches .*\(log\.joins\.people\.files of the spec\)"),
        (_lost_column, r"log_2\.csv: column 'watched' is missing"),
        (_headers_only, r"No row is of the days 20220408:20220411\. No day has a read"),
        (_seconds, r"rows of the log are unreadable, more than .*not a plausible"),
        (_swapped_columns, r"rows of the log are unreadable.*uid: not a whole number"),
    ],
)
def test_logs_that_cannot_be_used_are_told(run, logs, damage, message, spec_text):
    damage(logs)
    strict = spec_text.replace("max_reject_share: 0.5", "max_reject_share: 0.01")
    with pytest.raises((ExamplesError, ValueError, OSError), match=message):
        run(read_spec(strict))


def test_a_file_given_twice_is_counted_as_duplicates(run, logs):
    once = run()
    shutil.copy(logs / "log_1.csv", logs / "log_1_again.csv")
    twice = run()
    more = twice["rows_in"] - once["rows_in"]
    assert more == 100
    assert twice["filtered"]["duplicate"] == once["filtered"]["duplicate"] + more
    assert twice["examples"] == once["examples"]


def test_a_day_whose_file_is_mostly_missing_stops_the_run(
    run, logs, tmp_path, log_line, random_rows, midnight
):
    day = midnight + 3 * 86_400_000
    lines = [log_line(row) for row in random_rows(31, 200) if row["ts"] < day]
    few = [log_line(row) for row in random_rows(31, 200) if row["ts"] >= day][:3]
    header = (logs / "log_1.csv").read_text().splitlines()[0]
    (logs / "log_1.csv").write_text("\n".join([header, *lines, *few]) + "\n")
    (logs / "log_2.csv").unlink()
    with pytest.raises(ExamplesError, match=r"Unusually few rows on 20220411 \(3, aga"):
        run()
    assert _report(tmp_path)["rows_per_day"]["20220411"] == 3
