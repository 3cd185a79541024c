"""The files of a state's tables: Arrow IPC, one a shard."""

from __future__ import annotations

import contextlib
import io

import polars as pl
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.day_state.errors import StateError

_PLAIN = CompressionTypes.UNCOMPRESSED


def write_part(
    folder: str, table: str, number: int, parts: int, frame: pl.DataFrame
) -> str:
    """Writes the rows of one shard; returns the file's name relative to `folder`.

    Written again (a step that was repeated), it is the same file.
    """
    name = f"{table}/part-{number:05d}-of-{parts:05d}.arrow"
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    with contextlib.suppress(OSError):  # it exists: other shards write there
        FileSystems.mkdirs(FileSystems.join(folder, table))
    place = FileSystems.join(folder, *name.split("/"))
    with FileSystems.create(place, compression_type=_PLAIN) as file:
        file.write(buffer.getvalue())
    return name


def read_part(path: str, rows: int) -> pl.DataFrame:
    """The rows of one file.

    Args:
        path: The file.
        rows: How many it has, as the state's head says.

    Raises:
        StateError: The file is gone, damaged, or has other rows.
    """
    try:
        with FileSystems.open(path, compression_type=_PLAIN) as file:
            frame = pl.read_ipc(io.BytesIO(file.read()))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StateError(
            f"{path}: cannot be read ({error}). Bring the state's files back from a "
            "copy, or make the examples from the logs' earlier days."
        ) from None
    if frame.height != rows:
        raise StateError(
            f"{path}: has {frame.height} rows, and {rows} were written. Bring the "
            "state's files back from a copy."
        )
    return frame
