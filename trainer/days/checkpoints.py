"""Checkpoints: written whole or not at all, and read past a broken one."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf
from absl import logging

from feature_specs.errors import TrailrankError
from trainer import strategy as strategies
from trainer.days.state import TrainingState, load_state
from trainer.days.training import Training

METRICS_FILE = "metrics.jsonl"
_KEPT = 3
_NAME = "ckpt"

_Found = TypeVar("_Found")


class CheckpointError(TrailrankError, RuntimeError):
    """A checkpoint could not be written, or there are some and none can be read."""


class Checkpoints:
    """The checkpoints of one training, with its state, and the metrics file.

    Of several workers the first one writes; all read.

    Args:
        training: Whose weights, averages and optimizer slots are kept.
        state: Kept with them; as it is when `save` is called.
        directory: A path or a bucket.

    Attributes:
        directory: As given.
    """

    def __init__(self, training: Training, state: TrainingState, directory: str):
        self._state, self.directory = state, directory
        self._writes = strategies.is_chief()
        self._text = tf.Variable(state.to_json(), trainable=False, dtype=tf.string)
        self._checkpoint = tf.train.Checkpoint(
            ranker=training.ranker, average=training.average, state=self._text
        )

    @functools.cached_property
    def _manager(self) -> tf.train.CheckpointManager:
        make = functools.partial(
            tf.train.CheckpointManager,
            self._checkpoint,
            self.directory,
            max_to_keep=_KEPT,
            checkpoint_name=_NAME,
        )
        try:
            return make()
        except ValueError as error:  # its list of those that it wrote is damaged
            path = f"{self.directory}/checkpoint"
            logging.warning("%s is damaged, and is written anew: %s", path, error)
            tf.io.gfile.remove(path)
            return make()

    def restore(self, path: str) -> None:
        """Loads every weight, the optimizers' slots included.

        Raises:
            tf.errors.OpError: The checkpoint is broken.
        """
        self._checkpoint.restore(path).assert_existing_objects_matched()

    def go_on_after(self, path: str) -> None:
        """The next one gets a number of its own, though `path` was read otherwise."""
        self._checkpoint.save_counter.assign(_number(path))

    def save(self) -> None:
        """Writes a checkpoint, then the metrics of the finished days.

        Raises:
            CheckpointError: They cannot be written; the checkpoints before stay.
        """
        if not self._writes:
            return
        self._text.assign(self._state.to_json())
        try:
            # A new number: no file is written over.
            self._manager.save(next_number(self.directory))
            write_metrics(self.directory, self._state)
        except (tf.errors.OpError, OSError) as error:
            raise CheckpointError(_not_written(self.directory, error)) from error


def write_metrics(directory: str, state: TrainingState) -> None:
    """Writes the metrics of the finished days, at once."""
    path = f"{directory}/{METRICS_FILE}"
    with tf.io.gfile.GFile(f"{path}.tmp", "w") as file:
        file.write("".join(json.dumps(day) + "\n" for day in state.records))
    tf.io.gfile.rename(f"{path}.tmp", path, overwrite=True)


def find(directory: str) -> list[str]:
    """The checkpoints in a directory, newest first, broken ones included."""
    return [checkpoint_path(directory, number) for number in _numbers(directory)]


def checkpoint_path(directory: str, number: int) -> str:
    """Of the checkpoint with a number, as TensorFlow names it: without its endings."""
    return f"{directory}/{_NAME}-{number}"


def _numbers(directory: str) -> list[int]:
    """Of the checkpoints in a directory, the newest first."""
    pattern = re.compile(rf"{_NAME}-(\d+)\.index")
    names = tf.io.gfile.listdir(directory) if tf.io.gfile.isdir(directory) else []
    return sorted((int(m[1]) for m in map(pattern.fullmatch, names) if m), reverse=True)


def next_number(directory: str) -> int:
    """Of the checkpoint that will be written next: above all that are there."""
    return next(iter(_numbers(directory)), 0) + 1


def _number(path: str) -> int:
    return int(path.rsplit("-", 1)[-1])


def first_readable(directory: str, read: Callable[[str], _Found]) -> _Found | None:
    """What `read` gives for the newest checkpoint that it can read; None without any.

    A broken one, as a machine leaves that died while writing, is told and left.

    Raises:
        CheckpointError: There are some, and all are broken; or there were some.
    """
    found = find(directory)
    for path in found:
        try:
            return read(path)
        except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
            if not _is_broken(error):
                raise
            logging.warning("%s cannot be read and is left out: %s", path, error)
    if found:
        raise CheckpointError(
            f"Checkpoints {directory}: one at least must be readable. Got "
            f"{len(found)} broken ones, the newest {found[0]}. Restore the directory "
            f"from a copy, or train into an empty one."
        )
    if tf.io.gfile.exists(f"{directory}/checkpoint"):  # TensorFlow's list of them
        raise CheckpointError(
            f"Checkpoints {directory}: must hold those that its file `checkpoint` "
            f"lists. Got no {_NAME}-*.index. Restore the directory from a copy, or "
            f"train into an empty one."
        )
    return None


def newest_state(directory: str) -> tuple[str, TrainingState] | None:
    """The newest checkpoint whose state can be read, and that state."""
    return first_readable(directory, lambda path: (path, load_state(path)))


def finished_days(directory: str) -> list[str]:
    """Names of the days that are finished in the newest checkpoint; none without it."""
    found = newest_state(directory)
    return found[1].finished if found else []


def read_metrics(directory: str) -> list[dict[str, Any]]:
    """The records of the finished days, see `loop.train`."""
    path = f"{directory}/{METRICS_FILE}"
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path, "rb") as file:
        lines = file.read().splitlines()
    try:
        return [_record(json.loads(line)) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: is damaged ({error}). Delete it: the next `train` writes it anew "
            "from the newest checkpoint."
        ) from None


def _record(values: Any) -> dict[str, Any]:
    """A finished day's; KeyError or TypeError if it is none."""
    _ = values["day"], values["rows"] + 0, values["loss"], values["rows_per_s"]
    found: dict[str, Any] = values
    return found


def _is_broken(error: Exception) -> bool:
    """Whether TensorFlow says so, and not a check of ours."""
    if isinstance(error, tf.errors.OpError):
        return True
    # The reader of single variables raises plain errors with the status' text.
    words = (
        "checksum",
        "Read less bytes",
        "Unsuccessful TensorSliceReader",
        "corrupt",
        "truncated",
    )
    return any(word in str(error) for word in words)


def _not_written(directory: str, error: Exception) -> str:
    return (
        f"Checkpoints {directory}: the next one cannot be written "
        f"({str(error).splitlines()[0]}). Make room or mend the permissions, and give "
        f"the same command: training goes on from the checkpoint before."
    )
