"""A block of CSV lines -> typed columns, and every line that cannot be read.

The whole block is parsed at once; only lines that something is wrong with are looked at
again. They follow RFC 4180: a quoted field may hold separators, doubled quotes and line
breaks (CRLF is read as LF), see `csv_records`; here a line is a whole record. An empty
field is a missing value, quoted or not.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from feature_specs.column_types import ColumnType
from pipeline.arrays import Bools, Ints
from pipeline.examples.reading import whole_numbers
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.blocks import Block, Reasons, renumber
from pipeline.examples.reading.conversions import convert
from pipeline.examples.reading.csv_records import RecordForm, join_records
from pipeline.examples.reading.lines import Lines, find_damage
from pipeline.examples.reading.values import (
    TextValues,
    add_begin,
    add_reasons,
    note_local_texts,
)

_NEWLINE, _QUOTE = ord("\n"), ord('"')


def parse_block(
    data: bytes,
    header: Sequence[str],
    types: Mapping[str, ColumnType],
    separator: str = ",",
    begin: Begin | None = None,
) -> Block:
    """Reads a block of whole lines, without the header.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        header: Names of the file's columns, in order.
        types: The columns to read; one that is not in `header` is missing in every
            row.
        separator: One ASCII character.
        begin: How a row of a log tells when it begins.
    """
    lines = join_records(Lines(data), RecordForm(len(header), separator))
    reasons = Reasons(len(lines))
    find_damage(lines, reasons)
    _find_misshapen(lines, len(header), separator, reasons)
    good = reasons.none()

    def texts(places: Ints, columns: Sequence[str]) -> pl.DataFrame:
        as_text = dict.fromkeys(columns, pl.String())
        return _read(lines, good[places], header, as_text, separator)

    plain = {column: _csv_type(kind) for column, kind in types.items()}
    rows = _read(lines, good, header, plain, separator)
    rows = _read_whole_numbers(rows, texts)
    for column, kind in types.items():
        note_local_texts(rows[column], kind, reasons)
    rows = rows.with_columns(
        convert(rows[column], kind)
        for column, kind in types.items()
        if kind.polars != plain[column]
    )
    raw = TextValues(texts, types)
    add_reasons(reasons, good, rows, raw, types)
    rows = add_begin(rows, begin, good, reasons)
    block = reasons.block(rows, good, lines.text)
    return block if len(lines) == lines.height else _number_by_lines(block, lines)


def _csv_type(kind: ColumnType) -> pl.DataType:
    """What Polars reads a column as; a text if we read it ourselves."""
    return kind.polars if kind.is_number else pl.String()


def _read_whole_numbers(
    rows: pl.DataFrame, texts: Callable[[Ints, Sequence[str]], pl.DataFrame]
) -> pl.DataFrame:
    """Reads what Polars takes for no whole number again: `12.0`, `1e3`.

    Args:
        rows: The declared columns [G]; null where a value is empty or does not parse.
        texts: (positions of rows [S], columns) -> the columns' texts [S].
    """
    columns = [c for c in rows.columns if rows[c].dtype == pl.Int64]
    nulls = pl.any_horizontal(pl.lit(False), *(pl.col(c).is_null() for c in columns))
    places = np.flatnonzero(rows.select(nulls).to_series())
    if not len(places):
        return rows
    read = texts(places, columns)
    values = (whole_numbers.from_texts(read[column]) for column in columns)
    return rows.with_columns(rows[v.name].scatter(places, v) for v in values)


def _number_by_lines(block: Block, lines: Lines) -> Block:
    """A block that is numbered by records, numbered by lines."""
    return dataclasses.replace(
        renumber(block, lambda places: lines.numbers[places]),
        lines=lines.height,
        inner_lines=lines.height - len(lines),
    )


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
    places = {column: header.index(column) for column in types if column in header}
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
            f"{len(chosen)} records gave {frame.height} rows. This is a fault of "
            "Trailrank; please report it with the file."
        )
    strings = pl.col(pl.String)
    found = {column: pl.col(str(place)) for column, place in places.items()}
    return frame.select(
        found.get(column, pl.lit(None, dtype)).alias(column)
        for column, dtype in types.items()
    ).with_columns(pl.when(strings != "").then(strings))
