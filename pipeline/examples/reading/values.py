"""Raw values of any format -> the declared columns, and why a value cannot be one.

The same few reasons for every format: `<column>: empty`, `not a whole number`, `not a
number`, `not text`, `not a plausible value`... NaN in a column of numbers is an empty
value if the column may be empty, else no number. With each reason goes a value that it
was given for, so that nobody has to look for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson
import polars as pl

from feature_specs.column_types import ColumnType, Timestamp, Whole
from pipeline.arrays import Ints
from pipeline.examples.reading import times, whole_numbers
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.blocks import LINE, Block, Reasons
from pipeline.examples.reading.conversions import (
    as_text,
    convert,
    is_missing,
    plain_texts,
)
from pipeline.examples.reading.sources import Source

Types = Mapping[str, ColumnType]

_TOO_LARGE = r"^\+?[0-9]{19,}(?:\.0*)?$"  # of a number that is null as int64


class RawValues(Protocol):
    """The values of some rows [G] as a file has them, looked at where one is odd."""

    def empty(self, rows: Ints) -> pl.DataFrame:
        """For each declared column whether the values of some rows [S] are missing."""

    def texts(self, column: str, rows: Ints) -> pl.Series:
        """A column's values of some rows [S] as texts; null for what is no text."""

    def shown(self, column: str, row: int) -> str:
        """One value, for people."""


class TextValues:
    """Raw values of CSV: all of them are texts."""

    def __init__(
        self, read: Callable[[Ints, Sequence[str]], pl.DataFrame], types: Types
    ) -> None:
        """`read` gives (rows [S], columns) as texts [S], null for an empty one."""
        self._read, self._types = read, types

    def empty(self, rows: Ints) -> pl.DataFrame:
        raw = self._read(rows, list(self._types))
        return raw.select(is_missing(raw[c], kind) for c, kind in self._types.items())

    def texts(self, column: str, rows: Ints) -> pl.Series:
        return self._read(rows, [column])[column]

    def shown(self, column: str, row: int) -> str:
        return str(self.texts(column, np.array([row]))[0])


class TypedValues:
    """Raw values of Parquet and tf.Examples."""

    def __init__(self, raw: pl.DataFrame, types: Types) -> None:
        self._raw, self._types = raw, types

    def empty(self, rows: Ints) -> pl.DataFrame:
        some = self._raw[rows]
        return some.select(is_missing(some[c], kind) for c, kind in self._types.items())

    def texts(self, column: str, rows: Ints) -> pl.Series:
        some = plain_texts(self._raw[column][rows])
        if some.dtype == pl.String or some.dtype.is_integer():
            return some.cast(pl.String)
        return pl.Series(column, [None] * len(some), pl.String)

    def shown(self, column: str, row: int) -> str:
        return as_json({column: self._raw[column][row]})


class JsonValues:
    """Raw values of JSON lines.

    Attributes:
        raw: Key -> its values [G].
    """

    def __init__(self, raw: Mapping[str, list[Any]], types: Types) -> None:
        self.raw, self._types = raw, types

    def empty(self, rows: Ints) -> pl.DataFrame:
        return pl.DataFrame(
            {
                key: [_is_empty(self.raw[key][n], kind) for n in rows]
                for key, kind in self._types.items()
            }
        )

    def texts(self, column: str, rows: Ints) -> pl.Series:
        values = [as_text(self.raw[column][n]) for n in rows]
        return pl.Series(column, values, pl.String)

    def shown(self, column: str, row: int) -> str:
        return as_json({column: self.raw[column][row]})


def _is_empty(value: Any, kind: ColumnType) -> bool:
    if isinstance(value, float):
        return value != value and kind.optional
    return value is None or value == "" or (value == [] and kind.empty_is_missing)


def empty_rows(source: Source) -> pl.DataFrame:
    """No rows of a source."""
    rows = pl.DataFrame(schema={c: kind.polars for c, kind in source.types.items()})
    return add_begin(rows, source.begin, np.array([], np.int64), Reasons(0))


def broken_block(source: Source, why: str) -> Block:
    """The last block of a file whose rest cannot be read."""
    rows = empty_rows(source).with_columns(pl.Series(LINE, [], pl.Int64))
    return Block(rows, (), 0, 0, why)


def add_reasons(
    reasons: Reasons,
    lines: Ints,
    values: pl.DataFrame,
    raw: RawValues,
    types: Types,
) -> None:
    """Finds the lines whose values cannot be used.

    Args:
        reasons: Gets them.
        lines: Position of each row's line [G].
        values: The declared columns [G]; null where a value is empty or unreadable.
        raw: The same as the file has them.
        types: Column -> its declared type.
    """
    odd = [_is_suspect(column, kind) for column, kind in types.items()]
    suspects = np.flatnonzero(values.select(pl.any_horizontal(odd)).to_series())
    if len(suspects):
        empty, suspicious = raw.empty(suspects), values[suspects]
        for column, kind in types.items():
            found = _Suspects(column, suspects, suspicious[column], empty[column])
            for reason, rows in _judge(found, kind, raw).items():
                _tell(f"{column}: {reason}", column, rows, lines, raw, reasons)


