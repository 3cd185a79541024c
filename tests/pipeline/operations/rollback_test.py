"""A rollback is done or not, whenever its process ends, and the next run goes on."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from feature_specs.locks import LockedError, owned
from pipeline.ledger import read_ledger
from pipeline.operations.errors import OperationError
from pipeline.operations.rollback import (
    read_rollbacks,
    rollback,
    settle_rollbacks,
)
from pipeline.operations.status import status
from pipeline.pushing import next_version, push, versions
from tests.forks import in_a_process
from tests.pipeline.operations.conftest import tree, written

ROOT = pathlib.Path(__file__).resolve().parents[3]


def states(known_run) -> list[str]:
    return [version.state for version in read_ledger(known_run.root).versions]


def test_the_versions_above_leave_a_servers_sight(known_run):
    first, *later = known_run.versions
    done = rollback(known_run.root, first, why="likes fell")
    assert versions(known_run.models) == [first]
    assert sorted(os.listdir(known_run.models / "rolled_back")) == later
    assert states(known_run) == ["live", "rolled_back", "rolled_back"]
    assert read_ledger(known_run.root).serving.version == first
    assert (done.left, done.to, done.why) == (later[-1], first, "likes fell")
    assert (done.day, done.is_served, done.is_trained) == ("day-20220408", True, False)
    assert status(known_run.root).next_run.startswith(
        "goes back to the end of 20220408"
    )


def test_run_json_is_of_the_version_that_is_served(known_run):
    first, second, _ = known_run.versions
    written(known_run.root / "records" / f"{first}.json", '{"preset": "first"}')
    rollback(known_run.root, first)
    assert json.loads((known_run.root / "run.json").read_text()) == {"preset": "first"}
    rollback(known_run.root, second)  # of a run that kept none
    assert json.loads((known_run.root / "run.json").read_text()) == {"preset": "first"}


def test_what_was_rolled_back_can_come_back(known_run):
    first, second, third = known_run.versions
    rollback(known_run.root, first)
    rollback(known_run.root, second)
    assert versions(known_run.models) == [first, second]
    assert states(known_run) == ["live", "live", "rolled_back"]
    rollback(known_run.root, third)
    assert versions(known_run.models) == [first, second, third]
    assert os.listdir(known_run.models / "rolled_back") == []
    assert int(next_version(known_run.models)) > int(third)


def test_the_number_of_a_version_that_was_rolled_back_is_not_given_again(known_run):
    rollback(known_run.root, known_run.versions[0])
    model = pathlib.Path(read_ledger(known_run.root).versions[1].model)
    pushed = push(model / "Format-Serving", known_run.models)
    assert pushed.is_new and int(pushed.version) > int(known_run.versions[-1])


def test_training_goes_back_once_when_the_next_run_begins(known_run):
    rollback(known_run.root, known_run.versions[0])
    rollback(known_run.root, known_run.versions[1])
    asked = []
    for _ in range(2):
        settle_rollbacks(known_run.root, lambda *place: asked.append(place))
    # Of two returns in a row only the last one says where training goes on.
    assert asked == [(str(known_run.root / "checkpoints/key-base"), "day-20220409")]
    assert all(entry.is_trained for entry in read_rollbacks(known_run.root))


def test_without_the_days_end_the_next_run_trains_from_the_first_day(known_run):
    checkpoints = known_run.root / "checkpoints" / "key-base"
    (checkpoints / "days" / "day-20220408" / "ckpt-1.index").unlink()
    assert rollback(known_run.root, known_run.versions[0]).day == ""
    assert status(known_run.root).next_run.startswith("trains from the start")
    settle_rollbacks(known_run.root, lambda *place: pytest.fail(f"asked for {place}"))
    assert not checkpoints.exists()
    aside = checkpoints.with_name(f"key-base.before-{known_run.versions[0]}")
    assert (aside / "ckpt-9.index").exists()


@pytest.mark.parametrize("calls", range(5))
def test_a_killed_rollback_is_finished_by_the_next_command(known_run, calls):
    """Killed at each of its renames: notes, moves of versions and the ledger."""
    first, left = known_run.versions[0], [calls]

    def counted(function):
        def call(*paths):
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*paths)

        return call

    def run():
        os.rename, os.replace = counted(os.rename), counted(os.replace)
        rollback(known_run.root, first)

    assert in_a_process(run) == -signal.SIGKILL
    if calls == 0:  # nothing was noted, so nothing is done
        assert states(known_run) == ["live"] * 3
        assert versions(known_run.models) == list(known_run.versions)
        return
    assert not read_rollbacks(known_run.root)[-1].is_served
    assert "give it again" in status(known_run.root).unsettled
    settle_rollbacks(known_run.root, lambda *_: None)
    assert versions(known_run.models) == [first]
    assert states(known_run) == ["live", "rolled_back", "rolled_back"]
    assert len(read_rollbacks(known_run.root)) == 1


def test_no_version_between_is_ever_the_highest(known_run, monkeypatch):
    seen, rename = [], os.rename

    def noted(*paths):
        rename(*paths)
        seen.append(versions(known_run.models)[-1])

    monkeypatch.setattr(os, "rename", noted)
    rollback(known_run.root, known_run.versions[0])
    assert seen == [known_run.versions[2], known_run.versions[0]]


def test_what_cannot_be_served_is_refused(known_run):
    first, _, third = known_run.versions
    before = tree(known_run.root)
    with pytest.raises(OperationError, match=f"{third}: is served already"):
        rollback(known_run.root, third)
    with pytest.raises(OperationError, match="must be one that was pushed"):
        rollback(known_run.root, "5")
    (known_run.models / first / "saved_model.pb").unlink()
    with pytest.raises(OperationError, match=f"files are gone.*There are: .*{third}"):
        rollback(known_run.root, first)
    assert set(tree(known_run.root)) < set(before)


def test_a_run_that_writes_there_is_not_disturbed(known_run):
    code = "import sys, time; from feature_specs.locks import owned\n"
    code += "with owned(sys.argv[1]): print(1, flush=True); time.sleep(60)"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(known_run.root)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        other.stdout.readline()
        with pytest.raises(LockedError, match="is writing here"):
            rollback(known_run.root, known_run.versions[0])
    finally:
        other.kill()
        other.wait()
    assert states(known_run) == ["live"] * 3
    with owned(known_run.root):  # the same thread is no other command
        rollback(known_run.root, known_run.versions[0])
