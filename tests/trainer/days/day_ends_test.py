"""Kept ends of days: what is kept, how a training goes back, what a kill leaves."""

import contextlib
import json
import os
import shutil

import pytest
import tensorflow as tf

from trainer.days import checkpoints, day_ends
from trainer.days.checkpoints import CheckpointError, find
from trainer.days.state import Position, TrainingState, load_state

DAYS = ("day-20220408", "day-20220409", "day-20220410")
FIRST, SECOND, THIRD = DAYS


def _record(day, loss):
    return {"day": day, "rows": 1, "loss": loss, "rows_per_s": 1.0}


def _write(directory, weight, days, position=None, loss=0.5):
    """A checkpoint as `Checkpoints` names it, of one weight and a state.

    `loss`: of all days after the first one."""
    losses = [0.5, *[loss] * len(days)]
    records = [_record(day, own) for day, own in zip(days, losses, strict=False)]
    state = TrainingState({"seed": 0}, records, position)
    parts = tf.train.Checkpoint(
        state=tf.Variable(state.to_json()), weight=tf.Variable(float(weight))
    )
    number = checkpoints.next_number(str(directory))
    manager = tf.train.CheckpointManager(
        parts, str(directory), max_to_keep=3, checkpoint_name="ckpt"
    )
    return manager.save(number)


def _weight(path):
    key = "weight/.ATTRIBUTES/VARIABLE_VALUE"
    return float(tf.train.load_checkpoint(path).get_tensor(key))


def _newest(directory):
    """Weight and finished days of what a training would go on from."""
    path = find(str(directory))[0]
    return _weight(path), load_state(path).finished


@pytest.fixture(scope="module")
def week(tmp_path_factory):
    """Three days, trained one a call and kept: their weights are 1, 2 and 3."""
    folder = tmp_path_factory.mktemp("week")
    for number, day in enumerate(DAYS, start=1):
        _write(folder, number, DAYS[:number])
        assert day_ends.keep_day_end(str(folder)) == day
    return folder


@pytest.fixture
def copied(week, tmp_path):
    return shutil.copytree(week, tmp_path / "copied")


def test_a_kept_day_has_the_files_of_its_checkpoint_and_no_others(week):
    assert day_ends.kept_days(str(week)) == sorted(DAYS)
    for number, day in enumerate(DAYS, start=1):
        place = week / "days" / day
        names = [f"ckpt-{number}.data-00000-of-00001", f"ckpt-{number}.index"]
        assert sorted(os.listdir(place)) == names
        assert all((place / name).samefile(week / name) for name in names)


def test_a_kept_day_outlives_the_checkpoints_that_training_keeps(tmp_path):
    _write(tmp_path, 1, DAYS[:1])
    day_ends.keep_day_end(str(tmp_path))
    for name in tmp_path.glob("ckpt-1.*"):
        name.unlink()
    day_ends.restore_day_end(str(tmp_path), FIRST)
    assert _newest(tmp_path) == (1, [FIRST])


def test_training_goes_on_from_the_day_asked_for(copied):
    path = day_ends.restore_day_end(str(copied), FIRST)
    assert find(str(copied)) == [path]  # no other may be taken if it is damaged
    assert _newest(copied) == (1, [FIRST])
    assert tf.train.latest_checkpoint(str(copied)) == path
    lines = (copied / checkpoints.METRICS_FILE).read_text().splitlines()
    assert [json.loads(line)["day"] for line in lines] == [FIRST]


def test_the_next_checkpoints_are_newer_than_the_restored_one(copied):
    day_ends.restore_day_end(str(copied), FIRST)
    _write(copied, 7, [FIRST, SECOND])
    assert _newest(copied) == (7, [FIRST, SECOND])
    assert day_ends.keep_day_end(str(copied)) == SECOND  # over the earlier one
    day_ends.restore_day_end(str(copied), FIRST)
    day_ends.restore_day_end(str(copied), SECOND)
    assert _newest(copied) == (7, [FIRST, SECOND])
    day_ends.restore_day_end(str(copied), THIRD)  # as it was, and all before it
    assert _newest(copied) == (3, list(DAYS))


def test_keeping_a_day_twice_changes_nothing(copied):
    before = {p: p.stat().st_ino for p in (copied / "days").rglob("*")}
    day_ends.keep_day_end(str(copied))
    assert {p: p.stat().st_ino for p in (copied / "days").rglob("*")} == before


def test_only_the_end_of_a_day_is_kept(tmp_path):
    with pytest.raises(CheckpointError, match="must hold one at least. Got none"):
        day_ends.keep_day_end(str(tmp_path))
    _write(tmp_path, 1, [FIRST], Position(SECOND, batch=40))
    with pytest.raises(CheckpointError, match="Got one at batch 40 of pass 1"):
        day_ends.keep_day_end(str(tmp_path))


def test_a_day_that_was_not_kept_is_told_with_those_that_were(copied):
    with pytest.raises(CheckpointError, match=f"'day-1'. Kept are: {FIRST}, "):
        day_ends.restore_day_end(str(copied), "day-1")
    assert _newest(copied) == (3, list(DAYS))


