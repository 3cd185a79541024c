"""Streams cut into whole lines, plain files cut into ranges."""

import gzip

import pytest

from pipeline.examples.reading import text_ranges
from pipeline.examples.reading.text_ranges import whole_lines
from tests.pipeline.examples.reading.written_rows import (
    HEADER,
    csv_file,
    json_file,
    make_rows,
    read_all,
    source_of,
)


def _chunks(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("block_bytes", [1, 5, 20, 1000])
def test_blocks_hold_whole_lines(size, block_bytes):
    data = b"one\n\ntwo, three\nfour"
    blocks = list(whole_lines(_chunks(data, size), block_bytes))
    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])


def test_a_block_is_no_larger_than_asked_and_a_chunk():
    data = b"a line\n" * 1000
    blocks = list(whole_lines(_chunks(data, 64), 700))
    assert max(map(len, blocks)) <= 700 + 64
    assert len(blocks) <= 10


def test_of_an_endless_line_a_bounded_part_is_kept(monkeypatch):
    monkeypatch.setattr(text_ranges, "MAX_LINE_BYTES", 50)
    data = b"one\n" + b"x" * 5000 + b"\ntwo\n"
    found = b"".join(whole_lines(_chunks(data, 16), 20)).split(b"\n")
    assert [found[0], set(found[1]), found[2]] == [b"one", {ord("x")}, b"two"]
    assert 50 < len(found[1]) <= 50 + 1 + 16


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("range_bytes", [9, 50, 333])
def test_every_line_is_in_one_range(tmp_path, form, range_bytes):
    rows = make_rows(2, 40)
    path = tmp_path / "log"
    path.write_bytes(csv_file(rows) if form == "csv" else json_file(rows))
    assert read_all(path, form, range_bytes).rows == rows


def test_a_compressed_file_is_one_range(tmp_path):
    path = tmp_path / "log.csv"  # the name says nothing
    path.write_bytes(gzip.compress(csv_file(make_rows(2))))
    size = path.stat().st_size
    (part,) = text_ranges.plan(str(path), size, 0, source_of(path, "csv"), 10)
    assert (part.start, part.end, part.compression) == (0, size, "gzip")
    assert (part.first_line, part.text_bytes) == (1, 5 * size)


def test_a_header_follows_csvs_rules(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b'\xef\xbb\xbf"uid", name ,"a,b",score,ts\r\n')
    (part,) = text_ranges.plan(str(path), 40, 0, source_of(path, "csv"), 100)
    assert part.header == ("uid", "name", "a,b", "score", "ts")


def test_a_header_without_an_end_in_sight_is_refused(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(HEADER.strip() + b"x" * 200_000)
    with pytest.raises(ValueError, match="first line is longer than 131072 bytes"):
        text_ranges.plan(str(path), 10**6, 0, source_of(path, "csv"), 10**6)
