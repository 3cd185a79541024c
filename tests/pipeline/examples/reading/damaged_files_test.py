"""Kinds of damaged and mistaken files: rejects, a clear error, or a broken end."""

import bz2
import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.examples.reading.written_rows import (
    COLUMNS,
    FIRST_TS,
    HEADER,
    csv_file,
    csv_line,
    example,
    json_file,
    make_rows,
    read_all,
    record,
    record_file,
    zstd,
)

ROWS = make_rows(7, 2_000)
_GOOD = {"uid": 1, "name": "ann", "score": 0.5, "ts": FIRST_TS}


@pytest.fixture
def read(tmp_path):
    """(bytes, format) -> what a file of these bytes holds."""

    def write_and_read(data, form="csv"):
        path = tmp_path / "log_a.csv"
        path.write_bytes(data)
        return read_all(path, form)

    return write_and_read


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"7,x,ann", "wrong number of columns"),  # half a line
        (b"7,x,ann,0.5,%d,9" % FIRST_TS, "wrong number of columns"),
        (b"seven,x,ann,0.5,%d" % FIRST_TS, "uid: not a whole number"),
        (b"7,x,ann,much,%d" % FIRST_TS, "score: not a number"),
        (b"7,x,ann,0.5,NaN", "ts: not a whole number"),
        (b"7,x,ann,inf,%d" % FIRST_TS, "score: not a number"),
        (b"7,x,ann,-Infinity,%d" % FIRST_TS, "score: not a number"),
        (b"7,x,ann,0.5,-%d" % FIRST_TS, "ts: not a plausible value"),
        (b"7,x,ann,0.5,%d" % (FIRST_TS // 1000), "ts: not a plausible value"),
        (b"7,x,ann,0.5,", "ts: empty"),
        (b"7,x,a\0n,0.5,%d" % FIRST_TS, "NUL byte"),
        (b"\0\0\0\0\0\0\0\0", "NUL byte"),
        (b"7,x,a\rn,0.5,%d" % FIRST_TS, "carriage return in the line"),
        (b'7,x,"ann,0.5,%d' % FIRST_TS, "misplaced quote"),
        (b'7,x,a"n"n,0.5,%d' % FIRST_TS, "misplaced quote"),
        ("7,x,Zürich,0.5,1649347200000".encode("latin-1"), "not UTF-8"),
        (HEADER.strip(), "uid: not a whole number"),  # of a file appended to this one
    ],
)
def test_a_damaged_line_is_a_reject_and_its_neighbours_are_rows(read, line, reason):
    found = read(HEADER + csv_line(_GOOD) + line + b"\n" + csv_line(_GOOD))
    assert found.rows == [_GOOD, _GOOD]
    text = line.decode("utf-8", errors="backslashreplace")
    assert found.rejects == [(1, reason, text)]


def test_a_missing_number_in_quotes_or_as_nan_is_empty(read):
    found = read(HEADER + b'7,x,"","",%d\n7,x,,NaN,%d\n' % (FIRST_TS, FIRST_TS))
    row = {"uid": 7, "name": None, "score": None, "ts": FIRST_TS}
    assert found.rows == [row, row]


def test_half_a_last_line_is_a_reject(read):
    found = read(csv_file(ROWS)[:-15])
    assert found.rows == ROWS[:-1]
    assert found.reasons == ["wrong number of columns"]


def test_a_line_of_20_mb_is_a_reject_of_a_short_text(tmp_path):
    path = tmp_path / "log"
    long = b"7,x," + b"n" * (20 << 20) + b",0.5,%d\n" % FIRST_TS
    data = HEADER + csv_line(_GOOD) + long + csv_line(_GOOD)
    for stored in (data, gzip.compress(data, 1)):
        path.write_bytes(stored)
        found = read_all(path, "csv", range_bytes=1 << 20)
        assert found.rows == [_GOOD, _GOOD]
        ((line, reason, text),) = found.rejects
        assert (line, reason) == (1, "line too long")
        assert text.startswith("7,x,nnn") and len(text) < 70_000


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_byte_order_mark_and_crlf_are_no_damage(read, form):
    data = csv_file(ROWS) if form == "csv" else json_file(ROWS)
    data = b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")
    assert read(data, form).rows == ROWS
    assert read(gzip.compress(data), form).rows == ROWS


