"""Damaged files of examples are named: TensorFlow tells the place, but not the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from feature_specs.errors import TrailrankError


class DamagedFileError(TrailrankError, ValueError):
    """A file of examples cannot be read to its end."""


@contextlib.contextmanager
def named(files: Sequence[str]) -> Iterator[None]:
    """An error of reading gzipped TFRecords inside names the file that is damaged.

    Raises:
        DamagedFileError: One of `files` is cut off, overwritten or gone.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = next(filter(None, map(_damage, files)), None)
        if found is None:
            raise
        raise DamagedFileError(found) from error


def _damage(file: str) -> str:
    """What is wrong with a file; empty if all of its records can be read."""
    read = 0
    try:
        for _ in tf.data.TFRecordDataset(file, "GZIP"):
            read += 1
    except tf.errors.NotFoundError:
        return f"{file}: is gone. Make the examples again."
    except tf.errors.OpError:
        return (
            f"{file}: is damaged after {read:,} records. Copy it again, or make the "
            "examples of its day again."
        )
    return ""
