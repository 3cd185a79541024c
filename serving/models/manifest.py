"""Checksums of an exported model's files that TensorFlow reads without a look at them.

A vocabulary that is cut off loads, and gives other ids. So the export writes what its
files are, `assets.extra/trailrank_files.json`, and whoever loads the model compares.
TensorFlow Serving passes it by; variables have checksums of their own.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator

import tensorflow as tf

MANIFEST_FILE = os.path.join("assets.extra", "trailrank_files.json")
_CHUNK_BYTES = 1 << 24


def write_manifest(model_dir: str) -> None:
    """Notes size and CRC-32 of the graph and of every asset."""
    files = {name: _state(os.path.join(model_dir, name)) for name in _names(model_dir)}
    path = os.path.join(model_dir, MANIFEST_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(files, indent=2) + "\n")


def damaged_file(model_dir: str) -> str | None:
    """What is wrong with which file, None if nothing is or there is no manifest."""
    path = os.path.join(model_dir, MANIFEST_FILE)
    if not tf.io.gfile.exists(path):  # of another program, or of an older version
        return None
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            noted = {str(name): list(state) for name, state in json.load(file).items()}
    except (ValueError, TypeError, AttributeError):
        return f"{MANIFEST_FILE} is damaged"
    for name, state in noted.items():
        whole = os.path.join(model_dir, name)
        if not tf.io.gfile.exists(whole):
            return f"{name} is missing"
        if _state(whole) != state:
            return f"{name} is not as it was exported"
    return None


def _names(model_dir: str) -> Iterator[str]:
    yield "saved_model.pb"
    assets = os.path.join(model_dir, "assets")
    if tf.io.gfile.isdir(assets):
        for name in sorted(tf.io.gfile.listdir(assets)):
            yield os.path.join("assets", name)


def _state(path: str) -> list[int]:
    """[size, CRC-32] of a file."""
    size, crc = 0, 0
    with tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return [size, crc]
