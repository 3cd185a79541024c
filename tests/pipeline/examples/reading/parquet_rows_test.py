"""Parquet files: ranges of row groups, types converted, rows that cannot be."""

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.examples.reading import parquet_rows
from tests.pipeline.examples.reading.written_rows import (
    COLUMNS,
    FIRST_TS,
    make_rows,
    read_all,
    source_of,
)

ROWS = make_rows(11, 1_000)
_MOMENT = datetime.datetime(2022, 4, 7, 16)  # UTC; FIRST_TS


@pytest.fixture
def write(tmp_path):
    """Columns in the place of `ROWS`' -> the path of a Parquet file."""

    def write(group_rows=100, rows=ROWS, **columns):
        values = {name: [row[name] for row in rows] for name in COLUMNS}
        path = tmp_path / "log.parquet"
        table = pa.table({"extra": ["x"] * len(rows), **values, **columns})
        pq.write_table(table, path, row_group_size=group_rows)
        return path

    return write


def test_row_groups_become_ranges_and_all_rows_are_read(write):
    path = write()
    # A group of 100 rows of 4 columns is taken for 1600 bytes, or more if it is larger.
    parts = parquet_rows.plan(str(path), 0, 3, source_of(path, "parquet"), 1)
    assert [(p.start, p.end, p.number) for p in parts] == [
        (n, n + 1, n) for n in range(10)
    ]
    assert {p.file for p in parts} == {3} and parts[0].first_line == 0
    few = parquet_rows.plan(str(path), 0, 0, source_of(path, "parquet"), 10**6)
    assert [(part.start, part.end) for part in few] == [(0, 10)]
    assert few[0].text_bytes == sum(part.text_bytes for part in parts)
    for range_bytes in (1, 5_000, 10**6):
        assert read_all(path, "parquet", range_bytes).rows == ROWS


def test_a_huge_row_group_is_read_in_batches(write, monkeypatch):
    monkeypatch.setattr(parquet_rows, "BATCH_ROWS", 64)
    path = write(group_rows=1_000)
    source = source_of(path, "parquet")
    (part,) = parquet_rows.plan(str(path), 0, 0, source, 10**6)
    blocks = list(parquet_rows.read(part, source))
    assert [block.lines for block in blocks] == [64] * 15 + [40]
    assert read_all(path, "parquet").rows == ROWS


def test_a_file_without_rows_has_no_range(write):
    assert read_all(write(rows=[]), "parquet").lines == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"uid": pa.array([row["uid"] for row in ROWS], pa.uint16())},
        {"uid": pa.array([float(row["uid"]) for row in ROWS])},
        {"uid": pa.array([str(row["uid"]) for row in ROWS])},
        {"name": pa.array([row["name"] for row in ROWS]).dictionary_encode()},
        {"name": pa.array([row["name"] for row in ROWS], pa.large_string())},
        {"name": pa.array([(row["name"] or "").encode() for row in ROWS], pa.binary())},
        {"score": pa.array([row["score"] for row in ROWS], pa.float32())},
        {"ts": pa.array([row["ts"] for row in ROWS], pa.timestamp("ms"))},
        {
            "ts": pa.array(
                [row["ts"] * 1_000 for row in ROWS], pa.timestamp("us", "Asia/Shanghai")
            )
        },
    ],
)
def test_other_types_of_a_column_give_the_same_rows(write, columns):
    assert read_all(write(**columns), "parquet").rows == ROWS


@pytest.mark.parametrize(
    ("column", "values", "reason", "shown"),
    [
        ("uid", [1, None], "uid: empty", None),
        ("uid", [1.0, 1.5], "uid: not a whole number", 1.5),
        ("uid", ["1", "one"], "uid: not a whole number", "one"),
        ("uid", pa.array([1, 2**63], pa.uint64()), "uid: not a whole number", 2**63),
        ("score", [0.5, float("inf")], "score: not a number", "inf"),
        ("name", pa.array([b"a", b"\xff"]), "name: not text", "\\xff"),
        ("ts", [FIRST_TS, FIRST_TS // 1000], "ts: not a plausible value", 1649347200),
        ("ts", [_MOMENT, None], "ts: empty", None),
    ],
)
def test_a_value_that_does_not_fit_is_a_reject(write, column, values, reason, shown):
    found = read_all(write(rows=ROWS[:2], **{column: values}), "parquet")
    assert [row["uid"] for row in found.rows] == [1 if column == "uid" else 0]
    ((line, why, text),) = found.rejects
    assert (line, why) == (1, reason)
    assert list(json.loads(text)) == list(COLUMNS)
    assert json.loads(text)[column] == shown


def test_text_that_is_no_utf8_is_a_reject_though_the_file_calls_it_text(write):
    data = pa.py_buffer(b"ann\xff")
    offsets = pa.py_buffer(b"\0\0\0\0\3\0\0\0\4\0\0\0")
    names = pa.StringArray.from_buffers(2, offsets, data)
    found = read_all(write(rows=ROWS[:2], name=names), "parquet")
    assert [row["name"] for row in found.rows] == ["ann"]
    assert found.reasons == ["name: not text"]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("uid", [_MOMENT], r"'uid' is timestamp\[us\], which cannot be read as int64"),
        (
            "ts",
            [_MOMENT.date()],
            r"'ts' is date32\[day\], which cannot be read as int64",
        ),
        ("name", [1.5], r"'name' is double, which cannot be read as string\?"),
        ("score", [{"a": 1}], r"'score' is struct<a: int64>, which cannot"),
    ],
)
def test_a_column_of_another_kind_is_refused(write, column, values, message):
    path = write(rows=ROWS[:1], **{column: values})
    with pytest.raises(ValueError, match=rf"log\.parquet: column {message}"):
        read_all(path, "parquet")
