"""Trainings side by side: the figures of one after the other, and what becomes of those
that fail."""

import dataclasses
import json
import os
import pathlib
import signal
import time

import pytest

from pipeline.compare.errors import CompareError, TrialsFailedError
from pipeline.compare.run import CompareOptions
from pipeline.compare.trials import ResultsFile, plan_trials, run_trials
from pipeline.compare.workers import choose_workers
from tests.pipeline.compare.conftest import PRESETS, SLICE

_THREE = {
    "killed": "switcher: {kind: shared_bottom, units: [8]}",
    "wrong": "switcher: {kind: shared_bottom, units: [8]}\nseparate: [nope]",
    "mixed": PRESETS["mixed"],
}


def _children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def _is_foreman(pid):
    return (
        b"pipeline.compare.workers" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def _kill_the_first():
    """The oldest training of the foreman that this process has started."""
    (foreman,) = filter(_is_foreman, _children(os.getpid()))
    while not _children(foreman):
        time.sleep(0.01)
    os.kill(_children(foreman)[0], signal.SIGKILL)


@pytest.mark.slow
def test_failed_trainings_are_told_and_the_others_are_those_of_one_process(
    comparison_of, compared, tmp_path
):
    comparison = comparison_of(_THREE, seeds=(1,))
    trials = plan_trials(comparison)
    begun = []

    def kill(number, total, trial, left_s):
        begun.append((number, total, trial.entrant.name))
        if number == 1:
            _kill_the_first()

    with pytest.raises(TrialsFailedError) as error:
        run_trials(comparison, trials, tmp_path, report=kill, workers=2)
    assert begun == [(1, 3, "killed"), (2, 3, "wrong"), (3, 3, "mixed")]
    told = str(error.value)
    assert told.startswith("2 of 3 trainings failed:")
    assert "killed, seed 1: Its process was ended by SIGKILL." in told
    assert "wrong, seed 1:" in told and "nope" in told
    (found,) = ResultsFile(tmp_path).read().values()
    lines = (compared / "results.jsonl").read_text().splitlines()
    (of_one,) = [
        result
        for result in map(json.loads, lines)
        if (result["preset"], result["seed"]) == ("mixed", 1)
    ]
    assert (found.key, found.scores) == (of_one["key"], of_one["scores"])
    kept = {path.name for path in tmp_path.glob("checkpoints/*")}
    assert kept <= {trial.key for trial in trials[:2]}  # to go on from


def test_a_training_that_fails_here_is_told_at_the_end_too(comparison_of, tmp_path):
    comparison = comparison_of({n: _THREE[n] for n in ("wrong", "mixed")}, seeds=(0,))
    trials = plan_trials(comparison)
    with pytest.raises(TrialsFailedError, match="1 of 2 trainings failed:\nwrong"):
        run_trials(comparison, trials, tmp_path)
    assert ResultsFile(tmp_path).read().keys() == {trials[1].key}


def test_half_as_many_as_cores_and_one_on_an_accelerator():
    cores = os.sched_getaffinity(0)
    gpu = dataclasses.replace(SLICE, name="mine", accelerator="gpu")
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert choose_workers(None, SLICE) == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert choose_workers(None, SLICE) == max(1, len(cores) // 2)
    assert (choose_workers(3, SLICE), choose_workers(1, gpu)) == (3, 1)
    assert choose_workers(None, gpu) == 1
    with pytest.raises(CompareError, match="--workers 2: must be 1 on slice 'mine'"):
        choose_workers(2, gpu)
    with pytest.raises(CompareError, match="--workers: must be at least 1, got 0"):
        CompareOptions(workers=0)
