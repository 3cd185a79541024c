"""What is on disk of a model: `<path>/<version>/saved_model.pb`, in a bucket too."""

from __future__ import annotations

import os

import tensorflow as tf

from serving.store.store_options import LARGEST_VERSION

_MOST_DIGITS = 255  # of a file name; Python reads no number of thousands of digits

Files = tuple[tuple[str, int, int], ...]


def find_versions(path: str) -> dict[int, str] | None:
    """Version number -> directory; None if `path` is no directory.

    Of two names of one number, as `7` and `007`, the one that sorts last counts.
    """
    names = directories(path)
    if names is None:
        return None
    return {
        int(name): os.path.join(path, name)
        for name in sorted(names)
        if _is_version(name)
    }


def _is_version(name: str) -> bool:
    if not name.isascii() or not name.isdecimal() or len(name) > _MOST_DIGITS:
        return False
    return int(name) <= LARGEST_VERSION


def is_complete(path: str) -> bool:
    """Whether a version is all there.

    The Pusher copies saved_model.pb last: without the file a version is not there yet,
    which is neither an error nor a version.
    """
    return bool(tf.io.gfile.exists(os.path.join(path, "saved_model.pb")))


def files_of(path: str) -> Files:
    """Path, size and time of change of every file of a version, in order.

    A file that goes meanwhile is left out: the next look sees another state.
    """
    found = []
    for folder, _, names in tf.io.gfile.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            try:
                state = tf.io.gfile.stat(file)
            except tf.errors.OpError:
                continue
            found.append((file, state.length, state.mtime_nsec))
    return tuple(sorted(found))


def directories(path: str) -> list[str] | None:
    """The names of the directories in a directory; None if it is none."""
    if not tf.io.gfile.isdir(path):
        return None
    try:
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(path)]
    except tf.errors.NotFoundError:
        return None
    return [name for name in names if tf.io.gfile.isdir(os.path.join(path, name))]
