"""Whole files, on this machine or in a bucket; TensorFlow only for the latter."""

from __future__ import annotations

import pathlib

from feature_specs.places import is_bucket
from pipeline.reporting import files


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file in one step, with the directories above it."""
    if not is_bucket(path):
        files.write_bytes(path, content)
        return
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(content)


def read_bytes(path: str) -> bytes:
    """The whole file; FileNotFoundError without one."""
    if not is_bucket(path):
        return pathlib.Path(path).read_bytes()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content: bytes = file.read()
    except tf.errors.NotFoundError:
        raise FileNotFoundError(path) from None
    return content
