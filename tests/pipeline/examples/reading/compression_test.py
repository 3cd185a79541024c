"""Compression by the first bytes; streams of several parts, cut or damaged."""

import gzip
import io
import struct

import pytest

from pipeline.examples.reading.compression import Chunks, compression_of
from tests.pipeline.examples.reading.written_rows import zstd

_TEXT = b"".join(b"%d,%d\n" % (n, n * n) for n in range(50_000))  # several zstd blocks
_SKIPPABLE = struct.pack("<II", 0x184D2A50, 5) + b"notes"


def _read(data):
    chunks = Chunks(io.BytesIO(data), compression_of(data[:16]))
    return b"".join(chunks), chunks.broken


@pytest.mark.parametrize(
    "data",
    [
        _TEXT,
        gzip.compress(_TEXT),
        gzip.compress(_TEXT[:1000]) + gzip.compress(_TEXT[1000:]) + bytes(3000),
        zstd(_TEXT),
        zstd(_TEXT[:1000]) + zstd(b"") + zstd(_TEXT[1000:]),
        _SKIPPABLE + zstd(_TEXT) + _SKIPPABLE,
        b"",
    ],
    ids=["plain", "gzip", "gzip parts", "zstd", "zstd parts", "skipped", "empty"],
)
def test_a_whole_stream_is_read_to_its_end(data):
    assert _read(data) == (_TEXT if data else b"", "")


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (zstd, "zstd")]
)
def test_of_a_cut_stream_all_before_is_given(compress, name):
    data = compress(_TEXT)
    found, broken = _read(data[: len(data) // 2])
    assert _TEXT.startswith(found) and len(found) > len(_TEXT) / 4
    assert broken == f"{name} data ends early"


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (zstd, "zstd")]
)
def test_other_bytes_after_a_stream_are_damage(compress, name):
    data = compress(_TEXT)
    found, broken = _read(data + b"other bytes" * 200)
    assert (found, broken) == (_TEXT, f"{name} data is damaged")


def test_a_chunk_stays_small_however_well_it_was_compressed():
    chunks = Chunks(io.BytesIO(gzip.compress(bytes(50_000_000))), "gzip")
    assert max(map(len, chunks)) < 2_000_000  # deflate shrinks at most 1032-fold
