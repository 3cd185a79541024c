"""Raw values of any format -> a declared type: one table from type to what is read.

A file's typed columns (Parquet, tf.Examples), texts (CSV) and JSON's values give the
same column of the same values; null stands for what is missing and for what does not
fit. Which of the two it was, and why, is told by `values.add_reasons`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from feature_specs.column_types import (
    Bool,
    ColumnType,
    Date,
    Floating,
    ListOf,
    Text,
    Timestamp,
    Vector,
    Whole,
)
from pipeline.arrays import Bools, Ints
from pipeline.examples.reading import times, whole_numbers
from pipeline.examples.reading.times import TimeUnit

_TRUE, _FALSE = ("true", "t", "1", "1.0"), ("false", "f", "0", "0.0")
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_INT64_CHARACTERS = 20
_BETWEEN = r"(?:\s*[,;]\s*|\s+)"
# Numbers with or without brackets: [0.1, 0.2] and 0.1 0.2; a missing one is no number.
_NUMBERS = (
    rf"^\s*(?:\[\s*(?:{_NUMBER}(?:{_BETWEEN}{_NUMBER})*)?\s*\]"
    rf"|{_NUMBER}(?:{_BETWEEN}{_NUMBER})*)\s*$"
)
_TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null)


def is_convertible(
    dtype: pl.DataType, kind: ColumnType, unit: TimeUnit | None = None
) -> bool:
    """Whether a column of a typed file can hold values of a declared type at all.

    Args:
        dtype: The file's type.
        kind: The declared type.
        unit: See `convert`.
    """
    if dtype in _TEXTS:
        return True
    if isinstance(dtype, pl.Datetime) and unit:
        return True
    return _HOLDS[type(kind)](dtype, kind)


def declared_as(dtype: pl.DataType) -> str:
    """What a column of a typed file is declared as; "" for what is no type here."""
    inner = _inner(dtype)
    if inner is not None:
        if isinstance(dtype, pl.Array) and inner.is_float():
            return f"vector<{dtype.size}>"
        found = declared_as(inner)
        return f"list<{found}>" if found and _inner(inner) is None else ""
    if dtype in (pl.String, pl.Binary, pl.Categorical, pl.Enum):
        return "string"
    if dtype.is_integer() or dtype.is_float():
        return str(dtype).lower()
    names = {pl.Boolean: "bool", pl.Date: "date", pl.Datetime: "timestamp"}
    return next((name for known, name in names.items() if dtype == known), "")


def convert(
    raw: pl.Series, kind: ColumnType, unit: TimeUnit | None = None
) -> pl.Series:
    """Typed raw values as a declared column; null where a value does not fit.

    Whole floats and decimals count as whole numbers, true as 1, digits as a number, a
    whole number as text.

    Args:
        raw: Values [B] of any type.
        kind: The declared type.
        unit: If the column is a time that is declared as a number or a text.
    """
    raw = plain_texts(raw)
    if isinstance(raw.dtype, pl.Datetime) and unit and not kind.has_clock:
        return times.since_epoch(raw, unit).cast(kind.polars)
    if not is_convertible(raw.dtype, kind):
        return pl.Series(raw.name, [None] * len(raw), kind.polars)
    return _CONVERTS[type(kind)](raw, kind).alias(raw.name)


def from_python(values: Sequence[Any], kind: ColumnType) -> pl.Series:
    """Values of a JSON document as a declared column; null where one does not fit.

    A text is no number, however it looks; 1.0 is a whole number, true is 1, a whole
    number is a text too.
    """
    return _FROM_PYTHON[type(kind)](values, kind)


def is_missing(raw: pl.Series, kind: ColumnType) -> pl.Series:
    """Whether each raw value is missing: null, a text without a character, no number
    where a vector is declared, or NaN in a column of numbers that may be empty."""
    missing = raw.is_null()
    may_be_nan = kind.is_number and kind.optional
    if raw.dtype == pl.Binary:
        missing |= (raw.bin.size() == 0).fill_null(True)
        raw = _decode(raw) if may_be_nan else raw
    if raw.dtype == pl.String:
        missing |= (raw == "").fill_null(True)
    if may_be_nan and raw.dtype.is_float():
        missing |= raw.is_nan().fill_null(False)
    if may_be_nan and raw.dtype == pl.String:
        missing |= (raw.str.to_lowercase() == "nan").fill_null(False)
    if kind.empty_is_missing and isinstance(raw.dtype, pl.List):
        missing |= (raw.list.len() == 0).fill_null(True)
    return missing


def plain_texts(raw: pl.Series) -> pl.Series:
    """Texts of all sorts as String, null where bytes are no UTF-8; else as it is."""
    if raw.dtype in (pl.Categorical, pl.Enum):
        return raw.cast(pl.String)
    return _decode(raw) if raw.dtype == pl.Binary else raw


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


def _null_if_empty(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values
    return pl.select(pl.when(values != "").then(values)).to_series()


# --- one value ------------------------------------------------------------------------


def _holds_number(dtype: pl.DataType, kind: ColumnType) -> bool:
    del kind
    return dtype.is_numeric() or dtype == pl.Boolean


def _holds_text(dtype: pl.DataType, kind: ColumnType) -> bool:
    del kind
    return dtype.is_integer()


def _holds_date(dtype: pl.DataType, kind: ColumnType) -> bool:
    del kind
    return dtype == pl.Date


def _holds_timestamp(dtype: pl.DataType, kind: ColumnType) -> bool:
    del kind
    return isinstance(dtype, pl.Datetime) or dtype.is_integer() or dtype.is_float()


def _to_whole(raw: pl.Series, kind: Whole) -> pl.Series:
    if raw.dtype == pl.String:
        found = whole_numbers.from_texts(raw)
    elif raw.dtype.is_float() or raw.dtype.is_decimal():
        found = whole_numbers.from_numbers(raw)
    else:
        found = raw.cast(pl.Int64, strict=False)
    return found


def _to_floating(raw: pl.Series, kind: Floating) -> pl.Series:
    return raw.cast(kind.polars, strict=False)


def _to_text(raw: pl.Series, kind: Text) -> pl.Series:
    return _null_if_empty(raw.cast(kind.polars, strict=False))


def _to_bool(raw: pl.Series, kind: Bool) -> pl.Series:
    if raw.dtype in (pl.Boolean, pl.Null):
        return raw.cast(kind.polars)
    value = pl.lit(raw)
    if raw.dtype == pl.String:
        value = value.str.to_lowercase()
        is_true, is_false = value.is_in(_TRUE), value.is_in(_FALSE)
    else:
        is_true, is_false = value == 1, value == 0
    return pl.select(pl.when(is_true | is_false).then(is_true)).to_series()


def _to_date(raw: pl.Series, kind: Date) -> pl.Series:
    if raw.dtype != pl.String:
        return raw.cast(kind.polars)
    day = pl.when(pl.lit(raw).str.contains(_DAY)).then(pl.lit(raw))
    return pl.select(day.str.to_date("%Y-%m-%d", strict=False)).to_series()


def _to_timestamp(raw: pl.Series, kind: Timestamp) -> pl.Series:
    value = pl.lit(raw)
    if raw.dtype == pl.String:
        ms = pl.coalesce(times.iso_ms(value, kind.clock), times.text_epoch_ms(value))
    elif isinstance(raw.dtype, pl.Datetime):
        ms = times.moment_of(raw, kind.clock).dt.epoch("ms")
    elif raw.dtype.is_numeric():
        ms = times.epoch_ms(value)
    else:
        ms = value.cast(pl.Int64)
    moment = ms.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return pl.select(moment.dt.convert_time_zone(kind.zone)).to_series()


def _plain_from_python(values: Sequence[Any], kind: ColumnType) -> pl.Series:
    """Of types that Polars checks by itself, as a rule."""
    wanted = kind.polars
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


def _texts_from_python(values: Sequence[Any], kind: ColumnType) -> pl.Series:
    """Of types that are read from texts: a number is read as its digits."""
    return convert(pl.Series([as_text(v) for v in values], dtype=pl.String), kind)


def as_text(value: Any) -> str | None:
    """A text, or the digits of a number, or true and false; None for all else."""
    if isinstance(value, (str, bool, int, float)):
        return str(value)
    return None


# --- several values -------------------------------------------------------------------


def _holds_list(dtype: pl.DataType, kind: ColumnType) -> bool:
    assert isinstance(kind, ListOf)
    inner = _inner(dtype)
    return inner is not None and is_convertible(inner, kind.inner)


def _holds_vector(dtype: pl.DataType, kind: ColumnType) -> bool:
    del kind
    inner = _inner(dtype)
    return inner is not None and (inner.is_numeric() or inner == pl.Null)


def _inner(dtype: pl.DataType) -> pl.DataType | None:
    """The type of a list's values; None if it is none."""
    if isinstance(dtype, (pl.List, pl.Array)):
        return cast(pl.DataType, dtype.inner)
    return None


