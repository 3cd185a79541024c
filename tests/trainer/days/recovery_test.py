"""What a stopped training leaves: killed, preempted, out of disk, with a broken file."""

import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tpu_configs import SliceConfig
from trainer.days import checkpoints, loop
from trainer.days.interruption import PREEMPTED, STOPPED
from trainer.days.state import load_state

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
DAYS = ("day-20220408", "day-20220409", "day-20220410")
OFTEN = loop.LoopOptions(checkpoint_steps=4, validate_rows=128)
HERE = pathlib.Path(__file__).parent
# Has TensorFlow loaded, but not started; each line on stdin makes it fork a process that
# trains and can be killed.
_TRAINER = """
import os, pathlib, sys
import conftest, recovery_test as t
from trainer.days import loop
from trainer.days.interruption import InterruptedTraining

def train(directory):
    spec, config = conftest.read_spec(conftest.SPEC), conftest.read_preset(conftest.PRESET)
    days = t.days_below(pathlib.Path(sys.argv[1]))
    try:
        loop.train(spec, config, days, slice=t.SLICE, seed=3, checkpoint_dir=directory,
                   options=t.OFTEN)
    except InterruptedTraining as stop:
        print(stop, file=sys.stderr, flush=True)
        return stop.status
    except loop.CheckpointError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(train(line.strip()))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def days_below(folder):
    return [(day, [str(folder / f"Split-{day}" / "*.gz")]) for day in DAYS]


@pytest.fixture(scope="module")
def folder(make_rows, tmp_path_factory):
    """Three days of 4,000 rows: 63 steps each, the last of them 32 rows."""
    folder = tmp_path_factory.mktemp("transformed")
    for seed, day in enumerate(DAYS):
        make_rows(4000, seed=seed).write(folder / f"Split-{day}" / "data.gz")
    return folder


@pytest.fixture(scope="module")
def whole(spec, config, folder, tmp_path_factory):
    """An uninterrupted training: its directory, its last weights."""
    directory = tmp_path_factory.mktemp("whole")
    _train(spec, config, folder, directory)
    return directory


def _train(spec, config, folder, directory, days=None):
    return loop.train(
        spec,
        config,
        days or days_below(folder),
        checkpoint_dir=str(directory),
        slice=SLICE,
        seed=3,
        options=OFTEN,
    )


def _last(directory):
    """Every value of the newest checkpoint, by its key."""
    reader = tf.train.load_checkpoint(checkpoints.find(str(directory))[0])
    keys = sorted(reader.get_variable_to_shape_map())
    return {key: reader.get_tensor(key) for key in keys if _is_trained(key)}


def _is_trained(key):
    # The state holds seconds, and the rest counts files.
    return key.startswith(("ranker/", "average/"))


def _assert_same(directory, whole):
    found, expected = _last(directory), _last(whole)
    assert found.keys() == expected.keys()
    assert len(expected) > 50
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, key)
    for own, other in zip(_metrics(directory), _metrics(whole), strict=True):
        for key in ("day", "rows", "steps", "loss", "task_losses", "validation"):
            assert own[key] == other[key], key


def _metrics(directory):
    text = (pathlib.Path(directory) / loop.METRICS_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


class Trainer:
    """Starts trainings, each a process, and tells how they ended."""

    def __init__(self, folder, log):
        path = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TRAINER, str(folder)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.log = log

    def start(self, directory) -> int:
        """Its process number."""
        self._process.stdin.write(f"{directory}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Waits for the training's exit status, below 0 for a signal."""
        return int(self._process.stdout.readline())

    def close(self):
        self._process.communicate()
        self._log.close()


@pytest.fixture(scope="module")
def trainer_process(folder, tmp_path_factory):
    trainer = Trainer(folder, tmp_path_factory.mktemp("trainer") / "log")
    yield trainer
    trainer.close()


def _newest(directory):
    return next(iter(checkpoints.find(str(directory))), None)


def _wait_for_a_new_checkpoint(directory, pid):
    """Or for the process' end."""
    before = _newest(directory)
    while _newest(directory) == before and pathlib.Path(f"/proc/{pid}/fd").exists():
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_ten_moments_it_ends_with_the_same_weights(
    trainer_process, whole, tmp_path
):
    draw, ends = random.Random(7), []
    for kill in range(10):
        pid = trainer_process.start(tmp_path)
        if kill in (0, 5):  # while it starts: reads, builds, traces, restores
            time.sleep(draw.uniform(0, 2))
        else:
            _wait_for_a_new_checkpoint(tmp_path, pid)
            time.sleep(draw.uniform(0, 0.15))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ends.append(trainer_process.end())
    assert ends == [-signal.SIGKILL] * 10
    trainer_process.start(tmp_path)
    assert trainer_process.end() == 0
    _assert_same(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, PREEMPTED), (signal.SIGINT, STOPPED)]
)
def test_a_signal_makes_a_checkpoint_and_a_status(
    trainer_process, whole, tmp_path, number, status
):
    pid = trainer_process.start(tmp_path)
    _wait_for_a_new_checkpoint(tmp_path, pid)
    os.kill(pid, number)
    assert trainer_process.end() == status
    position = load_state(_newest(tmp_path)).position
    assert f"Stopped by {number.name}" in trainer_process.log.read_text()
    assert str(position) in trainer_process.log.read_text()
    trainer_process.start(tmp_path)
    assert trainer_process.end() == 0
    _assert_same(tmp_path, whole)


def test_a_broken_checkpoint_is_passed_over(spec, config, folder, whole, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    data = pathlib.Path(f"{_newest(directory)}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    _train(spec, config, folder, directory)
    _assert_same(directory, whole)


def test_a_checkpoint_without_its_data_is_passed_over(
    spec, config, folder, whole, tmp_path
):
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    pathlib.Path(f"{_newest(directory)}.data-00000-of-00001").unlink()
    _train(spec, config, folder, directory)
    _assert_same(directory, whole)


def test_broken_checkpoints_alone_are_refused(spec, config, folder, tmp_path):
    (tmp_path / "ckpt-4.index").write_bytes(b"half")
    with pytest.raises(loop.CheckpointError, match="Got 1 broken ones, .*ckpt-4"):
        _train(spec, config, folder, tmp_path)


@contextlib.contextmanager
def _files_of_at_most(size):
    """The kernel refuses to let files grow beyond `size` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_checkpoint_before(
    spec, config, folder, whole, tmp_path
):
    first, *_ = days_below(folder)
    _train(spec, config, folder, tmp_path, days=[first])
    with (
        _files_of_at_most(100_000),
        pytest.raises(loop.CheckpointError, match="cannot be written .* Make room"),
    ):
        _train(spec, config, folder, tmp_path)
    assert checkpoints.finished_days(str(tmp_path)) == [DAYS[0]]
    _train(spec, config, folder, tmp_path)
    _assert_same(tmp_path, whole)


def test_finished_days_are_those_of_the_newest_checkpoint(folder, whole, tmp_path):
    assert checkpoints.finished_days(str(tmp_path)) == []
    assert checkpoints.finished_days(str(whole)) == list(DAYS)
