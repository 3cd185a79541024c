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
_REPORT = "report.json"  # lies beside the days of raw examples
_ENCODING = "encoding.json"
_ENCODING_REMEDY = (
    "Name the directory that `make_encoding`, or the run's step EncodingGen, wrote."
)
_CHECKPOINT = re.compile(r"ckpt-\d+\.index")


Places = Place | Sequence[Place]


def find_days(
    directories: Places, wanted: Sequence[str] | None = None
) -> list[tuple[str, list[str]]]:
    """Name and glob of each day under some directories, oldest first.

    Takes and raises what `find_folders` does.
    """
    return [
        (name, [os.path.join(as_glob(directory), _SPLIT_PREFIX + name, "*.gz")])
        for name, directory in find_folders(directories, wanted)
    ]


def find_folders(
    directories: Places, wanted: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Name and directory of each day under some directories, oldest first.

    Args:
        directories: Paths or buckets, one or several; each holds a folder
            `Split-day-YYYYMMDD` for each of its days.
        wanted: Days to take, as `day-20220408` or `20220408`; by default all.

    Raises:
        PlaceError: There is no day, not every wanted one, or one of them twice.
    """
    found: dict[str, list[str]] = {}
    for directory in as_directories(directories):
        for name in _days_in(directory):
            found.setdefault(name, []).append(directory)
    known, where = sorted(found), ", ".join(as_directories(directories))
    chosen = sorted({_day_name(day) for day in wanted}) if wanted else known
    missing = [name for name in chosen if name not in found]
    if missing:
        raise PlaceError(
            f"--days: must be days of {where}. Got {missing[0]}. It has "
            f"{known[0]} to {known[-1]}."
        )
    for name in chosen:
        if len(found[name]) > 1:
            raise PlaceError(
                f"--examples: must have each day once. Got {name} in "
                f"{' and in '.join(found[name])}. Leave one of them out."
            )
    return [(name, found[name][0]) for name in chosen]


def as_directories(places: Places) -> list[str]:
    """One or several places as a list."""
    several = [places] if isinstance(places, str | os.PathLike) else places
    return [os.fspath(place) for place in several]


def _days_in(directory: str) -> list[str]:
    """Names of the days in a directory; PlaceError if it has none."""
    names = [
        name.rstrip("/").removeprefix(_SPLIT_PREFIX)
        for name in _listed(directory)
        if name.startswith(f"{_SPLIT_PREFIX}day-")
    ]
    if not names:
        raise PlaceError(
            f"--examples {directory}: must hold folders Split-day-YYYYMMDD. Got none. "
            f"Name the directory that `make_examples`, or the run's step "
            f"DayExampleGen, wrote."
        )
    return names


def check_encoding_dir(encoding: Place | None, examples: Places) -> None:
    """That raw examples have an encoding, and that it is one.

    Raises:
        PlaceError: It has no `encoding.json`; or there is none, and the examples are
            raw: their values would be taken for ids.
    """
    if encoding is not None:
        check_directory("--encoding", encoding, _ENCODING_REMEDY, _ENCODING)
        check_is_no_glob("--encoding", encoding)
        return
    for directory in as_directories(examples):
        if _REPORT in _listed(directory):
            raise PlaceError(
                f"--encoding: must be named for raw examples, as {directory} holds. "
                f"Got none. {_ENCODING_REMEDY}"
            )


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
