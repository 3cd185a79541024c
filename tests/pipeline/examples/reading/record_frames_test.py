"""TFRecord framing, whole and damaged, wherever chunks end."""

import struct

import pytest

from pipeline.examples.reading.record_frames import (
    Records,
    begins_with_record,
    masked_crc,
)
from tests.pipeline.examples.reading.written_rows import record


def test_the_checksum_is_tensorflows():
    # CRC-32C of "123456789" is e3069283 (RFC 3720); rotated by 15 bits it is 2507c60d,
    # and with a282ead8 added c78ab0e5.
    assert masked_crc(b"123456789") == 0xC78AB0E5


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_records_are_cut_wherever_chunks_end(size):
    data = [b"", b"a", b"bc" * 50]
    stream = b"".join(map(record, data))
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    records = Records(chunks, 30)
    found = [one for batch in records for one in batch]
    assert found == [(one, True) for one in data]
    assert records.broken == ""


def test_the_head_of_a_record_is_recognised():
    assert begins_with_record(record(b"data")[:12])
    assert not begins_with_record(record(b"data")[:11])
    assert not begins_with_record(b"user_id,video_id,time_ms")


def test_a_length_that_no_record_has_ends_the_stream():
    length = struct.pack("<Q", 1 << 40)
    head = length + struct.pack("<I", masked_crc(length))
    records = Records([record(b"a"), head, bytes(100)], 1)
    assert [one for batch in records for one in batch] == [(b"a", True)]
    assert records.broken == "a record's length is damaged"


def test_a_large_record_is_waited_for_not_cut_again_and_again():
    chunks = [record(b"x" * 10_000)[n : n + 100] for n in range(0, 10_016, 100)]
    batches = list(Records(chunks, 200))
    assert batches == [[(b"x" * 10_000, True)]]
