"""Raw values of any format -> the declared columns, and why a value cannot be one.

The same few reasons for every format: `<column>: empty`, `not a whole number`, `not a
number`, `not text`, `not a plausible value`. NaN in a column of numbers is an empty
value if the column may be empty, else no number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl

from feature_specs import expressions
from pipeline.arrays import Ints
from pipeline.examples.reading import times, whole_numbers
from pipeline.examples.reading.blocks import LINE, Block, Reasons
from pipeline.examples.reading.sources import Source
from pipeline.examples.reading.times import ISO, PER_SECOND, TimeUnit

Limits = Mapping[str, tuple[int, int]]

_UNREADABLE = {
    "int64": "not a whole number",
    "float64": "not a number",
    "string": "not text",
}


def declared_type(kind: str) -> pl.DataType:
    """The Polars type of a declared column."""
    return expressions.polars_type(kind) or pl.String()


def empty_rows(declared: Mapping[str, str]) -> pl.DataFrame:
    """No rows of the declared columns."""
    return pl.DataFrame(schema={c: declared_type(kind) for c, kind in declared.items()})


def broken_block(declared: Mapping[str, str], why: str) -> Block:
    """The last block of a file whose rest cannot be read."""
    rows = empty_rows(declared).with_columns(pl.Series(LINE, [], pl.Int64))
    return Block(rows, (), 0, 0, why)


def add_reasons(
    reasons: Reasons,
    lines: Ints,
    values: pl.DataFrame,
    is_empty: Callable[[Ints], pl.DataFrame],
    declared: Mapping[str, str],
    limits: Limits,
    units: Mapping[str, TimeUnit],
) -> None:
    """Finds the lines whose values cannot be used.

    Args:
        reasons: Gets them.
        lines: Position of each row's line [G].
        values: The declared columns [G]; null where a value is empty or unreadable.
        is_empty: Positions of rows [S] -> for each declared column whether their raw
            value is empty [S].
        declared: Column -> `int64`, `float64` or `string`, with `?` if it may be empty.
        limits: Column -> lowest and highest value that can be believed.
        units: Time column -> its unit.
    """
    odd = [_is_suspect(column, kind) for column, kind in declared.items()]
    suspects = np.flatnonzero(values.select(pl.any_horizontal(odd)).to_series())
    if len(suspects):
        empty, suspicious = is_empty(suspects), values[suspects]
        for column, kind in declared.items():
            judged = _judge(suspicious[column], empty[column], kind)
            for reason, holds in judged.items():
                reasons.add(f"{column}: {reason}", lines[suspects[holds.to_numpy()]])
    for column, unit in units.items():
        if unit.unit == ISO:
            _judge_texts(values[column], unit.zone, lines, reasons)
    for column, believed in limits.items():
        _judge_size(values[column], believed, units.get(column), lines, reasons)


def _judge_texts(texts: pl.Series, zone: str, lines: Ints, reasons: Reasons) -> None:
    for reason, holds in times.iso_reasons(texts, zone).items():
        reasons.add(f"{texts.name}: {reason}", lines[holds.to_numpy()])
    for note, count in times.iso_notes(texts, texts.name, zone):
        reasons.note(note, count)


def _judge_size(
    values: pl.Series,
    believed: tuple[int, int],
    unit: TimeUnit | None,
    lines: Ints,
    reasons: Reasons,
) -> None:
    """Finds values too low or too high, and times that another unit would explain."""
    column = values.name
    if unit and unit.unit == ISO:
        values = pl.select(times.iso_ms(pl.lit(values), unit.zone)).to_series()
    beyond = ~values.is_between(*believed).fill_null(True)
    reasons.add(f"{column}: not a plausible value", lines[beyond.to_numpy()])
    if not unit or unit.unit == ISO or not beyond.any():
        return
    odd = values.filter(beyond)
    for other, per_second in PER_SECOND.items():
        low, high = (bound * per_second // unit.per_second for bound in believed)
        fitting = int(odd.is_between(low, high).sum())
        if fitting and other != unit.unit:
            reasons.note(times.other_unit(column, unit.unit, other), fitting)


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
    declared, units = source.columns, source.units
    values = raw.select(
        convert(raw[column], kind, units.get(column))
        for column, kind in declared.items()
    )
    for column, unit in units.items():
        _judge_clocks(raw[column], values[column], unit, lines, reasons)

    def find_empty(suspects: Ints) -> pl.DataFrame:
        some = raw[suspects]
        return some.select(is_missing(some[c], kind) for c, kind in declared.items())

    for column, kind in declared.items():
        if declared_type(kind) == pl.Int64:
            inexact = whole_numbers.is_inexact(raw[column]).to_numpy()
            reasons.add(f"{column}: {whole_numbers.INEXACT}", lines[inexact])
    add_reasons(reasons, lines, values, find_empty, declared, source.limits, units)
    return values


def _judge_clocks(
    raw: pl.Series, values: pl.Series, unit: TimeUnit, lines: Ints, reasons: Reasons
) -> None:
    """Timestamps without a zone: those that are no moment, and what is assumed."""
    if not isinstance(raw.dtype, pl.Datetime) or raw.dtype.time_zone:
        return
    never = raw.is_not_null() & values.is_null()
    reasons.add(f"{raw.name}: {times.skipped(unit.zone)}", lines[never.to_numpy()])
    for note, count in times.clock_notes(raw, raw.name, unit.zone):
        reasons.note(note, count)


def _is_suspect(column: str, kind: str) -> pl.Expr:
    value = pl.col(column)
    if kind.startswith("float64"):
        return value.is_null() | ~value.is_finite().fill_null(False)
    return value.is_null()


def _judge(value: pl.Series, empty: pl.Series, kind: str) -> dict[str, pl.Series]:
    """Reason -> the rows that it holds for; an optional NaN is an empty one."""
    required = not kind.endswith("?")
    unreadable = value.is_null() & ~empty
    if value.dtype.is_float():
        unreadable |= value.is_infinite().fill_null(False)
        unreadable |= value.is_nan().fill_null(False) & required
    return {"empty": empty & required, _UNREADABLE[kind.rstrip("?")]: unreadable}


def is_missing(raw: pl.Series, kind: str) -> pl.Series:
    """Whether each raw value is missing: null, a text without a character, or NaN in a
    column of numbers that may be empty."""
    missing = raw.is_null()
    may_be_nan = kind in ("int64?", "float64?")
    if raw.dtype == pl.Binary:
        missing |= (raw.bin.size() == 0).fill_null(True)
        raw = _decode(raw) if may_be_nan else raw
    if raw.dtype == pl.String:
        missing |= (raw == "").fill_null(True)
    if may_be_nan and raw.dtype.is_float():
        missing |= raw.is_nan().fill_null(False)
    if may_be_nan and raw.dtype == pl.String:
        missing |= (raw.str.to_lowercase() == "nan").fill_null(False)
    return missing


def is_convertible(dtype: pl.DataType, kind: str, unit: TimeUnit | None) -> bool:
    """Whether a column of a typed file can hold values of a declared type at all.

    Args:
        dtype: The file's type.
        kind: The declared type.
        unit: See `convert`.
    """
    texts = (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null)
    if dtype.is_integer() or dtype in texts:
        return True
    if dtype == pl.Datetime:
        return unit is not None
    return not kind.startswith("string") and (dtype.is_numeric() or dtype == pl.Boolean)


def convert(raw: pl.Series, kind: str, unit: TimeUnit | None = None) -> pl.Series:
    """Typed raw values as a declared column; null where a value does not fit.

    Whole floats and decimals count as whole numbers, true as 1, digits as a number, a
    whole number as text.

    Args:
        raw: Values [B] of any type.
        kind: The declared type.
        unit: If the column is a time.
    """
    wanted = declared_type(kind)
    if raw.dtype in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    if raw.dtype == pl.Binary:
        raw = _decode(raw)
    if raw.dtype == wanted:
        return _null_if_empty(raw)
    if raw.dtype == pl.Datetime and unit:
        return _since_epoch(raw, unit).cast(wanted)
    if not is_convertible(raw.dtype, kind, None):
        return pl.Series(raw.name, [None] * len(raw), wanted)
    if wanted == pl.Int64 and (raw.dtype.is_float() or raw.dtype.is_decimal()):
        return whole_numbers.from_numbers(raw)
    if wanted == pl.Int64 and raw.dtype == pl.String:
        return whole_numbers.from_texts(raw)
    return raw.cast(wanted, strict=False)


def _null_if_empty(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values
    return pl.select(pl.when(values != "").then(values)).to_series()


def _decode(raw: pl.Series) -> pl.Series:
    """Bytes as text, null where they are no UTF-8."""
    try:
        return raw.cast(pl.String)
    except pl.exceptions.ComputeError:  # which does not say where
        return pl.Series(raw.name, [_decode_one(value) for value in raw], pl.String)


def _decode_one(value: bytes | None) -> str | None:
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None


def _since_epoch(raw: pl.Series, unit: TimeUnit) -> pl.Series:
    """Timestamps in a unit, or as ISO texts; without a zone they are the unit's."""
    if getattr(raw.dtype, "time_zone", None) is None:
        raw = pl.select(times.moment(pl.lit(raw), unit.zone)).to_series()
    if unit.unit == ISO:
        return raw.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    assert isinstance(raw.dtype, pl.Datetime)
    ticks, wanted = PER_SECOND[raw.dtype.time_unit], PER_SECOND[unit.unit]
    since = raw.to_physical()
    return since // (ticks // wanted) if ticks > wanted else since * (wanted // ticks)


def from_python(values: list[Any], kind: str) -> pl.Series:
    """Values of a JSON document as a declared column; null where one does not fit.

    A text is no number, however it looks; 1.0 is a whole number, true is 1, a whole
    number is a text too.
    """
    wanted = declared_type(kind)
    try:
        return _null_if_empty(pl.Series(values=values, dtype=wanted))
    except TypeError:  # some value is of another type, or beyond 64 bits
        fitting = [_fit(value, wanted) for value in values]
        return _null_if_empty(pl.Series(values=fitting, dtype=wanted))


def _fit(value: Any, wanted: pl.DataType) -> Any:
    if wanted == pl.String:
        if type(value) is int:
            return str(value)
        return value if isinstance(value, str) else None
    if not isinstance(value, (int, float)):
        return None
    if wanted == pl.Float64:
        return float(value)
    if isinstance(value, float):
        return whole_numbers.from_float(value)
    return int(value) if -(2**63) <= value < 2**63 else None


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
