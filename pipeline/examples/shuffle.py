"""Polars frames on their way from one Beam step to the next.

A runner of its own machines spills what it shuffles to disk. The runner inside this
process keeps every element in memory, so there the frames go to files, and Beam carries
only where they lie: memory stays flat whatever the size of the logs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import uuid
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.arrays import Ints

# The bytes of a frame, or (file, first byte, size) of them.
Parcel = bytes | tuple[str, int, int]

_PLAIN = CompressionTypes.UNCOMPRESSED


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """Sends and receives frames.

    Attributes:
        folder: Directory that every worker sees, for the frames' files; None leaves
            the bytes to Beam.
    """

    folder: str | None = None

    @contextlib.contextmanager
    def sender(self) -> Iterator[Callable[[pl.DataFrame], Parcel]]:
        """A function that sends one frame; all frames of a sender share a file."""
        if self.folder is None:
            yield _pack
            return
        outbox = _Outbox(self.folder)
        try:
            yield outbox.put
        finally:
            outbox.close()

    def receive(self, parcels: Iterable[Parcel]) -> pl.DataFrame | None:
        """The rows of all parcels in one frame; None if there are none."""
        parts = [pl.read_ipc(io.BytesIO(_bytes_of(parcel))) for parcel in parcels]
        return pl.concat(parts).rechunk() if parts else None


class _Outbox:
    """One file of packed frames; made with the first of them."""

    def __init__(self, folder: str):
        self._path = FileSystems.join(folder, uuid.uuid4().hex)
        self._file: io.BufferedIOBase | None = None
        self._end = 0

    def put(self, frame: pl.DataFrame) -> Parcel:
        if self._file is None:
            self._file = FileSystems.create(self._path, compression_type=_PLAIN)
        data, start = _pack(frame), self._end
        self._file.write(data)
        self._end += len(data)
        return self._path, start, len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def split_by(frame: pl.DataFrame, numbers: Ints) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number, the rows [R] that have it), for int64 `numbers` [B], in order."""
    if not len(numbers):
        return
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    starts = np.concatenate([[0], edges])
    rows = frame[order] if len(starts) > 1 else frame
    for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True):
        yield int(ordered[start]), rows[int(start) : int(end)]


def _pack(frame: pl.DataFrame) -> bytes:
    """Arrow IPC, compressed."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def _bytes_of(parcel: Parcel) -> bytes:
    if isinstance(parcel, bytes):
        return parcel
    path, start, size = parcel
    with FileSystems.open(path, compression_type=_PLAIN) as file:
        file.seek(start)
        data: bytes = file.read(size)
        return data
