"""Days of packed rows, kept on a local disk.

Unpacking and parsing a row costs about as much as training on it. A `DayCache` does
both once a day of examples: later passes, trainings, presets and seeds map its matrix
into memory and pick the rows of each batch. The memory that this takes is the system's
file cache, whatever the size of a day.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging

from trainer.days.layout import Layout, short_digest
from trainer.errors import TrainingError

_SUFFIX, _UNFINISHED = ".rows", ".unfinished"
_FOOTER = struct.Struct("<QI")  # bytes of the rows, and their CRC-32
_CHUNK_BYTES = 1 << 24


class DayCache:
    """Days of packed rows in a directory of a local disk.

    A day's file is named by what its columns hold and by the paths, sizes and times of
    the files that it was made of: if one of them changes, the day is packed anew, and
    the outdated file goes. It appears when it is whole. Several processes may share a
    directory; one packs, the others wait for it. It ends with its size and checksum: a
    damaged one is packed anew.

    A cache only saves time. Where a day does not fit on the disk, a warning says so and
    its files are read instead.

    Args:
        directory: Made if it is not there.
        layout: Of all days.

    Raises:
        ValueError: Nothing can be written there.
    """

    def __init__(self, directory: str, layout: Layout):
        self.layout = layout
        self._directory = pathlib.Path(directory)
        self._unkept: set[pathlib.Path] = set()
        self._whole: set[pathlib.Path] = set()
        _check_directory(directory)

    def open(
        self, files: Sequence[str], matrices: Callable[[], tf.data.Dataset]
    ) -> npt.NDArray[Any] | None:
        """A day's rows, int32 [rows, width], mapped; None if they cannot be kept.

        Args:
            files: Of the day.
            matrices: Gives its rows, packed, in parts and in order.
        """
        path = self._path(files)
        if path in self._unkept:
            return None
        try:
            self._remove_damaged(path)
            if not path.exists():
                self._pack(path, matrices)
            return self._map(path)
        except OSError as error:
            logging.warning(
                "Cache %s: cannot keep %s and the files beside it (%s). They are read "
                "and parsed in every pass instead. Free the disk, or name another one.",
                *(self._directory, files[0], error.strerror or error),
            )
            self._unkept.add(path)
            return None

    def _path(self, files: Sequence[str]) -> pathlib.Path:
        """`<columns>-<paths>-<states>.rows`."""
        paths = [f if "://" in f else os.path.abspath(f) for f in files]
        found = [tf.io.gfile.stat(file) for file in files]
        states = [[state.length, state.mtime_nsec] for state in found]
        parts = (self.layout.digest, short_digest(paths), short_digest(states))
        return self._directory / ("-".join(parts) + _SUFFIX)

    def _pack(
        self, path: pathlib.Path, matrices: Callable[[], tf.data.Dataset]
    ) -> None:
        with self._locked():
            if path.exists():  # another process was faster
                return
            self._remove_outdated(path)
            unfinished = path.with_suffix(_UNFINISHED)
            try:
                _write(unfinished, matrices())
                unfinished.rename(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        self._whole.add(path)
        size = path.stat().st_size
        logging.info(
            "Packed %s rows, %s MB: %s",
            *(f"{size // self._row_bytes:,}", f"{size / 1e6:,.0f}", path),
        )

    def _remove_damaged(self, path: pathlib.Path) -> None:
        """What a disk did to a packed day is packed again; looked at once."""
        if path in self._whole or not path.exists():
            return
        if _is_whole(path):
            self._whole.add(path)
            return
        logging.warning("Cache %s: is damaged, and is packed anew.", path)
        path.unlink(missing_ok=True)

    def _remove_outdated(self, path: pathlib.Path) -> None:
        """What a killed process left, and the same files' rows as they were."""
        same = path.name.rsplit("-", 1)[0]
        for pattern in (f"*{_UNFINISHED}", f"{same}-*{_SUFFIX}"):
            for old in self._directory.glob(pattern):
                old.unlink(missing_ok=True)

    def _map(self, path: pathlib.Path) -> npt.NDArray[Any]:
        rows = (path.stat().st_size - _FOOTER.size) // self._row_bytes
        if not rows:  # nothing cannot be mapped
            return np.zeros([0, self.layout.width], np.int32)
        shape = (rows, self.layout.width)
        return np.asarray(np.memmap(path, np.int32, "r", shape=shape))

    @property
    def _row_bytes(self) -> int:
        return 4 * self.layout.width

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """No other process packs meanwhile; a killed one is unlocked by the system."""
        with open(self._directory / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def rows_of(matrix: npt.NDArray[Any], numbers: tf.Tensor) -> tf.Tensor:
    """The rows of a mapped matrix with some numbers, int64 [n] -> int32 [n, width].

    NumPy picks them: given the matrix as a tensor, `tf.data` would take as much memory
    again, as its optimiser tries pipelines with zeros of the same shape.
    """
    found = tf.numpy_function(
        lambda chosen: matrix[chosen], [numbers], tf.int32, stateful=False
    )
    return tf.ensure_shape(found, [None, matrix.shape[1]])


def _write(path: pathlib.Path, matrices: tf.data.Dataset) -> None:
    crc = 0
    with path.open("wb") as file:
        for matrix in matrices.as_numpy_iterator():
            file.write(matrix)
            crc = zlib.crc32(matrix, crc)
        file.write(_FOOTER.pack(file.tell(), crc))
        file.flush()
        os.fsync(file.fileno())


def _is_whole(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        left, crc = path.stat().st_size - _FOOTER.size, 0
        size = left
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            crc, left = zlib.crc32(chunk, crc), left - len(chunk)
        return file.read() == _FOOTER.pack(max(size, 0), crc)


def _check_directory(directory: str) -> None:
    rule = f"cache {directory}: must be a directory of a local disk"
    if "://" in directory:
        raise TrainingError(
            f"{rule}, whose files can be mapped. Got a bucket. Name one."
        )
    try:
        os.makedirs(directory, exist_ok=True)
        writable = os.access(directory, os.W_OK | os.X_OK)
    except OSError as error:
        raise TrainingError(
            f"{rule}. It cannot be made ({error.strerror}). Name another one."
        ) from error
    if not writable:
        raise TrainingError(
            f"{rule} that can be written. Got one that cannot. Name one."
        )
