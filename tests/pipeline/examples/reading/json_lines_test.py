"""Blocks of JSON lines; what becomes a reject is in `damaged_files_test`."""

from feature_specs.column_types import parse_types
from pipeline.examples.reading.json_lines import parse_block

_DECLARED = {"uid": "int64", "name": "string?", "score": "float64?"}


def _parse(data):
    return parse_block(data, parse_types(_DECLARED))


def test_keys_are_found_by_name_and_others_ignored():
    block = _parse(b'{"x": [1], "name": "ann", "uid": 1}\n{"score": 2, "uid": 2.0}\n')
    assert block.rows.to_dict(as_series=False) == {
        "uid": [1, 2],
        "name": ["ann", None],
        "score": [None, 2.0],
        "_line": [0, 1],
    }
    assert block.rejects == ()


def test_the_last_of_two_equal_keys_counts():
    assert _parse(b'{"uid": 1, "uid": 2}').rows["uid"].to_list() == [2]


def test_blank_lines_are_counted_and_keep_the_numbers_of_others():
    block = _parse(b'\n{"uid": 1}\n\nnull\n\n')
    assert (block.lines, block.blank_lines) == (5, 3)
    assert block.rows["_line"].to_list() == [1]
    assert [(r.line, r.reason) for r in block.rejects] == [(3, "not a JSON object")]


def test_two_lines_that_are_json_together_are_rejects_each():
    block = _parse(b'{"uid": 1},{"name":\n"a", "uid": 3}\n')
    assert block.rows.height == 0
    assert [reject.line for reject in block.rejects] == [0, 1]


def test_bytes_that_are_no_utf8_are_named():
    block = _parse(b'{"uid": 1, "name": "\xff"}\n')
    assert block.rejects[0].reason == "not UTF-8"


def test_an_empty_block_has_the_columns():
    assert _parse(b"").rows.columns == ["uid", "name", "score", "_line"]