def test_a_damaged_day_end_leaves_the_training_as_it_is(copied):
    data = copied / "days" / FIRST / "ckpt-1.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[0] ^= 1
    data.unlink()  # and not through the hard link
    data.write_bytes(content)
    with pytest.raises(CheckpointError, match="ckpt-1: is damaged"):
        day_ends.restore_day_end(str(copied), FIRST)
    assert _newest(copied) == (3, list(DAYS))


def test_a_training_goes_back_to_before_a_day_that_it_knows(copied):
    assert day_ends.go_back(str(copied), "day-20220411") == THIRD  # it does not
    assert _newest(copied) == (3, list(DAYS))
    assert day_ends.go_back(str(copied), THIRD) == SECOND
    assert _newest(copied) == (2, [FIRST, SECOND])
    assert day_ends.go_back(str(copied / "nothing"), FIRST) == ""


def test_a_half_trained_day_is_known_too(copied):
    _write(copied, 9, list(DAYS), Position("day-20220411", batch=40))
    assert day_ends.go_back(str(copied), "day-20220411") == THIRD
    assert _newest(copied) == (3, list(DAYS))


def test_ends_of_days_that_were_trained_otherwise_are_passed_over(copied):
    """The second day is made again; the end of the third one knows its old rows."""
    assert day_ends.go_back(str(copied), SECOND) == FIRST
    _write(copied, 7, [FIRST, SECOND], loss=0.75)
    day_ends.keep_day_end(str(copied))
    _write(copied, 8, list(DAYS), loss=0.75)  # and is not kept
    _write(copied, 9, [*DAYS, "day-20220411"], loss=0.75)
    assert day_ends.go_back(str(copied), "day-20220411") == SECOND
    assert _newest(copied) == (7, [FIRST, SECOND])


def test_without_an_earlier_end_training_begins_anew(copied, caplog):
    with caplog.at_level("WARNING", logger="absl"):
        assert day_ends.go_back(str(copied), FIRST) == ""
    assert "all days are trained again" in caplog.text
    assert checkpoints.newest_state(str(copied)) is None
    assert len(find(str(copied / "undone"))) == 3


class _Stopped(BaseException):
    """As a kill ends a process: nobody catches it."""


@pytest.fixture
def stop_at(monkeypatch):
    """`stop_at(n)`: the n-th change of a file from now on does not happen any more."""

    def arm(number):
        left = [number]

        def counted(change):
            def run(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0:
                    raise _Stopped
                return change(*args, **kwargs)

            return run

        for owner, name in (
            (os, "link"),
            (tf.io.gfile, "rename"),
            (tf.io.gfile, "remove"),
            (tf.io.gfile, "rmtree"),
            (tf.io.gfile, "makedirs"),
        ):
            monkeypatch.setattr(owner, name, counted(getattr(owner, name)))

    yield arm
    monkeypatch.undo()


@pytest.mark.parametrize("number", range(1, 12))
def test_a_stop_while_going_back_leaves_the_one_or_the_other(
    copied, stop_at, monkeypatch, number
):
    stop_at(number)
    with contextlib.suppress(_Stopped):
        day_ends.restore_day_end(str(copied), FIRST)
    monkeypatch.undo()
    assert _newest(copied) in [(3, list(DAYS)), (1, [FIRST])]
    day_ends.restore_day_end(str(copied), FIRST)
    assert _newest(copied) == (1, [FIRST])
    assert len(find(str(copied))) == 1
    assert {day: _end(copied, day) for day in DAYS} == dict(
        zip(DAYS, (1, 2, 3), strict=True)
    )


@pytest.mark.parametrize("number", range(1, 8))
def test_a_stop_while_a_day_is_kept_again_leaves_one_none_or_the_other(
    copied, stop_at, monkeypatch, number
):
    day_ends.restore_day_end(str(copied), FIRST)
    _write(copied, 7, [FIRST, SECOND])
    stop_at(number)
    with contextlib.suppress(_Stopped):
        day_ends.keep_day_end(str(copied))
    monkeypatch.undo()
    if SECOND in day_ends.kept_days(str(copied)):
        assert _end(copied, SECOND) in (2, 7)
    day_ends.keep_day_end(str(copied))
    assert _end(copied, SECOND) == 7


def _end(directory, day):
    return _weight(find(day_ends.day_end_dir(str(directory), day))[0])


def test_a_training_may_begin_with_anothers_days(week, tmp_path):
    own = tmp_path / "own"
    day_ends.begin_from(str(own), str(week))
    assert _newest(own) == (3, list(DAYS))
    day_ends.begin_from(str(own), str(week / "days" / FIRST))  # it has begun already
    assert _newest(own) == (3, list(DAYS))
    inside = shutil.copytree(week, tmp_path / "inside")
    _write(inside, 9, list(DAYS), Position("day-20220411", batch=40))
    day_ends.begin_from(str(tmp_path / "fourth"), str(inside))  # at the last day's end
    assert _newest(tmp_path / "fourth") == (3, list(DAYS))
    other = tmp_path / "other"
    day_ends.begin_from(str(other), day_ends.day_end_dir(str(week), FIRST))
    assert _newest(other) == (1, [FIRST])
    with pytest.raises(CheckpointError, match="must hold one at least. Got none"):
        day_ends.begin_from(str(tmp_path / "third"), str(tmp_path / "nothing"))
