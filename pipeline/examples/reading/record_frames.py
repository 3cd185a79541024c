"""TFRecord files cut into records, every checksum judged.

A record is its length (8 bytes), the length's masked CRC-32C (4), the data, and the
data's masked CRC-32C (4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import google_crc32c

_HEAD = struct.Struct("<QI")
_CRC_BYTES = 4
_MASK_DELTA = 0xA282EAD8
_MAX_RECORD_BYTES = 1 << 28


class Records:
    """The records of a stream, in batches; to be read once.

    Attributes:
        broken: When all records are read: why there are no more, "" at the end.
    """

    def __init__(self, chunks: Iterable[bytes], batch_bytes: int):
        self.broken = ""
        self._chunks, self._batch_bytes = chunks, batch_bytes

    def __iter__(self) -> Iterator[list[tuple[bytes, bool]]]:
        """Batches of (data, whether its checksum is right)."""
        buffer = bytearray()
        needed = self._batch_bytes
        for chunk in self._chunks:
            buffer += chunk
            if len(buffer) < needed:
                continue
            batch, used, needed = self._cut(bytes(buffer))
            del buffer[:used]
            if batch:
                yield batch
            if self.broken:
                return
        batch, used, _ = self._cut(bytes(buffer))
        if batch:
            yield batch
        if used < len(buffer) and not self.broken:
            self.broken = "the last record is cut off"

    def _cut(self, data: bytes) -> tuple[list[tuple[bytes, bool]], int, int]:
        """(the whole records, the bytes they take, the bytes wanted for the next)."""
        batch: list[tuple[bytes, bool]] = []
        start = 0
        while len(data) - start >= _HEAD.size:
            size = _record_bytes(data, start)
            if size is None:
                self.broken = "a record's length is damaged"
                break
            begin, end = start + _HEAD.size, start + _HEAD.size + size
            if len(data) < end + _CRC_BYTES:
                wanted = end + _CRC_BYTES - start
                return batch, start, max(self._batch_bytes, wanted)
            record = data[begin:end]
            crc = int.from_bytes(data[end : end + _CRC_BYTES], "little")
            batch.append((record, crc == masked_crc(record)))
            start = end + _CRC_BYTES
        return batch, start, self._batch_bytes


def begins_with_record(head: bytes) -> bool:
    """Whether a file that begins with `head` is a TFRecord file."""
    return len(head) >= _HEAD.size and _record_bytes(head, 0) is not None


def masked_crc(data: bytes) -> int:
    """TFRecord's checksum of some bytes."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _record_bytes(data: bytes, start: int) -> int | None:
    """The length of the record that begins at `start`; None if it is damaged."""
    size: int
    size, crc = _HEAD.unpack_from(data, start)
    if crc != masked_crc(data[start : start + 8]) or size > _MAX_RECORD_BYTES:
        return None
    return size