def test_a_file_that_ends_its_lines_in_cr_alone_is_refused(read):
    with pytest.raises(ValueError, match=r"log_a\.csv: .* end in LF or CRLF"):
        read(csv_file(ROWS).replace(b"\n", b"\r"))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "tfrecord"])
@pytest.mark.parametrize(
    "data", [b"", gzip.compress(b""), zstd(b"")], ids=["plain", "gzip", "zstd"]
)
def test_an_empty_file_is_refused(read, form, data):
    with pytest.raises(ValueError, match=r"log_a\.csv is empty\. .*restore it"):
        read(data, form)


def test_a_file_of_a_header_has_no_rows(read):
    for data in (HEADER, HEADER.strip(), gzip.compress(HEADER)):
        found = read(data)
        assert (found.rows, found.lines, found.broken) == ([], 0, "")


@pytest.mark.parametrize(
    ("data", "form", "message"),
    [
        (b"PAR1" + bytes(50), "csv", "is a Parquet file, but log.format is csv"),
        (record_file(ROWS), "jsonl", "is a TFRecord file, but log.format is jsonl"),
        (csv_file(ROWS), "parquet", "is no Parquet file.*begins with 'uid,extra,name"),
        (csv_file(ROWS), "tfrecord", "is no TFRecord file.*begins with 'uid,extra"),
        (json_file(ROWS), "csv", "column 'uid' is missing. The file has {"),
        (csv_file(ROWS), "jsonl", "holds no JSON lines: its first line is 'uid,ext"),
        (json.dumps(ROWS).encode() + b"\n", "jsonl", r"first line is '\[\{\"uid\": 0"),
        (b"PK\x03\x04" + bytes(50), "csv", "is a zip archive. Unpack it"),
        (
            bz2.compress(b"uid"),
            "csv",
            "is bzip2 data. Decompress it, or use gzip or zstd",
        ),
        ("uid,ts\n".encode("utf-16"), "csv", "is UTF-16 text. Convert it to UTF-8"),
        (b"1,x,ann,0.5,1649347200000\n", "csv", "column 'uid' is missing"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
def test_another_format_is_named_before_anything_runs(read, data, form, message):
    with pytest.raises(ValueError, match=rf"log_a\.csv.*{message}"):
        read(data, form)


def test_a_directory_of_a_files_name_is_said(tmp_path):
    (tmp_path / "log_a.csv").mkdir()
    with pytest.raises(ValueError, match=r"log_a\.csv is a directory\. Change log\.fi"):
        read_all(tmp_path / "log_a.csv", "csv")
    with pytest.raises(ValueError, match=r"log_a\.csv is a directory\. Change log\.fi"):
        read_all(tmp_path / "log_*.csv", "csv")  # its rows would be missing


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("compress", "name"),
    [(lambda data: gzip.compress(data, 6), "gzip"), (zstd, "zstd")],
)
def test_a_truncated_file_gives_what_is_whole(read, form, compress, name):
    rows = make_rows(3, 9_000)  # several zstd blocks of 128 kB
    data = compress(csv_file(rows) if form == "csv" else json_file(rows))
    found = read(data[: len(data) * 2 // 3], form)
    assert len(found.rows) > 3_000
    assert found.rows == rows[: len(found.rows)]
    assert found.reasons == ["cut off"]
    lines = len(found.rows) + 1 + (form == "csv")
    assert (
        found.broken
        == f"{name} data ends early after line {lines}: copy the file again"
    )


def test_a_gzip_file_with_a_wrong_checksum_is_broken_at_its_end(read):
    data = gzip.compress(csv_file(ROWS))
    found = read(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
    assert found.broken.startswith("gzip data is damaged after line ")
    assert found.rows == ROWS[: len(found.rows)]


def test_a_file_truncated_in_its_header_is_refused(read):
    names = ",".join(f"{random.Random(n).random()}" for n in range(300))
    data = gzip.compress(names.encode() + csv_file(ROWS))
    for size in (40, 1_500):
        with pytest.raises(ValueError, match="gzip data ends early.*opy .* again"):
            read(data[:size])


def test_gzip_members_and_zeros_after_them_are_one_file(read):
    members = [
        HEADER,
        *(csv_file(ROWS[n : n + 500])[len(HEADER) :] for n in range(0, 2_000, 500)),
    ]
    data = b"".join(map(gzip.compress, members))
    assert read(data).rows == ROWS
    assert read(data + bytes(5_000)).rows == ROWS
    assert read(b"".join(map(zstd, members))).rows == ROWS
    assert "gzip data is damaged after line 2001" in read(data + b"garbage").broken


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"uid": 7, "na', "not a JSON object"),  # cut in the middle
        ("[1, 2]", "not a JSON object"),
        ("7", "not a JSON object"),
        ('{"uid": 7, "ts": NaN}', "ts: not a whole number"),
        ('{"uid": "7", "ts": 1649347200000}', "uid: not a whole number"),
        ('{"uid": 7.5, "ts": 1649347200000}', "uid: not a whole number"),
        (
            '{"uid": 9223372036854775808, "ts": 1649347200000}',
            "uid: not a whole number",
        ),
        ('{"uid": [7], "ts": 1649347200000}', "uid: not a whole number"),
        ('{"uid": null, "ts": 1649347200000}', "uid: empty"),
        ('{"ts": 1649347200000}', "uid: empty"),
        ('{"uid": 7, "ts": 1649347200}', "ts: not a plausible value"),
        ('{"uid": 7, "ts": 1649347200000, "name": 1.5}', "name: not text"),
        ('{"uid": 7, "ts": 1649347200000, "score": "0.5"}', "score: not a number"),
    ],
)
def test_a_damaged_json_line_is_a_reject(read, value, reason):
    good = json_file([_GOOD])
    found = read(good + value.encode() + b"\n" + good, "jsonl")
    assert found.rows == [_GOOD, _GOOD]
    assert found.rejects == [(1, reason, value)]


def test_a_flipped_bit_in_a_record_costs_the_record(read):
    records = [record(example(row)) for row in ROWS[:3]]
    damaged = bytearray(records[1])
    damaged[20] ^= 4
    found = read(records[0] + bytes(damaged) + records[2], "tfrecord")
    assert found.rows == [ROWS[0], ROWS[2]]
    assert found.rejects[0][:2] == (1, "checksum")


def test_a_flipped_bit_in_a_length_ends_the_file(read):
    records = [record(example(row)) for row in ROWS[:3]]
    damaged = bytearray(records[1])
    damaged[1] ^= 4
    found = read(records[0] + bytes(damaged) + records[2], "tfrecord")
    assert found.rows == ROWS[:1]
    assert (
        found.broken
        == "a record's length is damaged after record 1: copy the file again"
    )


def test_truncated_records_give_what_is_whole(read):
    data = record_file(ROWS)
    found = read(data[:-5], "tfrecord")
    assert found.rows == ROWS[:-1]
    assert (
        found.broken
        == "the last record is cut off after record 1999: copy the file again"
    )
    found = read(gzip.compress(data)[:-20_000], "tfrecord")
    assert found.rows == ROWS[: len(found.rows)] and 0 < found.lines < 1_990
    assert f"gzip data ends early after record {found.lines}" in found.broken


def _parquet(**columns):
    values = {name: [row[name] for row in ROWS] for name in COLUMNS}
    table = pa.table({**values, **columns})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=500)
    return table, sink.getvalue().to_pybytes()


def test_parquet_without_a_column_or_with_one_of_another_kind_is_refused(read):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"uid": [1], "name": ["a"], "score": [0.5]}), sink)
    message = r"log_a\.csv: column 'ts' is missing. The file has uid, name, score\."
    with pytest.raises(ValueError, match=message):
        read(sink.getvalue().to_pybytes(), "parquet")
    _, data = _parquet(uid=[[1]] * len(ROWS))
    with pytest.raises(
        ValueError,
        match="column 'uid' is list<.*>, which cannot be read as int64",
    ):
        read(data, "parquet")


def test_a_damaged_parquet_file_is_refused_or_broken(read):
    _, data = _parquet()
    with pytest.raises(ValueError, match=r"log_a\.csv is a damaged or unfinished Parq"):
        read(data[:-100], "parquet")
    middle = data.index(b"PAR1", 4) // 2
    damaged = data[:middle] + bytes(400) + data[middle + 400 :]
    found = read(damaged, "parquet")
    assert found.broken.startswith("Parquet data is damaged after row ")
    assert found.rows == ROWS[: len(found.rows)]


def test_headers_may_order_their_columns_differently(tmp_path):
    (tmp_path / "log_a.csv").write_bytes(csv_file([_GOOD]))
    (tmp_path / "log_b.csv").write_bytes(
        b"ts,score,uid,name\n%d,0.5,1,ann\n" % FIRST_TS
    )
    assert read_all(tmp_path / "log_*.csv", "csv").rows == [_GOOD, _GOOD]
