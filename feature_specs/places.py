"""Paths and buckets that a user names, looked at before anything heavy is imported.

A path of this machine is looked at by `os`, at once. Whether something lies in a bucket
only TensorFlow or Beam can tell: that is found out later, by who reads it.
"""

from __future__ import annotations

import os
import pathlib
import re

from feature_specs.errors import TrailrankError

Place = str | os.PathLike[str]


class PlaceError(TrailrankError, ValueError):
    """A path that does not hold what it must; the message says what to name instead."""


def is_bucket(place: Place) -> bool:
    """Whether it is a URL, like `gs://BUCKET/DIR`, and no path of this machine."""
    return "://" in os.fspath(place)


def absolute(place: Place) -> str:
    """The absolute path; a bucket stays as it is."""
    text = os.fspath(place)
    return text if is_bucket(text) else os.path.abspath(text)


def as_glob(place: Place) -> str:
    """A glob, as Beam and TensorFlow read them, of that very path and no other."""
    text = os.fspath(place).replace("\\", "\\\\")  # in brackets, as they differ outside
    return re.sub(r"\\\\|[*?[]", lambda found: f"[{found.group()}]", text)


def check_is_no_glob(flag: str, place: Place) -> None:
    """That TFX and TensorFlow, which read some paths as globs, find this one there.

    Raises:
        PlaceError: It has one.
    """
    found = sorted(set("*?[]\\\n") & set(absolute(place)))
    if found:
        raise PlaceError(
            f"{flag} {place}: must have none of * ? [ ] \\ and no line break in its "
            "whole path, which TensorFlow reads as a pattern. Got "
            f"{absolute(place)!r}. Name another directory."
        )


def check_directory(flag: str, place: Place, remedy: str, pattern: str = "") -> None:
    """That a directory of this machine is there, and holds something.

    Args:
        flag: Names the path in the message.
        place: A path; a bucket passes.
        remedy: What to do, a sentence.
        pattern: A glob that something in the directory must match, if any.

    Raises:
        PlaceError: It is not there, is no directory, or nothing matches.
    """
    if is_bucket(place):
        return
    path = pathlib.Path(place)
    if not path.exists():
        raise PlaceError(f"{flag} {path}: does not exist. {remedy}")
    if not path.is_dir():
        raise PlaceError(f"{flag} {path}: must be a directory, and is a file. {remedy}")
    if pattern and next(path.glob(pattern), None) is None:
        raise PlaceError(f"{flag} {path}: must hold {pattern}. Got none. {remedy}")


def check_writable_directory(flag: str, place: Place) -> None:
    """That a directory can be made there, where it is not there yet.

    Raises:
        PlaceError: A file is in the way.
    """
    if is_bucket(place):
        return
    path = pathlib.Path(place).absolute()
    found = next(part for part in (path, *path.parents) if part.exists())
    if not found.is_dir():
        raise PlaceError(
            f"{flag} {place}: must be a directory, and {found} is a file. Name another."
        )
