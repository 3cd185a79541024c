"""A block of CSV lines -> typed columns, and every line that cannot be read.

The whole block is parsed at once; only lines that something is wrong with are looked at
again. Lines follow RFC 4180, but one line is one record: a quoted field may hold
separators and doubled quotes, no line break, so that a stray quote costs one line and
not the rest of the file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pipeline.arrays import Bools, Ints
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.lines import Lines, find_damage
from pipeline.examples.reading.values import add_reasons, declared_type

_NEWLINE, _QUOTE = ord("\n"), ord('"')


def parse_block(
    data: bytes,
    header: Sequence[str],
    declared: Mapping[str, str],
    separator: str = ",",
    limits: Mapping[str, tuple[int, int]] | None = None,
) -> Block:
    """Reads a block of whole lines, without the header.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        header: Names of the file's columns, in order.
        declared: The columns to read -> `int64`, `float64` or `string`, with `?` if
            they may be empty; all of them are in `header`.
        separator: One ASCII character.
        limits: Column -> lowest and highest value that can be believed.
    """
    lines = Lines(data)
    reasons = Reasons(len(lines))
    find_damage(lines, reasons)
    _find_misshapen(lines, len(header), separator, reasons)
    good = reasons.none()
    types = {column: declared_type(kind) for column, kind in declared.items()}
    rows = _read(lines, good, header, types, separator)

    def is_empty(suspects: Ints) -> pl.DataFrame:
        texts = dict.fromkeys(declared, pl.String())
        raw = _read(lines, good[suspects], header, texts, separator)
        return raw.select(pl.all().is_null())

    add_reasons(reasons, good, rows, is_empty, declared, limits or {})
    return reasons.block(rows, good, lines.text)


def _find_misshapen(
    lines: Lines, columns: int, separator: str, reasons: Reasons
) -> None:
    """Marks the lines that cannot be cut into their columns."""
    separators = lines.positions(ord(separator))
    if b'"' in lines.data:
        quotes = lines.positions(_QUOTE)
        misplaced, quoted = _judge_quotes(lines, quotes, separators, separator)
        reasons.add("misplaced quote", misplaced)
        separators = separators[~quoted]
    found = lines.count(separators) + 1
    reasons.add("wrong number of columns", np.flatnonzero(found != columns))


def _judge_quotes(
    lines: Lines, quotes: Ints, separators: Ints, separator: str
) -> tuple[Ints, Bools]:
    """(lines with a misplaced quote [?], separators that stand inside quotes [S]).

    An opening quote (first, third... of its line) begins a field or doubles the quote
    before it; a closing one ends a field or is doubled.
    """
    before_line = np.searchsorted(quotes, lines.starts)
    line = lines.line_of(quotes)
    opening = (np.arange(len(quotes)) - before_line[line]) % 2 == 0
    edges = np.array([_NEWLINE, _QUOTE, ord(separator)], np.uint8)
    previous = np.where(quotes > 0, lines.bytes[quotes - 1], _NEWLINE)
    following = lines.bytes[quotes + 1]  # a block ends in a newline
    fits = np.where(opening, np.isin(previous, edges), np.isin(following, edges))
    odd = np.flatnonzero(lines.count(quotes) % 2)
    misplaced = np.union1d(line[~fits], odd)
    of_separator = lines.line_of(separators)
    open_quotes = np.searchsorted(quotes, separators) - before_line[of_separator]
    return misplaced, open_quotes % 2 == 1


def _read(
    lines: Lines,
    chosen: Ints,
    header: Sequence[str],
    types: Mapping[str, pl.DataType],
    separator: str,
) -> pl.DataFrame:
    """Columns of well-formed lines; null where a value is empty or does not parse."""
    if not len(chosen):
        return pl.DataFrame(schema=dict(types))
    places = {column: header.index(column) for column in types}
    named = {
        str(place): types.get(column, pl.String())
        for place, column in enumerate(header)
    }
    text = lines.join(chosen)
    frame = pl.read_csv(
        io.BytesIO(text),
        has_header=False,
        schema=named,
        columns=sorted(places.values()),
        separator=separator,
        quote_char='"' if b'"' in text else None,
        ignore_errors=True,
    )
    if frame.height != len(chosen):
        raise RuntimeError(
            f"{len(chosen)} lines gave {frame.height} rows. This is a fault of "
            "Trailrank; please report it with the file."
        )
    strings = pl.col(pl.String)
    return frame.select(
        pl.col(str(place)).alias(column) for column, place in places.items()
    ).with_columns(pl.when(strings != "").then(strings))
