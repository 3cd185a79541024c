"""Reasons, and lines counted over the blocks of a range."""

import numpy as np
import polars as pl

from pipeline.examples.reading.blocks import Reasons, number_lines, shorten


def _block(values, bad):
    reasons = Reasons(len(values))
    reasons.add("bad", np.array(bad, np.int64))
    lines = np.arange(len(values))
    return reasons.block(pl.DataFrame({"v": values}), lines, str)


def test_the_first_reason_of_a_line_counts():
    reasons = Reasons(4)
    reasons.add_blank(np.array([0]))
    reasons.add("first", np.array([0, 1]))
    reasons.add("second", np.array([1, 2]))
    assert reasons.none().tolist() == [3]
    block = reasons.block(
        pl.DataFrame({"v": [9.0, 8.0]}), np.array([2, 3]), "line {}".format
    )
    assert block.rows.to_dicts() == [{"v": 8.0, "_line": 3}]
    assert (block.lines, block.blank_lines) == (4, 1)
    found = [(r.line, r.reason, r.text) for r in block.rejects]
    assert found == [(1, "first", "line 1"), (2, "second", "line 2")]


def test_lines_are_counted_on_from_block_to_block():
    blocks = list(number_lines([_block([1, 2, 3], [1]), _block([4, 5], [0])]))
    assert [block.rows["_line"].to_list() for block in blocks] == [[0, 2], [4]]
    assert [block.rejects[0].line for block in blocks] == [1, 3]


def test_a_long_text_says_its_length():
    assert shorten("x" * 100_000).endswith("xxx... (100000 characters)")
    assert shorten("short") == "short"