def _to_list(raw: pl.Series, kind: ListOf) -> pl.Series:
    if raw.dtype == pl.String:
        return _distinct(raw, lambda texts: _list_from_texts(texts, kind))
    if raw.dtype == pl.Null:
        return raw.cast(kind.polars)
    lengths, flat = _flatten(raw)
    flat = plain_texts(flat) if flat.dtype != pl.Binary else flat
    inner = convert(flat, kind.inner)
    wrong = inner.is_null() & ~_has_no_value(flat)
    return _relist(lengths, inner, wrong, raw.is_null(), kind)


def _has_no_value(flat: pl.Series) -> pl.Series:
    """Where a value of a list is missing, which lists may have."""
    missing = flat.is_null()
    if flat.dtype == pl.Binary:
        missing |= (flat.bin.size() == 0).fill_null(True)
    if flat.dtype == pl.String:
        missing |= (flat == "").fill_null(True)
    return missing


def _list_from_texts(texts: pl.Series, kind: ListOf) -> pl.Series:
    return _list_from_python(texts.to_list(), kind)


def _list_from_python(values: Sequence[Any], kind: ListOf) -> pl.Series:
    lists = [_as_list(value, kind) for value in values]
    flat = [part for value in lists for part in value or ()]
    inner = from_python(flat, kind.inner)
    empty = pl.Series([_is_no_value(part) for part in flat], dtype=pl.Boolean)
    lengths = np.array([len(value or ()) for value in lists], np.int64)
    absent = pl.Series([value is None for value in lists], dtype=pl.Boolean)
    return _relist(lengths, inner, inner.is_null() & ~empty, absent, kind)


