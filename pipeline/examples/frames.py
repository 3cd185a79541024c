"""Polars frames as bytes between Beam stages."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl


def pack(frame: pl.DataFrame) -> bytes:
    """Arrow IPC, compressed: what a shuffle carries."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def unpack(blobs: Iterable[bytes]) -> pl.DataFrame | None:
    """The rows of all blobs in one frame; None if there are none."""
    parts = [pl.read_ipc(io.BytesIO(blob)) for blob in blobs]
    return pl.concat(parts).rechunk() if parts else None


def split_by(
    frame: pl.DataFrame, numbers: np.ndarray
) -> Iterator[tuple[int, pl.DataFrame]]:
    """(number, the rows [R] that have it), for int64 `numbers` [B], in order."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    starts = np.concatenate([[0], edges]) if len(ordered) else edges
    rows = frame[order] if len(starts) > 1 else frame
    for start, end in zip(starts, [*starts[1:], len(ordered)], strict=True):
        yield int(ordered[start]), rows[int(start) : int(end)]
