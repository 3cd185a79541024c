"""Lines by their positions, and the damage that no format bears."""

import numpy as np
import polars as pl
import pytest

from pipeline.examples.reading import lines as lines_module
from pipeline.examples.reading.blocks import Reasons
from pipeline.examples.reading.lines import Lines, find_damage


@pytest.mark.parametrize("data", [b"ab\n\nc\n", b"ab\r\n\r\nc", b"ab\n\nc\r"])
def test_lines_are_found_whatever_their_ends(data):
    lines = Lines(data)
    assert [lines.raw(n) for n in range(len(lines))] == [b"ab", b"", b"c"]
    assert lines.join(np.array([0, 2])) == b"ab\nc\n"


def test_bytes_are_counted_a_line():
    lines = Lines(b"a,b\n,,\n\nc\n")
    commas = lines.positions(ord(","))
    assert lines.count(commas).tolist() == [1, 2, 0, 0]
    assert lines.line_of(commas).tolist() == [0, 1, 1]


def test_each_damage_has_its_reason(monkeypatch):
    monkeypatch.setattr(lines_module, "MAX_LINE_BYTES", 5)
    data = b"good\n\na\0b\nc\rd\n\xff\nmuch too long\nm\xc3\xbc\n"
    lines = Lines(data)
    reasons = Reasons(len(lines))
    find_damage(lines, reasons)
    assert reasons.none().tolist() == [0, 6]
    block = reasons.block(_no_rows(), np.array([], np.int64), lines.text)
    assert block.blank_lines == 1
    assert [(reject.line, reject.reason) for reject in block.rejects] == [
        (2, "NUL byte"),
        (3, "carriage return in the line"),
        (4, "not UTF-8"),
        (5, "line too long"),
    ]


def _no_rows():
    return pl.DataFrame({"v": []})
