"""Frames of encoded rows -> gzip TFRecord files, the same bytes for the same rows."""

from __future__ import annotations

import contextlib
import struct
import uuid
import zlib
from collections.abc import Iterator
from concurrent import futures

import polars as pl
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.examples.reading.record_frames import masked_crc
from pipeline.examples.shard import EVALUATION_ONLY, ORDER, SPLIT
from pipeline.examples.wire import serialize

_CHUNK_ROWS = 4096
# Level 1 writes 200 MB/s, level 6 a quarter of it for files smaller by a quarter.
_GZIP_LEVEL = 1
_GZIP_HEADER_BITS = 16 + zlib.MAX_WBITS  # zlib writes mtime 0 and no name
_CRC = struct.Struct("<I")


# What is trained on, as TFX names it; and rows that a training-only filter would drop.
TRAINED, UNTRAINED = "data_tfrecord", "evaluation_only"


def split_path(
    examples_dir: str, split: str, number: int, files: int, kind: str = TRAINED
) -> str:
    """Where one file of a split lies."""
    name = f"{kind}-{number:05d}-of-{files:05d}.gz"
    path: str = FileSystems.join(examples_dir, f"Split-{split}", name)
    return path


def write_examples(
    path: str, rows: pl.DataFrame, unfinished_dir: str | None = None
) -> None:
    """Writes rows in the order of `ORDER`; the file appears when it is whole.

    Args:
        path: On any Beam file system; its directory may be missing.
        rows: `shard.Shard.examples` of one file.
        unfinished_dir: Holds the file until it is whole; its own by default.
    """
    rows = rows.sort(ORDER)
    records = rows.drop(ORDER, SPLIT, EVALUATION_ONLY)
    write_whole(path, _gzip(_frame(records)), unfinished_dir)


def write_whole(
    path: str, chunks: Iterator[bytes], unfinished_dir: str | None = None
) -> None:
    """Writes a file under another name first, so that no reader sees a part of it."""
    folder, name = FileSystems.split(path)
    making = unfinished_dir or folder
    for needed in {folder, making}:
        with contextlib.suppress(OSError):  # it exists: others write there
            FileSystems.mkdirs(needed)
    unfinished = FileSystems.join(making, f"{name}.{uuid.uuid4().hex}.tmp")
    kind = CompressionTypes.UNCOMPRESSED
    with FileSystems.create(unfinished, compression_type=kind) as file:
        for chunk in chunks:
            file.write(chunk)
    FileSystems.rename([unfinished], [path])


def _frame(rows: pl.DataFrame) -> Iterator[bytes]:
    """TFRecord: length, its masked CRC, the bytes, their masked CRC."""
    heads: dict[int, bytes] = {}
    for start in range(0, rows.height, _CHUNK_ROWS):
        parts = []
        for record in serialize(rows[start : start + _CHUNK_ROWS]).to_pylist():
            size = len(record)
            if size not in heads:
                length = struct.pack("<Q", size)
                heads[size] = length + _CRC.pack(masked_crc(length))
            parts += [heads[size], record, _CRC.pack(masked_crc(record))]
        yield b"".join(parts)


def _gzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """One gzip member; a chunk is compressed while the next one is made."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_HEADER_BITS)
    with futures.ThreadPoolExecutor(max_workers=1) as pool:
        compressed = pool.submit(bytes)
        for chunk in chunks:
            yield compressed.result()
            compressed = pool.submit(compressor.compress, chunk)
        yield compressed.result()
    yield compressor.flush()