def _as_list(value: Any, kind: ListOf) -> list[Any] | None:
    """A list, or what a text has of one: JSON, or numbers with blanks between."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else None
    if value.lstrip().startswith("["):
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, list):
            return found
    if kind.inner.is_number and re.match(_NUMBERS, value):
        return [_number(part) for part in re.findall(_NUMBER, value)]
    return None


def _number(text: str) -> int | float:
    is_whole = len(text) <= _INT64_CHARACTERS and text.lstrip("+-").isdigit()
    return int(text) if is_whole else float(text)


def _is_no_value(value: Any) -> bool:
    return value is None or value == "" or value != value


def _to_vector(raw: pl.Series, kind: Vector) -> pl.Series:
    if raw.dtype == pl.String:
        raw = _numbers_of_texts(raw)
    if raw.dtype == pl.Null:
        return pl.Series(raw.name, [None] * len(raw), kind.polars)
    lengths, flat = _flatten(raw)
    numbers = flat.cast(pl.Float32, strict=False).fill_null(np.nan).to_numpy()
    return _as_vectors(lengths, numbers, kind)


def _numbers_of_texts(texts: pl.Series) -> pl.Series:
    """`[0.1, 0.2]` and `0.1 0.2` as lists; null for what is no list of numbers."""
    text = pl.lit(texts)
    parts = pl.when(text.str.contains(_NUMBERS)).then(text.str.extract_all(_NUMBER))
    numbers = parts.list.eval(pl.element().cast(pl.Float32, strict=False))
    return pl.select(numbers).to_series()


def _vector_from_python(values: Sequence[Any], kind: Vector) -> pl.Series:
    texts = [value if isinstance(value, str) else None for value in values]
    parsed = _numbers_of_texts(pl.Series(texts, dtype=pl.String)).to_list()
    read = [
        value if isinstance(value, list) else text
        for value, text in zip(values, parsed, strict=True)
    ]
    lists = [value or () for value in read]
    numbers = np.array([_as_float(p) for value in lists for p in value], np.float64)
    with np.errstate(over="ignore"):
        flat = numbers.astype(np.float32)
    return _as_vectors(np.array([len(v) for v in lists], np.int64), flat, kind)


def _as_float(value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if number else np.nan
    except OverflowError:
        return np.inf


def _as_vectors(lengths: Ints, numbers: np.ndarray, kind: Vector) -> pl.Series:
    """Lists of floats, flat, as vectors [B]; null where one is not all finite."""
    fits = lengths == kind.width
    kept = numbers[np.repeat(fits, lengths)].reshape(-1, kind.width)
    finite = np.isfinite(kept).all(axis=1)
    whole = np.zeros((len(lengths), kind.width), np.float32)
    whole[fits] = np.where(finite[:, np.newaxis], kept, 0)
    known = fits.copy()
    known[fits] = finite
    vectors = pl.Series(whole, dtype=kind.polars)
    return pl.select(pl.when(pl.Series(known)).then(vectors)).to_series()


def _flatten(raw: pl.Series) -> tuple[Ints, pl.Series]:
    """(how many values each list has, 0 for null [B]; all values one after another)."""
    if isinstance(raw.dtype, pl.Array):
        raw = raw.arr.to_list()
    lengths = raw.list.len().fill_null(0).to_numpy().astype(np.int64)
    lists = raw.to_arrow(compat_level=pl.CompatLevel.oldest())
    return lengths, pl.Series(pl.from_arrow(lists.flatten()))


def _relist(
    lengths: Ints, inner: pl.Series, wrong: pl.Series, absent: pl.Series, kind: ListOf
) -> pl.Series:
    """Flat values as lists [B]; null where one is absent or has a wrong value.

    Args:
        lengths: Of each list.
        inner: All values.
        wrong: Whether a value is none of its type.
        absent: Whether there is no list.
        kind: The declared type.
    """
    if inner.dtype.is_float():
        wrong = wrong | inner.is_infinite().fill_null(False)
        inner = inner.fill_nan(None)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = inner.to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    made = pl.Series(pl.from_arrow(lists)).cast(kind.polars)
    known = ~absent.to_numpy() & ~_any_within(wrong.to_numpy(), lengths)
    return pl.select(pl.when(pl.Series(known)).then(made)).to_series()


def _any_within(flags: Bools, lengths: Ints) -> Bools:
    """Whether a list has a flagged value [B]."""
    if not flags.any():
        return np.zeros(len(lengths), bool)
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(owners[flags], minlength=len(lengths)) > 0


def _distinct(texts: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What a reader of texts makes of them [B], each text read once."""
    known = texts.unique()
    if len(known) == len(texts):
        return read(texts)
    table = pl.DataFrame({"text": known, "value": read(known)})
    asked = pl.DataFrame({"text": texts})
    joined = asked.join(
        table, on="text", how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["value"]


# --- the tables -----------------------------------------------------------------------

_HOLDS: dict[type[ColumnType], Callable[[pl.DataType, ColumnType], bool]] = {
    Bool: _holds_number,
    Whole: _holds_number,
    Floating: _holds_number,
    Text: _holds_text,
    Date: _holds_date,
    Timestamp: _holds_timestamp,
    ListOf: _holds_list,
    Vector: _holds_vector,
}
_CONVERTS: dict[type[ColumnType], Callable[[pl.Series, Any], pl.Series]] = {
    Bool: _to_bool,
    Whole: _to_whole,
    Floating: _to_floating,
    Text: _to_text,
    Date: _to_date,
    Timestamp: _to_timestamp,
    ListOf: _to_list,
    Vector: _to_vector,
}
_FROM_PYTHON: dict[type[ColumnType], Callable[[Sequence[Any], Any], pl.Series]] = {
    Bool: _texts_from_python,
    Whole: _plain_from_python,
    Floating: _plain_from_python,
    Text: _plain_from_python,
    Date: _texts_from_python,
    Timestamp: _texts_from_python,
    ListOf: _list_from_python,
    Vector: _vector_from_python,
}
