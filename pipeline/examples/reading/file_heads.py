"""The beginning of a file: its compression, and whether it is what the spec says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import IO

from feature_specs.build import closest
from pipeline.examples.errors import LogsError
from pipeline.examples.reading.compression import Chunks, Compression, compression_of
from pipeline.examples.reading.record_frames import begins_with_record
from pipeline.examples.reading.sources import Source, open_file

BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 1 << 20

_MAGIC_BYTES = 16
_MOST_NAMES = 500
_NAMES = {"parquet": "Parquet", "tfrecord": "TFRecord"}
_FOREIGN = {
    **{
        b"BZh%d1AY&SY" % level: "bzip2 data. Decompress it, or use gzip or zstd"
        for level in range(1, 10)
    },
    b"\xfd7zXZ\x00": "xz data. Decompress it, or use gzip or zstd",
    b"\x04\x22\x4d\x18": "lz4 data. Decompress it, or use gzip or zstd",
    b"PK\x03\x04": "a zip archive. Unpack it",
    b"\xff\xfe": "UTF-16 text. Convert it to UTF-8",
    b"\xfe\xff": "UTF-16 text. Convert it to UTF-8",
    b"Obj\x01": "an Avro file. Convert it",
}


@dataclasses.dataclass(frozen=True)
class Head:
    """The beginning of a file.

    Attributes:
        data: Its first bytes, decompressed.
        compression: Of the file.
        broken: Why `data` ends before the file does, "" if it does not.
    """

    data: bytes
    compression: Compression
    broken: str = ""


def read_head(path: str, source: Source) -> Head:
    """At least the first `HEAD_BYTES` of a file, or all of it.

    Raises:
        ValueError: It is a directory, empty, damaged from its first byte on, or in
            another format than the spec says.
    """
    try:
        with open_file(path) as file:
            head = _read(file, path)
    except IsADirectoryError:
        raise LogsError(
            f"{path} is a directory. Change {source.key}.files so that it matches the "
            "files in it."
        ) from None
    _check_format(head.data, path, source)
    return head


def check_columns(path: str, names: Sequence[str], source: Source) -> None:
    """Checks that a file's columns have each declared one, once.

    A column that may be empty (`?`) may be absent: it is missing in every row of a file
    that is older than the column. Under another spelling it is a mistake, and so is a
    file with none of the columns.

    Raises:
        ValueError: A column is missing, or named twice.
    """
    has_some = not set(names).isdisjoint(source.columns)
    for column, kind in source.columns.items():
        if names.count(column) == 1:
            continue
        hint = closest(column, list(names))
        if column in names:
            what, hint = "is named twice", ""
        elif not kind.endswith("?") or not has_some:
            what = "is missing"
        elif respelt := _respelt(column, names, source):
            what, hint = f"is missing, but there is {respelt!r}", ""
        else:
            continue
        shown = ", ".join(names)
        if len(shown) > _MOST_NAMES:
            shown = f"{shown[:_MOST_NAMES]}..."
        raise LogsError(
            f"{path}: column {column!r} {what}. The file has {shown}.{hint} Name the "
            f"file's columns in {source.key}.columns of the spec, or check its "
            "separator."
        )


def _respelt(column: str, names: Sequence[str], source: Source) -> str:
    """A column that only case, spaces or signs part from a declared one, if any."""
    others = [name for name in names if name not in source.columns]
    return next((name for name in others if _plain(name) == _plain(column)), "")


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def preview(data: bytes) -> str:
    """The beginning of some bytes, to be shown in a message."""
    return repr(data[:40].decode("utf-8", errors="backslashreplace"))


def _read(file: IO[bytes], path: str) -> Head:
    magic = file.read(_MAGIC_BYTES)
    compression = "" if begins_with_record(magic) else compression_of(magic)
    file.seek(0)
    chunks = Chunks(file, compression)
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) >= HEAD_BYTES:
            break
    if chunks.broken and not data:
        raise LogsError(f"{path}: {chunks.broken}, from its beginning. Copy it again.")
    if not data:
        raise LogsError(f"{path} is empty. Remove the file or restore it.")
    return Head(bytes(data), compression, chunks.broken)


def _check_format(data: bytes, path: str, source: Source) -> None:
    found = _format_of(data)
    if found and found != source.format:
        raise LogsError(
            f"{path} is a {_NAMES[found]} file, but {source.key}.format is "
            f"{source.format}. Set it to {found}, or change {source.key}.files."
        )
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise LogsError(f"{path} is {what}.")
    if source.format in _NAMES and not found:
        raise LogsError(
            f"{path} is no {_NAMES[source.format]} file, or its beginning is damaged: "
            f"it begins with {preview(data)}. Copy it again, or change "
            f"{source.key}.format ({source.format})."
        )


def _format_of(data: bytes) -> str:
    """The binary format of a file, "" for any other."""
    if data.startswith(b"PAR1"):
        return "parquet"
    return "tfrecord" if begins_with_record(data) else ""
