"""Where days and checkpoints lie; told without TensorFlow on a disk of this machine."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Sequence

from feature_specs.places import (
    Place,
    PlaceError,
    as_glob,
    check_directory,
    check_is_no_glob,
    is_bucket,
)

_SPLIT_PREFIX = "Split-"
_CHECKPOINT = re.compile(r"ckpt-\d+\.index")


def find_days(
    directory: Place, wanted: Sequence[str] | None = None
) -> list[tuple[str, list[str]]]:
    """Name and glob of each day under `directory`, oldest first.

    Args:
        directory: A path or a bucket; holds a folder `Split-day-YYYYMMDD` for each day.
        wanted: Days to take, as `day-20220408` or `20220408`; by default all.

    Raises:
        PlaceError: There is no day, or not every wanted one.
    """
    directory = os.fspath(directory)
    names = sorted(
        name.rstrip("/").removeprefix(_SPLIT_PREFIX)
        for name in _listed(directory)
        if name.startswith(f"{_SPLIT_PREFIX}day-")
    )
    if not names:
        raise PlaceError(
            f"--transformed {directory}: must hold folders Split-day-YYYYMMDD. "
            f"Got none. Name the output of the Transform step."
        )
    chosen = [_day_name(day) for day in wanted] if wanted else names
    missing = sorted(set(chosen) - set(names))
    if missing:
        raise PlaceError(
            f"--days: must be days of {directory}. Got {missing[0]}. It has "
            f"{names[0]} to {names[-1]}."
        )
    return [
        (name, [os.path.join(as_glob(directory), _SPLIT_PREFIX + name, "*.gz")])
        for name in sorted(set(chosen))
    ]


def check_checkpoints(flag: str, directory: Place) -> None:
    """That a directory of this machine holds a checkpoint; a bucket passes.

    Raises:
        PlaceError: It holds none.
    """
    remedy = "Name the directory that was given to `train`."
    check_directory(flag, directory, remedy)
    check_is_no_glob(flag, directory)
    if is_bucket(directory):
        return
    names = os.listdir(directory)
    if any(_CHECKPOINT.fullmatch(name) for name in names):
        return
    below = sorted(path.parent.name for path in pathlib.Path(directory).glob("*/ckpt*"))
    if below:
        remedy = f"Name one inside it, like {os.path.join(directory, below[0])}."
    raise PlaceError(
        f"{flag} {directory}: must hold one checkpoint at least. Got none. {remedy}"
    )


def _listed(directory: str) -> list[str]:
    """Names in a directory; none where it is not there."""
    if not is_bucket(directory):
        return os.listdir(directory) if os.path.isdir(directory) else []
    import tensorflow as tf

    found = tf.io.gfile.isdir(directory)
    return list(tf.io.gfile.listdir(directory)) if found else []


def _day_name(day: str) -> str:
    return day if day.startswith("day-") else f"day-{day}"
