"""Blocks of CSV lines: what is read, and what becomes a reject for which reason."""

import pytest

from feature_specs.column_types import parse_types
from pipeline.examples.reading.csv_lines import parse_block

_HEADER = ("user", "name", "extra", "score")
_DECLARED = {"score": "float64?", "user": "int64", "name": "string?"}


def _parse(data):
    return parse_block(data, _HEADER, parse_types(_DECLARED))


def test_columns_are_found_by_name_and_others_ignored():
    block = _parse(b"1,ann,x,2.5\n2,,y,\n")
    assert block.rows.to_dict(as_series=False) == {
        "score": [2.5, None],
        "user": [1, 2],
        "name": ["ann", None],
        "_line": [0, 1],
    }
    assert block.rejects == ()


@pytest.mark.parametrize(
    "data",
    [b"1,a,x,2\r\n2,b,y,3\r\n", b"1,a,x,2\n2,b,y,3", b"1,a,x,2\r\n2,b,y,3\r"],
)
def test_line_ends_do_not_matter(data):
    block = _parse(data)
    assert block.rows["score"].to_list() == [2.0, 3.0]
    assert block.lines == 2


def test_blank_lines_are_counted_and_keep_the_numbers_of_others():
    block = _parse(b"\n1,a,x,2\n\n3,b\n\n")
    assert (block.lines, block.blank_lines) == (5, 3)
    assert block.rows["_line"].to_list() == [1]
    assert block.rejects[0].line == 3


def test_quoted_fields_hold_separators_and_quotes():
    block = _parse(b'1,"Heat, ""the"" film",x,2\n"2",plain,"","3"\n3,"",x,1\n')
    assert block.rows["name"].to_list() == ['Heat, "the" film', "plain", None]
    assert block.rows["user"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"7,a,x", "wrong number of columns"),
        (b"7,a,x,1,9", "wrong number of columns"),
        (b"   ", "wrong number of columns"),
        (b"abc,a,x,1", "user: not a whole number"),
        (b"7.5,a,x,1", "user: not a whole number"),
        (b"99999999999999999999,a,x,1", "user: not a whole number"),
        (b",a,x,1", "user: empty"),
        (b"NaN,a,x,1", "user: not a whole number"),
        (b"7,a,x,1e", "score: not a number"),
        (b"7,a,x,inf", "score: not a number"),
        (b"7,\xff\xfe,x,1", "not UTF-8"),
        (b'7,"a,x,1', "misplaced quote"),
        (b'7,a"b"c,x,1', "misplaced quote"),
        (b'7,"a"b,x,1', "misplaced quote"),
    ],
)
def test_a_damaged_line_costs_itself_only(line, reason):
    block = _parse(b"1,a,x,2\n" + line + b"\n3,c,z,4\n")
    assert block.rows["user"].to_list() == [1, 3]
    (reject,) = block.rejects
    assert (reject.line, reject.reason) == (1, reason)
    assert reject.text == line.decode("utf-8", errors="backslashreplace")


def test_an_optional_nan_is_missing_a_required_one_a_reject():
    assert _parse(b"1,a,x,NaN\n").rows["score"].to_list() == [None]
    block = parse_block(b"NaN\n1.5\n", ("score",), parse_types({"score": "float64"}))
    assert [reject.reason for reject in block.rejects] == ["score: not a number"]


def test_an_empty_block_has_the_columns():
    block = _parse(b"")
    assert block.rows.columns == ["score", "user", "name", "_line"]
    assert (block.lines, block.rejects) == (0, ())


def test_another_separator():
    types = parse_types({"n": "int64", "t": "string"})
    block = parse_block(b"1|a,b\n", ("n", "t"), types, "|")
    assert block.rows["t"].to_list() == ["a,b"]
