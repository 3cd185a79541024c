"""Rows of files as they stand in them, with their keys."""

import gzip
import io

import polars as pl
import pytest

from pipeline.dry_run.raw_rows import TextForm, pick, read_parquet, read_text

_MOST = 1 << 20


def text_rows(text, columns, form, most=_MOST):
    data = text if isinstance(text, bytes) else text.encode()
    return read_text(io.BytesIO(data), len(data), columns, form, most)


def written(rows, places):
    target = io.BytesIO()
    rows.write(target, places)
    return target.getvalue()


CSV = 'user,text\n7,"a, b"\n8,"two\nlines"\nbroken\n7,c\n'


def test_csv_records_keep_their_quotes_and_line_breaks():
    rows = text_rows(CSV, ["user"], TextForm("csv"))
    assert list(rows.keys) == [("7",), ("8",), (), ("7",)]
    assert written(rows, [1, 2]) == b'user,text\n8,"two\nlines"\nbroken\n'


def test_a_csv_file_without_a_header_has_no_first_line_of_its_own():
    rows = text_rows("7\tx\n8\ty\n", ["b"], TextForm("csv", "\t", ("a", "b")))
    assert list(rows.keys) == [("x",), ("y",)]
    assert written(rows, [1]) == b"8\ty\n"


def test_json_lines_by_a_dotted_path():
    text = '{"user": {"id": 7}}\n{"user": {}}\n{oops\n{"user.id": "8"}\n'
    rows = text_rows(text, ["user.id"], TextForm("jsonl"))
    assert list(rows.keys) == [("7",), (), (), ("8",)]


def test_compressed_text_is_read_as_text():
    data = gzip.compress(b"user\n5\n")
    rows = text_rows(data, ["user"], TextForm("csv"))
    assert list(rows.keys) == [("5",)]
    assert written(rows, [0]) == b"user\n5\n"


def test_what_is_too_large_is_read_in_part_to_the_end_of_a_line():
    text = "user\n" + "123456789\n" * 100_000
    rows = text_rows(text, ["user"], TextForm("csv"), most=1000)
    assert not rows.is_whole
    assert set(rows.keys) == {("123456789",)}
    assert 0 < rows.bytes_read < len(text)


def test_parquet_rows_keep_their_types():
    frame = pl.DataFrame(
        {"user": [{"id": 7}, {"id": 8}, None], "tags": [["a"], [], ["b", "c"]]}
    )
    data = io.BytesIO()
    frame.write_parquet(data)
    rows = read_parquet(data, len(data.getvalue()), ["user.id"], _MOST)
    assert list(rows.keys) == [("7",), ("8",), ()]
    assert rows.is_whole
    again = pl.read_parquet(io.BytesIO(written(rows, [0, 2])))
    assert again.equals(frame[[0, 2]])


@pytest.mark.parametrize(("value", "key"), [("12.0", "12"), (" a ", "a"), ("", "")])
def test_a_key_is_the_same_in_all_formats(value, key):
    rows = text_rows(f"user,x\n{value},1\n", ["user"], TextForm("csv"))
    assert list(rows.keys) == [(key,)]


def test_of_unreadable_rows_as_many_are_picked_as_of_others():
    rows = text_rows("user,x\n" + "7,1\nbad\n" * 6, ["user"], TextForm("csv"))
    places = list(pick(rows, {("7",)}, 3))
    assert [place for place in places if place % 2 == 0] == [0, 2, 4, 6, 8, 10]
    assert len([place for place in places if place % 2]) == 2  # of six, one in three
