"""The checkpoint of a day's end, kept so that a training can go back to it.

    CHECKPOINTS/days/day-20220414/ckpt-7.index, ckpt-7.data-...

`Checkpoints` keeps the newest few; a model that turns out bad days later must go
further back. On a disk the kept files are hard links and cost nothing while both are
there; in a bucket they are copies. The index of a checkpoint goes last and is taken
away first: who is stopped in between leaves the old one, none or the new one, and never
half of two.
"""

from __future__ import annotations

import os

import tensorflow as tf
from absl import logging

from feature_specs.places import is_bucket
from trainer.days.checkpoints import (
    CheckpointError,
    checkpoint_path,
    find,
    newest_state,
    next_number,
    write_metrics,
)
from trainer.days.state import load_state

_DAYS = "days"
_UNDONE = "undone"  # checkpoints that a return to an earlier day has put aside
_INDEX = ".index"


def day_end_dir(directory: str, day: str) -> str:
    """Where the checkpoint of a day's end is kept.

    Args:
        directory: Of the training's checkpoints.
        day: As the training names it, `day-20220414`.
    """
    return f"{directory}/{_DAYS}/{day}"


def kept_days(directory: str) -> list[str]:
    """The days whose ends are kept, in order."""
    place = f"{directory}/{_DAYS}"
    names = tf.io.gfile.listdir(place) if tf.io.gfile.isdir(place) else []
    return sorted(day for n in names if find(f"{place}/{(day := n.rstrip('/'))}"))


def keep_day_end(directory: str) -> str:
    """Keeps the newest checkpoint as the end of its last day; returns the day.

    A day that is kept already is replaced, if it was trained otherwise since.

    Args:
        directory: Of the training's checkpoints, which nobody writes meanwhile.

    Raises:
        CheckpointError: There is none, or it was written inside a day.
    """
    path = _newest(directory)
    state = load_state(path)
    if state.position or not state.finished:
        where = f"at {state.position}" if state.position else "before the first day"
        raise CheckpointError(
            f"Checkpoint {path}: must be of a day's end to be kept as one. Got one "
            f"{where}. Finish the day's training."
        )
    day = state.finished[-1]
    keep_as(directory, day_end_dir(directory, day))
    return day


def keep_as(directory: str, target: str) -> None:
    """Keeps the newest checkpoint in the directory `target`, instead of what is there.

    Raises:
        CheckpointError: There is none.
    """
    path = _newest(directory)
    if not _same(path, next(iter(find(target)), "")):
        _remove_all(target)
        tf.io.gfile.makedirs(target)
        _link(path, f"{target}/{os.path.basename(path)}")


def restore_day_end(directory: str, day: str) -> str:
    """Makes a kept day's end the newest checkpoint; training goes on from there.

    All others go to `undone/`, so that none of a later day is ever taken instead; kept
    ends of later days stay, for the way back. Stopped in between, the newest is the one
    before or the one asked for; the same call again does the rest.

    Args:
        directory: Of the training's checkpoints, which nobody writes meanwhile.
        day: As `keep_day_end` returned it.

    Returns:
        The newest checkpoint, as TensorFlow names it.

    Raises:
        CheckpointError: The day's end is not kept, or is damaged.
    """
    kept = next(iter(find(day_end_dir(directory, day))), None)
    if kept is None:
        days = ", ".join(kept_days(directory)) or "none"
        raise CheckpointError(
            f"Checkpoints {directory}: must have kept the end of {day!r}. Kept are: "
            f"{days}. Name one of them, or train into an empty directory."
        )
    _check_readable(kept)
    newest = next(iter(find(directory)), None)
    if newest is None or not _same(newest, kept):
        newest = checkpoint_path(directory, next_number(directory))
        _link(kept, newest)
    for other in find(directory):
        if other != newest:
            _put_aside(directory, other)
    tf.compat.v1.train.update_checkpoint_state(directory, newest, [newest])
    write_metrics(directory, load_state(newest))
    logging.info("Checkpoints %s: are at the end of %s again.", directory, day)
    return newest


