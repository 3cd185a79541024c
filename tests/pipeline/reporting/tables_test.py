"""How numbers and gains look in tables."""

import math

import pytest
import rich.console

from pipeline.reporting import tables
from pipeline.reporting.intervals import Gain

_NAN = math.nan


def _printed(table, width=60):
    console = rich.console.Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_numbers_are_on_the_right_and_texts_on_the_left():
    table = tables.new_table(
        "Rows", ["file", "why", "rows"], texts=["why"], caption="of today"
    )
    table.add_row("log.csv", "torn", "7")
    table.add_row("a", "no time at all", "1,000")
    title, _, heads, _, first, second, _, caption = _printed(table)
    assert title == "Rows" and caption == "of today"
    assert heads == " file    why             rows"
    assert first == " log.csv torn               7"
    assert second == " a       no time at all 1,000"


def test_a_folded_column_goes_on_in_a_next_line():
    whole = tables.new_table("", ["name", "rows"], folded=["name"])
    cut = tables.new_table("", ["name", "rows"])
    for table in (whole, cut):
        table.add_row("x" * 30, "1")
    assert "".join(_printed(whole, 20)).count("x") == 30
    assert "…" in "".join(_printed(cut, 20))


@pytest.mark.parametrize("missing", [_NAN, None])
def test_what_there_is_not_is_left_empty(missing):
    assert tables.number(missing) == tables.percent(missing) == ""
    assert tables.number(missing, missing="-") == "-"
    assert tables.percent(missing, missing="-") == "-"


def test_numbers_and_percents_are_rounded():
    assert tables.number(0.74105) == "0.7410"  # half to even in binary: 0.741049...
    assert tables.number(1.2345, 2) == "1.23"
    assert tables.percent(0.744) == "74 %"
    assert tables.percent(-0.0123, 1) == "-1.2 %"


@pytest.mark.parametrize(
    ("gain", "text"),
    [
        (Gain(mean=0.0016, low=0.0012, high=0.002, pairs=3), "+0.0016 ±0.0004*"),
        (Gain(mean=-0.0016, low=-0.01, high=0.0068, pairs=3), "-0.0016 ±0.0084"),
        (Gain(mean=-0.00001, low=_NAN, high=_NAN, pairs=1), "+0.0000"),  # not -0
        (Gain(mean=_NAN, low=_NAN, high=_NAN, pairs=0), "-"),
        (None, "-"),
    ],
)
def test_a_gain_tells_its_interval_and_a_star(gain, text):
    assert tables.gain_text(gain) == text


def test_a_star_does_not_begin_emphasis_in_markdown():
    text = tables.markdown_table(["", "gain"], [["mmoe", "+1*"], ["ple", "+2"]])
    assert text == "|  | gain |\n| --- | ---: |\n| mmoe | +1\\* |\n| ple | +2 |\n"
