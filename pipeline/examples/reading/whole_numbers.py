"""Whole numbers as other programs write them: `12.0`, `12.`, `1e3`, but not `12.5`.

pandas turns a column of whole numbers into floats as soon as one is missing, and writes
12 as `12.0`. Such a text is the number it stands for, to the last digit. A float that
several numbers share (from 2^53 on) is not taken for any: nobody can say which it was.
"""

from __future__ import annotations

import decimal

import polars as pl

INEXACT = "a float too large to be exact (write a whole number)"

_POINT_ZERO = r"^([+-]?[0-9]+)\.0*$"
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_MOST_CHARACTERS = 400  # a float64 written without an exponent has 309 digits
_INT64_DIGITS = 19
# Whole floats below are exact; from here on, several numbers share one float.
_INEXACT_FROM: dict[pl.DataType, int] = {pl.Float32(): 2**24, pl.Float64(): 2**53}
_FLOAT_LIMIT = _INEXACT_FROM[pl.Float64()]


def from_texts(texts: pl.Series) -> pl.Series:
    """Texts [B] as int64 [B]; null where one is no whole number of 64 bits."""
    plain = texts.cast(pl.Int64, strict=False)
    if plain.null_count() == texts.null_count():
        return plain
    point = texts.str.extract(_POINT_ZERO).cast(pl.Int64, strict=False)
    found = pl.select(pl.coalesce(plain, point)).to_series().alias(texts.name)
    rest = found.is_null() & texts.str.contains(_NUMBER).fill_null(False)
    if not rest.any():
        return found
    others = texts.filter(rest).unique()
    values = pl.Series([_whole(text) for text in others], dtype=pl.Int64)
    read = texts.replace_strict(others, values, default=None, return_dtype=pl.Int64)
    return pl.select(pl.coalesce(found, read)).to_series().alias(texts.name)


def from_numbers(raw: pl.Series) -> pl.Series:
    """Floats or decimals [B] as int64 [B]; null where one is none, or not exact."""
    whole = raw.cast(pl.Int64, strict=False)
    same = whole.cast(raw.dtype, strict=False) == raw
    if raw.dtype in _INEXACT_FROM:
        same &= raw.abs() < _INEXACT_FROM[raw.dtype]
    return whole.set(~same.fill_null(False), None)


def is_inexact(raw: pl.Series) -> pl.Series:
    """Where a float [B] is whole, and too large to say which number it was."""
    if raw.dtype not in _INEXACT_FROM:
        return pl.repeat(False, len(raw), eager=True)
    large = raw.is_finite() & (raw.abs() >= _INEXACT_FROM[raw.dtype])
    return large.fill_null(False)


def from_float(value: float) -> int | None:
    """One float as a whole number; None where it is none, or not exact."""
    exact = value.is_integer() and abs(value) < _FLOAT_LIMIT
    return int(value) if exact else None


def _whole(text: str) -> int | None:
    if len(text) > _MOST_CHARACTERS:
        return None
    try:
        value = decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent beyond all bounds
        return None
    if not value.is_finite() or value.adjusted() >= _INT64_DIGITS:
        return 0 if value == 0 else None
    if value != value.to_integral_value():
        return None
    whole = int(value)
    return whole if -(2**63) <= whole < 2**63 else None
