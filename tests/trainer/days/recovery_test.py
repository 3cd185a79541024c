"""What a stopped training leaves: killed, preempted, out of disk, with a broken file."""

import contextlib
import json
import pathlib
import random
import resource
import shutil
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from tpu_configs import SliceConfig
from trainer.days import checkpoints, loop
from trainer.days.state import load_state

SLICE = SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)
DAYS = ("day-20220408", "day-20220409", "day-20220410")
OFTEN = loop.LoopOptions(checkpoint_steps=4, validate_rows=128)
# Trains the days below argv[1] into argv[2]; the exit status says how that ended.
_TRAIN = """
import pathlib, sys
import tests.trainer.conftest as small
import tests.trainer.days.recovery_test as t
from trainer.days import loop
from trainer.days.interruption import InterruptedTraining

spec, config = small.read_spec(small.SPEC), small.read_preset(small.PRESET)
days = t.days_below(pathlib.Path(sys.argv[1]))
try:
    loop.train(spec, config, days, slice=t.SLICE, seed=3, checkpoint_dir=sys.argv[2],
               options=t.OFTEN)
except InterruptedTraining as stop:
    print(stop, file=sys.stderr)
    sys.exit(stop.exit_status)
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


@pytest.fixture(scope="module")
def first_day_only(spec, config, folder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("first")
    _train(spec, config, folder, directory, days=days_below(folder)[:1])
    return directory


@pytest.fixture
def first_trained(first_day_only, tmp_path):
    """A directory of one's own where the first day is trained."""
    return shutil.copytree(first_day_only, tmp_path / "run")


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


@pytest.fixture
def start(forks, folder, tmp_path):
    """Starts a process that trains into `tmp_path`."""
    return lambda: forks.start(_TRAIN, [folder, tmp_path])


def _newest(directory):
    return next(iter(checkpoints.find(str(directory))), None)


def _wait_for_a_new_checkpoint(directory, process):
    """Or for the process' end."""
    before = _newest(directory)
    while _newest(directory) == before and process.is_running:
        time.sleep(0.002)


@pytest.mark.slow
def test_killed_at_six_moments_it_ends_with_the_same_weights(start, whole, tmp_path):
    draw, ends = random.Random(7), []
    for kill in range(6):
        process = start()
        if kill in (0, 3):  # while it starts: reads, builds, traces, restores
            time.sleep(draw.uniform(0, 2))
        else:
            _wait_for_a_new_checkpoint(tmp_path, process)
            time.sleep(draw.uniform(0, 0.15))
        process.kill(signal.SIGKILL)
        ends.append(process.end())
    assert ends == [-signal.SIGKILL] * 6, process.err[-3000:]
    assert start().end() == 0
    _assert_same(tmp_path, whole)


@pytest.mark.slow
def test_a_signal_makes_a_checkpoint_and_a_status(start, whole, tmp_path):
    for number, status in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
        process = start()
        _wait_for_a_new_checkpoint(tmp_path, process)
        process.kill(number)
        assert process.end() == status, process.err[-3000:]
        position = load_state(_newest(tmp_path)).position
        assert f"Stopped by {number.name}" in process.err
        assert str(position) in process.err
    assert start().end() == 0
    _assert_same(tmp_path, whole)


def test_broken_checkpoints_are_passed_over(spec, config, folder, whole, tmp_path):
    """The newest has a wrong byte, the one before has lost its data."""
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    newest, second, _ = checkpoints.find(str(directory))
    data = pathlib.Path(f"{newest}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data.write_bytes(content)
    pathlib.Path(f"{second}.data-00000-of-00001").unlink()
    _train(spec, config, folder, directory)
    _assert_same(directory, whole)


def _cut(path):
    data = pathlib.Path(f"{path}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:1000])


def test_whoever_loads_passes_over_a_checkpoint_that_is_cut_off(
    spec, config, whole, tmp_path
):
    directory = tmp_path / "run"
    shutil.copytree(whole, directory)
    newest, *rest = checkpoints.find(str(directory))
    _cut(newest)
    steps = int(loop.load(spec, config, str(directory), SLICE).ranker.steps)
    assert 0 < steps < 3 * 63  # of three days
    for path in rest:
        _cut(path)
    with pytest.raises(loop.CheckpointError, match="Got 3 broken ones, the newest .*-"):
        loop.load(spec, config, str(directory), SLICE)


@pytest.mark.parametrize("content", ["", 'model_checkpoint_path: "ck', "\0\1"])
def test_a_damaged_list_of_checkpoints_is_written_anew(
    spec, config, folder, first_trained, content
):
    (first_trained / "checkpoint").write_text(content)
    _train(spec, config, folder, first_trained, days=days_below(folder)[:2])
    assert checkpoints.finished_days(str(first_trained)) == [DAYS[0], DAYS[1]]
    text = (first_trained / "checkpoint").read_text()
    assert text.startswith('model_checkpoint_path: "ckpt-')


@pytest.mark.parametrize("text", ['{"day": "d", "ro', "[]\n", '{"day": "x"}', "\0"])
def test_damaged_metrics_are_named_with_a_remedy(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    with pytest.raises(loop.CheckpointError, match="is damaged .* Delete it: ") as told:
        checkpoints.read_metrics(str(tmp_path))
    assert str(told.value).startswith(f"{path}: ")


def test_broken_checkpoints_alone_are_refused(spec, config, folder, tmp_path):
    (tmp_path / "ckpt-4.index").write_bytes(b"half")
    with pytest.raises(loop.CheckpointError, match="Got 1 broken ones, .*ckpt-4"):
        _train(spec, config, folder, tmp_path)


def test_checkpoints_that_are_gone_are_not_begun_anew(spec, config, folder, tmp_path):
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-4"')
    with pytest.raises(loop.CheckpointError, match=r"Got no ckpt-\*.index. Restore"):
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
    spec, config, folder, whole, first_trained
):
    with (
        _files_of_at_most(100_000),
        pytest.raises(loop.CheckpointError, match="cannot be written .* Make room"),
    ):
        _train(spec, config, folder, first_trained)
    assert checkpoints.finished_days(str(first_trained)) == [DAYS[0]]
    _train(spec, config, folder, first_trained)
    _assert_same(first_trained, whole)


def test_finished_days_are_those_of_the_newest_checkpoint(folder, whole, tmp_path):
    assert checkpoints.finished_days(str(tmp_path)) == []
    assert checkpoints.finished_days(str(whole)) == list(DAYS)
