"""Commands that write where another one does are told so, before anything heavy."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

from tests.tiny_spec import TINY_SPEC

ROOT = pathlib.Path(__file__).resolve().parents[2]
_HOLD = """
import sys
from feature_specs.locks import owned
with owned(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
_COMMANDS = [
    "examples --spec tiny.yaml --logs logs --out place",
    "pipeline run --spec tiny.yaml --logs logs --root place",
    "train --spec tiny.yaml --preset mmoe --examples days --checkpoints place",
    "compare --spec tiny.yaml --examples days --presets mmoe --out place",
    "tune --spec tiny.yaml --examples days --preset mmoe --out place",
    "weights select --new_task a --spec rare.yaml --examples days --out place",
    "simulate --out place --users 3 --days 2",
    "evaluate --root place",
    "fusion search --root place --out place",
    "experiment --out place --control feed --treatment random",
    "serve --models models --shadow 1 --share 1 --shadow_log place",
]


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A working directory with logs and days; another process holds `place/`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY_SPEC)
    (tmp_path / "rare.yaml").write_text(_with_sparse_tasks(TINY_SPEC))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log_1.csv").write_text("user,item,time_ms,good\n1,2,3,1\n")
    (tmp_path / "days" / "Split-day-20240101").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    (tmp_path / "models" / "m" / "1" / "saved_model.pb").write_text("")
    _write_run(tmp_path / "place", tmp_path / "days")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path / "place"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def _with_sparse_tasks(spec):
    rare = 'kind: binary, label: "good = 1", sparse: true'
    tasks = "".join(f"{{name: {name}, {rare}}}, " for name in "abc")
    return spec.replace("tasks: [", f"tasks: [{tasks}")


def _write_run(root, days):
    from pipeline.run_record import RunRecord, write_record

    texts = [f.name for f in dataclasses.fields(RunRecord) if f.type == "str"]
    values = {name: str(days) for name in texts} | {"spec_text": TINY_SPEC}
    write_record(
        str(root),
        RunRecord(
            **values,
            eval_splits=("day-20240101",),
            rows={},
            pushed=True,
            metrics=[],
            slices={},
            versions={},
        ),
    )


def test_every_command_is_told_who_writes_there(held, capsys):
    """In one process, as its imports cost more than the commands."""
    from trailrank import cli

    before = sorted(os.listdir("place"))
    for command in _COMMANDS:
        assert cli.main(["trailrank", *command.split()]) == 1, command
        lines = capsys.readouterr().err.splitlines()
        # Whoever imports for a second says so first (`starting`): alone, or under load.
        told = [line for line in lines if not line.endswith(", some seconds ...")]
        assert len(told) == 1, lines
        assert f"(process {held.pid} on " in told[0], command
    assert sorted(os.listdir("place")) == before
    held.communicate()


def test_workers_of_one_training_do_not_lock_each_other_out(tmp_path, monkeypatch):
    """Another process has the lock: the chief is refused, its workers need none."""
    from feature_specs.locks import LockedError
    from trainer.ownership import sole_training

    cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", '
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as chief:
        assert chief.stdout.readline() == "held\n"
        monkeypatch.setenv("TF_CONFIG", cluster + '"index": 1}}')
        with sole_training(tmp_path):
            pass
        monkeypatch.setenv("TF_CONFIG", cluster + '"index": 0}}')
        with pytest.raises(LockedError), sole_training(tmp_path):
            pass
        chief.communicate()