def go_back(directory: str, day: str) -> str:
    """Takes a training to before a day, which will be trained anew.

    To the last kept end of an earlier day, of this very training: an end that was kept
    before an earlier return knows days that were trained otherwise. Without one, all
    checkpoints go to `undone/` and training begins anew. Nothing happens where the day
    is in no weight.

    Args:
        directory: Of the training's checkpoints, which nobody writes meanwhile.
        day: As the training names it.

    Returns:
        The last day in the weights; empty if there is none.

    Raises:
        CheckpointError: The checkpoints, or the day's end to go back to, are damaged.
    """
    found = newest_state(directory)
    if found is None:
        return ""
    state = found[1]
    begun = state.position.day if state.position else None
    if day not in state.finished and day != begun:
        return state.finished[-1] if state.finished else ""
    for kept in reversed([own for own in kept_days(directory) if own < day]):
        days = load_state(find(day_end_dir(directory, kept))[0]).days
        if days == state.days[: len(days)]:  # with seconds and losses: no others
            restore_day_end(directory, kept)
            return kept
    logging.warning(
        "Checkpoints %s: no end of a day before %s is kept, so that all days are "
        "trained again.",
        *(directory, day),
    )
    for path in reversed(find(directory)):  # the newest one last: it knows the day
        _put_aside(directory, path)
    if tf.io.gfile.exists(f"{directory}/checkpoint"):
        tf.io.gfile.remove(f"{directory}/checkpoint")  # TensorFlow's list of them
    return ""


def begin_from(directory: str, source: str) -> None:
    """Lets a training without checkpoints begin at the last day's end of another one.

    Its days count as finished. Nothing happens where checkpoints are already.

    Args:
        directory: Of the training's checkpoints; made if it is not there.
        source: Another directory of checkpoints, or of a kept day's end.

    Raises:
        CheckpointError: There is none in `source`, or it is damaged.
    """
    if find(directory):
        return
    ends = [path for path in find(source) if not load_state(path).position]
    path = ends[0] if ends else _newest(source)
    _check_readable(path)
    tf.io.gfile.makedirs(directory)
    _link(path, checkpoint_path(directory, 1))
    write_metrics(directory, load_state(path))


def _newest(directory: str) -> str:
    found = find(directory)
    if not found:
        raise CheckpointError(
            f"Checkpoints {directory}: must hold one at least. Got none. Name the "
            f"directory of a training that has finished a day."
        )
    return found[0]


def _check_readable(path: str) -> None:
    """Goes through all of a checkpoint, whose parts have checksums."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"Checkpoint {path}: is damaged ({str(error).splitlines()[0]}). Bring it "
            f"back from a copy, or name another one."
        ) from error


def _same(one: str, other: str) -> bool:
    """Whether two checkpoints hold the same: an index has all parts' checksums."""
    if not other:
        return False
    return _read(one + _INDEX) == _read(other + _INDEX)


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
        return content


def _link(source: str, target: str) -> None:
    """Gives a checkpoint a second name; what a stopped call left there is replaced."""
    for ending in _endings(source):
        place = target + ending
        if tf.io.gfile.exists(place):
            tf.io.gfile.remove(place)
        if is_bucket(place) or is_bucket(source):
            tf.io.gfile.copy(source + ending, place)
            continue
        try:
            os.link(source + ending, place)
        except OSError:  # another disk, or one without hard links
            tf.io.gfile.copy(source + ending, f"{place}.tmp", overwrite=True)
            os.replace(f"{place}.tmp", place)


def _put_aside(directory: str, path: str) -> None:
    """Moves a checkpoint to `undone/`, over what is there; the index goes first."""
    target = f"{directory}/{_UNDONE}/{os.path.basename(path)}"
    tf.io.gfile.makedirs(f"{directory}/{_UNDONE}")
    for ending in reversed(_endings(path)):
        tf.io.gfile.rename(path + ending, target + ending, overwrite=True)


def _remove_all(directory: str) -> None:
    for path in find(directory):
        tf.io.gfile.remove(path + _INDEX)
    if tf.io.gfile.isdir(directory):
        tf.io.gfile.rmtree(directory)


def _endings(path: str) -> list[str]:
    """Of a checkpoint's files; the index, which makes it one, is the last."""
    endings = (name[len(path) :] for name in tf.io.gfile.glob(f"{path}.*"))
    own = [ending for ending in endings if not ending.endswith(".tmp")]
    return sorted(own, key=lambda ending: (ending == _INDEX, ending))