def type_columns(
    raw: pl.DataFrame,
    lines: Ints,
    source: Source,
    reasons: Reasons,
) -> pl.DataFrame:
    """The declared columns [G] of typed raw ones [G], and what is wrong with them.

    Args:
        raw: Every declared column, of any type.
        lines: Position of each row's line [G].
        source: What is declared.
        reasons: Gets why a row is none.
    """
    types, units = source.types, source.units
    values = raw.select(
        convert(raw[column], kind, units.get(column)) for column, kind in types.items()
    )
    for column, unit in units.items():
        _judge_clocks(raw[column], values[column], unit.zone, lines, reasons)
    for column, kind in types.items():
        if isinstance(kind, Whole):
            inexact = whole_numbers.is_inexact(raw[column]).to_numpy()
            reasons.add(f"{column}: {whole_numbers.INEXACT}", lines[inexact])
        if isinstance(kind, Timestamp):
            _judge_clocks(raw[column], values[column], kind.clock, lines, reasons)
            note_local_texts(plain_texts(raw[column]), kind, reasons)
    looked_at = TypedValues(raw, types)
    add_reasons(reasons, lines, values, looked_at, types)
    return add_begin(values, source.begin, lines, reasons)


def add_begin(
    rows: pl.DataFrame, begin: Begin | None, lines: Ints, reasons: Reasons
) -> pl.DataFrame:
    """The rows [G] with the moment at which they begin, if they are of a log."""
    return rows if begin is None else begin.add(rows, lines, reasons)


def note_local_texts(raw: pl.Series, kind: ColumnType, reasons: Reasons) -> None:
    """Notes how many texts of a column of moments were read as some zone's."""
    if isinstance(kind, Timestamp) and raw.dtype == pl.String:
        for note, count in times.iso_notes(raw, raw.name, kind.clock):
            reasons.note(note, count)


def _judge_clocks(
    raw: pl.Series, values: pl.Series, zone: str, lines: Ints, reasons: Reasons
) -> None:
    """Timestamps without a zone: those that are no moment, and what is assumed."""
    if not isinstance(raw.dtype, pl.Datetime) or raw.dtype.time_zone or not zone:
        return
    never = raw.is_not_null() & values.is_null()
    reasons.add(f"{raw.name}: {times.skipped(zone)}", lines[never.to_numpy()])
    for note, count in times.clock_notes(raw, raw.name, zone):
        reasons.note(note, count)


class _Suspects(NamedTuple):
    """Rows [S] of which some column has no usable value.

    Attributes:
        column: The column that is judged.
        rows: Their positions.
        values: What was read.
        empty: Whether the raw value is missing.
    """

    column: str
    rows: Ints
    values: pl.Series
    empty: pl.Series


def _is_suspect(column: str, kind: ColumnType) -> pl.Expr:
    value = pl.col(column)
    if kind.polars.is_float():
        return value.is_null() | ~value.is_finite().fill_null(False)
    if isinstance(kind, Whole) and kind.outside:
        return value.is_null() | ~value.is_between(kind.low, kind.high)
    return value.is_null()


def _judge(found: _Suspects, kind: ColumnType, raw: RawValues) -> dict[str, Ints]:
    """Reason -> the rows that it holds for; an optional NaN is an empty one."""
    value, rows = found.values, found.rows
    unreadable = value.is_null() & ~found.empty
    if value.dtype.is_float():
        unreadable |= value.is_infinite().fill_null(False)
        unreadable |= value.is_nan().fill_null(False) & (not kind.optional)
    told = {"empty": rows[(found.empty & (not kind.optional)).to_numpy()]}
    if isinstance(kind, Whole) and kind.outside:
        outside = ~value.is_between(kind.low, kind.high).fill_null(True)
        large = raw.texts(found.column, rows).str.contains(_TOO_LARGE).fill_null(False)
        told[kind.outside] = rows[(outside | (unreadable & large)).to_numpy()]
    if isinstance(kind, Timestamp) and unreadable.any():
        told |= _judge_moments(rows[unreadable.to_numpy()], found.column, kind, raw)
    return told | {kind.unreadable: rows[unreadable.to_numpy()]}


def _judge_moments(
    rows: Ints, column: str, kind: Timestamp, raw: RawValues
) -> dict[str, Ints]:
    """Why texts are no moment, where it is for want of a zone."""
    reasons = times.iso_reasons(raw.texts(column, rows), kind.clock)
    return {
        reason: rows[holds.fill_null(False).to_numpy()]
        for reason, holds in reasons.items()
        if reason != times.NO_TIME
    }


def _tell(
    reason: str,
    column: str,
    rows: Ints,
    lines: Ints,
    raw: RawValues,
    reasons: Reasons,
) -> None:
    """Gives a reason to the lines of some rows, with the first one's value."""
    if len(rows):
        reasons.add(reason, lines[rows])
        reasons.show(reason, raw.shown(column, int(rows[0])))


def as_json(row: Mapping[str, Any]) -> str:
    """A row of raw values as one line of JSON, whatever they are."""
    return orjson.dumps({key: _shown(row[key]) for key in row}, default=str).decode()


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    if isinstance(value, list):
        return [_shown(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
