"""Files of examples that are whole: what a disk or a copy did to them is told by name.

TensorFlow reads some cut-off files without a word, and tells of others without their
name. So every file is gone through once before it is read: its compression, each
record's length and checksum. Where the directory has the `report.json` that its maker
wrote, a day must have as many rows as that says.
"""

from __future__ import annotations

import collections
import gzip
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import google_crc32c
import tensorflow as tf

from feature_specs.errors import TrailrankError

_HEAD_BYTES = 12  # the length of a record in 8 bytes, and their masked checksum
_CRC = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8
_CHUNK_BYTES = 1 << 20
_NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\b")
_REPORT = "report.json"
_EVALUATION = "evaluation_only-"  # begins the names of files that are never trained on
_REMEDY = "Bring it back from a copy, or make the examples again."

_WHOLE: dict[tuple[str, int, int], int] = {}  # (path, size, time) -> rows


class DamagedExamplesError(TrailrankError, ValueError):
    """A file of examples is damaged or missing; the message names it."""


def for_evaluation(path: str) -> bool:
    """Whether a file of examples has rows that are judged but never trained on."""
    return os.path.basename(path).startswith(_EVALUATION)


def check_whole(files: Sequence[str]) -> int:
    """That files can be read to their end, and none of their days' is missing.

    A file is gone through once in this process, unless it changes.

    Returns:
        Their rows.

    Raises:
        DamagedExamplesError: A file is damaged, or rows or files are missing.
    """
    rows = {file: _rows_once(file) for file in files}
    folders = collections.defaultdict(list)
    for file in rows:
        if not for_evaluation(file):  # which a split may have none of
            folders[os.path.dirname(file)].append(file)
    for folder, own in folders.items():
        listed = tf.io.gfile.listdir(folder or ".")
        names = [n for n in listed if n.endswith(".gz") and not for_evaluation(n)]
        if len(names) == len(own):  # else only a part of them is asked for
            _check_numbers(folder, names)
            _check_report(folder, sum(rows[file] for file in own))
    return sum(rows.values())


def _rows_once(path: str) -> int:
    found = tf.io.gfile.stat(path)
    state = (path, found.length, found.mtime_nsec)
    if state not in _WHOLE:
        _WHOLE[state] = _rows(path)
    return _WHOLE[state]


def _rows(path: str) -> int:
    """The records of a gzip TFRecord file."""
    rest, rows = b"", 0
    heads: dict[bytes, int] = {}
    try:
        for chunk in _unpacked(path):
            data = rest + chunk
            used, more = _whole_records(data, heads)
            rest, rows = data[used:], rows + more
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DamagedExamplesError(
            f"{path}: is damaged after {rows} examples ({error}). {_REMEDY}"
        ) from None
    if rest:
        raise DamagedExamplesError(
            f"{path}: is cut off inside the example after the first {rows}. {_REMEDY}"
        )
    return rows


def _unpacked(path: str) -> Iterator[bytes]:
    with tf.io.gfile.GFile(path, "rb") as packed:
        if not packed.size():
            raise ValueError("the file is empty")
        with gzip.GzipFile(fileobj=packed) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def _whole_records(data: bytes, heads: dict[bytes, int]) -> tuple[int, int]:
    """(bytes, number) of the whole records at the beginning; ValueError if damaged.

    `heads` keeps the lengths of heads that were found right, as most are alike.
    """
    start, count, last = 0, 0, len(data) - _HEAD_BYTES
    while start <= last:
        head = data[start : start + _HEAD_BYTES]
        size = heads.get(head)
        if size is None:
            if head[8:] != _masked_crc(head[:8]):
                raise ValueError("a record's length has a wrong checksum")
            size = heads[head] = int.from_bytes(head[:8], "little")
        end = start + _HEAD_BYTES + size
        if len(data) < end + _CRC.size:
            break
        if data[end : end + _CRC.size] != _masked_crc(data[end - size : end]):
            raise ValueError("a record has a wrong checksum")
        start, count = end + _CRC.size, count + 1
    return start, count


def _masked_crc(data: bytes) -> bytes:
    crc: int = google_crc32c.value(data)
    return _CRC.pack(((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _check_numbers(folder: str, names: Sequence[str]) -> None:
    """Files that are numbered as parts of a whole must be all there."""
    found = [match for match in map(_NUMBERED.search, names) if match]
    numbers = {int(match.group(1)) for match in found}
    missing = sorted({n for m in found for n in range(int(m.group(2)))} - numbers)
    if missing:
        raise DamagedExamplesError(
            f"{folder}: file {missing[0]:05d} of {found[0].group(2)} is missing. "
            f"{_REMEDY}"
        )


def _check_report(folder: str, rows: int) -> None:
    """As many rows as the report beside the day's folder says, if there is one."""
    parent, name = os.path.split(folder)
    expected = read_examples_report(os.path.join(parent, _REPORT))
    day = name.removeprefix("Split-")
    if rows != expected.get(day, rows):
        raise DamagedExamplesError(
            f"{folder}: must have the {expected[day]} examples that "
            f"{os.path.join(parent, _REPORT)} tells of. Got {rows}. {_REMEDY}"
        )


def read_examples_report(path: str) -> dict[str, int]:
    """Day -> its examples that may be trained on, of a report; nothing without one.

    Raises:
        DamagedExamplesError: It cannot be read.
    """
    if not tf.io.gfile.exists(path):
        return {}
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            values: Any = json.loads(file.read())
        kept = values.get("evaluation_only", {})
        return {
            str(day): int(rows) - int(kept.get(day, 0))
            for day, rows in values["examples"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedExamplesError(
            f"{path}: is no report of examples ({type(error).__name__}: {error}). "
            f"{_REMEDY}"
        ) from None
