"""The status of a run's directory, and what the next run would do."""

import dataclasses
import json
import subprocess
import sys

import pytest

from feature_specs.locks import owned
from feature_specs.places import PlaceError
from pipeline.ledger import read_ledger, write_ledger
from pipeline.operations.errors import OperationError
from pipeline.operations.status import status, status_table
from tests.pipeline.operations.conftest import written


def test_days_versions_and_the_last_run_are_told(known_run):
    found = status(known_run.root)
    assert found.made == (
        "day-20220408",
        "day-20220409",
        "day-20220410",
        "day-20220411",
        "day-20220412",
    )
    assert found.trained == found.made[:4] and found.judged == ("day-20220412",)
    assert found.serving == known_run.versions[-1]
    assert found.versions == {"live": 3, "rolled_back": 0, "pruned": 0}
    assert (found.last_run["id"], found.last_run["outcome"]) == (
        "20220413-030000",
        "pushed",
    )
    assert (found.owner, found.unsettled) == ("", "")


def test_days_in_the_names_of_log_files_tell_what_the_next_run_makes(known_run):
    assert status(known_run.root).next_run == "finds no new day"
    for day in ("20220413", "20220414"):
        written(known_run.logs / f"log_{day}.csv")
    written(known_run.logs / "log_of_nothing.csv")
    found = status(known_run.root)
    assert found.new_days == ("day-20220413", "day-20220414")
    assert found.next_run == "makes 20220413:20220414 (2)"


def with_pattern(known_run, pattern: str) -> None:
    path = known_run.root / "run.json"
    record = json.loads(path.read_text())
    record["spec_text"] = record["spec_text"].replace("log_{day}.csv", pattern)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("dt={day:%Y-%m-%d}/log_?_*.csv", "dt=2022-04-13/log_1_a.csv"),
        ("{day:%d.%m.%Y}.csv", "13.04.2022.csv"),
    ],
)
def test_days_of_every_form_are_found(known_run, pattern, name):
    with_pattern(known_run, pattern)
    written(known_run.logs / name)
    assert status(known_run.root).new_days == ("day-20220413",)


def test_where_names_hold_no_days_changed_files_are_told(known_run):
    with_pattern(known_run, "log_*.csv")
    assert status(known_run.root).next_run == "finds the log files as they were"
    written(known_run.logs / "log_20220412.csv", "other")
    written(known_run.logs / "log_new.csv")
    found = status(known_run.root)
    assert found.new_days is None
    assert found.next_run.startswith("finds 2 new or changed log files: ")


def test_what_cannot_be_known_is_said(known_run):
    record = known_run.root / "run.json"
    record.write_text(
        record.read_text().replace('"spec_digest": "', '"spec_digest": "0')
    )
    assert "no record of a run of the last spec" in status(known_run.root).next_run
    text = record.read_text().replace('"spec_digest": "0', '"spec_digest": "')
    written(known_run.root / "refused.json", text)
    assert status(known_run.root).next_run == "finds no new day"
    known_run.logs.rename(known_run.logs.with_name("away"))
    assert f"{known_run.logs} is not there" in status(known_run.root).next_run


def test_the_owner_is_told_while_it_lives(known_run):
    with owned(known_run.root):
        assert "process" in status(known_run.root).owner
    code = "import sys, os; from feature_specs.locks import owned\n"
    code += "with owned(sys.argv[1]): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(known_run.root)])
    assert (known_run.root / ".trailrank.lock").exists()
    assert status(known_run.root).owner == ""


def test_a_run_that_nobody_runs_was_killed(known_run):
    ledger = read_ledger(known_run.root)
    run = dataclasses.replace(ledger.runs[-1], outcome="running")
    write_ledger(known_run.root, ledger.with_run(run))
    assert status(known_run.root).last_run["outcome"] == "killed"
    with owned(known_run.root):
        assert status(known_run.root).last_run["outcome"] == "running"


def test_days_that_were_let_past_the_gate_are_named(known_run):
    ledger = read_ledger(known_run.root)
    day = dataclasses.replace(ledger.days[0], accepted={"who": "ann", "why": "holiday"})
    write_ledger(known_run.root, ledger.with_day(day))
    found = status(known_run.root)
    assert found.accepted == {"day-20220408": {"who": "ann", "why": "holiday"}}
    cells = [cell for c in status_table(found).columns for cell in c.cells]
    assert "day-20220408 by ann" in cells


def test_a_directory_in_which_nothing_was_run_is_refused(tmp_path):
    with pytest.raises(OperationError, match=r"must hold ledger\.json.*pipeline run"):
        status(tmp_path)
    with pytest.raises(PlaceError, match="does not exist"):
        status(tmp_path / "nowhere")
