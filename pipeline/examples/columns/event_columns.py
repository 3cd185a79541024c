"""The SQL aggregates of a spec's events, carried on from event to event.

Of each impression and each moment at which it has events there is one row: what the
columns are, with all its events up to then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import polars as pl

from feature_specs.aggregates import PART, Aggregated, Part
from feature_specs.missing import evaluate_all
from pipeline.examples.columns.evaluate import number_values

ROW, MS = "_row", "_ms"  # of an event: its impression's row, and its unix milliseconds
_MOST = 2.0**62  # a sum of whole numbers beyond is missing: it may have wrapped around
_VALUE = "_value"


def columns_over_time(
    events: pl.DataFrame, columns: Mapping[str, Aggregated]
) -> pl.DataFrame:
    """`ROW`, `MS` and the columns, one row for each moment that an impression has.

    Args:
        events: Of impressions, sorted by `ROW`, `MS`, and beyond these in an order that
            does not change from run to run; with the columns that aggregates read.
        columns: Column -> its SQL, taken apart.
    """
    moments = pl.struct(ROW, MS)
    last = events.select((moments != moments.shift(-1)).fill_null(True)).to_series()
    parts = {part for found in columns.values() for part in found.parts}
    carried = _carried(events, sorted(parts, key=repr))
    made = events.select(ROW, MS).filter(last)
    for name, found in columns.items():
        values = pl.DataFrame(
            carried[part].filter(last).alias(f"{PART}{number}")
            for number, part in enumerate(found.parts)
        )
        made = made.with_columns(evaluate_all(values, {name: found.text}))
    return made


def columns_of_none(
    events: pl.DataFrame, columns: Mapping[str, Aggregated]
) -> pl.DataFrame:
    """The columns of an impression without events, in one row.

    Args:
        events: Any, for the types of what aggregates read.
        columns: Column -> its SQL, taken apart.
    """
    parts = {part for found in columns.values() for part in found.parts}
    types = {part: s.dtype for part, s in _carried(events.clear(), list(parts)).items()}
    made: list[pl.Series] = []
    for name, found in columns.items():
        values = pl.DataFrame(
            pl.Series(f"{PART}{number}", [part.of_none], types[part])
            for number, part in enumerate(found.parts)
        )
        made.append(evaluate_all(values, {name: found.text})[name])
    return pl.DataFrame(made)


def _carried(events: pl.DataFrame, parts: list[Part]) -> dict[Part, pl.Series]:
    """Each aggregate's value of an impression's events so far, at each event."""
    texts = {part.argument for part in parts if part.argument}
    texts |= {part.where for part in parts if part.where}
    named = {f"_text_{number}": text for number, text in enumerate(sorted(texts))}
    names = {text: name for name, text in named.items()}
    known = events.select(ROW).hstack(evaluate_all(events, named).select(*named))
    found = {}
    for part in parts:
        takes = pl.lit(True)
        if part.where:
            takes = pl.col(names[part.where]).cast(pl.Boolean).fill_null(False)
        value = pl.lit(1)
        if part.argument:
            value = pl.col(names[part.argument])
            takes &= value.is_not_null()
        taken = known.select(ROW, pl.when(takes).then(value).alias(_VALUE))
        found[part] = _CARRY[part.function](taken, part)
    return found


def _count(taken: pl.DataFrame, part: Part) -> pl.Series:
    counted = pl.col(_VALUE).is_not_null()
    if part.distinct:
        counted &= pl.struct(ROW, _VALUE).is_first_distinct()
    return _over(taken, counted.cast(pl.Int64).cum_sum())


def _sum(taken: pl.DataFrame, part: Part) -> pl.Series:
    """Of whole numbers whole, and missing where they may not fit."""
    value, is_float = pl.col(_VALUE), taken.schema[_VALUE].is_float()
    value = value.cast(pl.Float64 if is_float else pl.Int64)
    total = _over(taken, value.fill_null(0).cum_sum())
    known = _over(taken, value.is_not_null().cast(pl.Int64).cum_sum()) > 0
    if is_float:
        return total.set(~known, None)
    size = _over(taken, value.cast(pl.Float64).abs().fill_null(0).cum_sum())
    return total.set(~known | (size >= _MOST), None)


def _average(taken: pl.DataFrame, part: Part) -> pl.Series:
    value = pl.col(_VALUE).cast(pl.Float64)
    total = _over(taken, value.fill_null(0).cum_sum())
    count = _over(taken, value.is_not_null().cast(pl.Int64).cum_sum())
    return (total / count).set(count == 0, None)


def _extreme(
    taken: pl.DataFrame, part: Part, choose: Callable[[pl.Expr], pl.Expr]
) -> pl.Series:
    """The smallest or the largest value so far, by its place among all values."""
    values = taken[_VALUE]
    places = pl.Series(_VALUE, number_values(values))
    places = places.set(places < 0, None)
    ranked = taken.with_columns(places)
    chosen = _over(ranked, choose(pl.col(_VALUE)).forward_fill())
    known = places.to_frame("place").with_columns(values.alias(_VALUE)).drop_nulls()
    by_place = known.unique("place").sort("place")[_VALUE]
    return _as(by_place.gather(chosen.cast(pl.Int64)), values.dtype)


def _first(taken: pl.DataFrame, part: Part) -> pl.Series:
    """The first value so far: it is passed on where another one follows."""
    value = pl.col(_VALUE)
    is_first = value.is_not_null().cast(pl.Int64).cum_sum().over(ROW) == 1
    first = taken.with_columns(pl.when(is_first & value.is_not_null()).then(value))
    return _as(_over(first, pl.col(_VALUE).forward_fill()), taken.schema[_VALUE])


def _last(taken: pl.DataFrame, part: Part) -> pl.Series:
    last = _over(taken, pl.col(_VALUE).forward_fill())
    return _as(last, taken.schema[_VALUE])


def _any(taken: pl.DataFrame, part: Part) -> pl.Series:
    """Whether one so far is true; false over none."""
    held = pl.col(_VALUE).cast(pl.Boolean).fill_null(False).cast(pl.Int64)
    return _over(taken, held.cum_max()) > 0


def _all(taken: pl.DataFrame, part: Part) -> pl.Series:
    """Whether all so far are true; missing over none."""
    held = pl.col(_VALUE).cast(pl.Boolean)
    every = _over(taken, held.fill_null(True).cast(pl.Int64).cum_min()) > 0
    known = _over(taken, held.is_not_null().cast(pl.Int64).cum_sum()) > 0
    return every.set(~known, None)


def _over(taken: pl.DataFrame, value: pl.Expr) -> pl.Series:
    """An expression within each impression, at each event."""
    return taken.select(value.over(ROW).alias(_VALUE)).to_series()


def _as(values: pl.Series, found: pl.DataType) -> pl.Series:
    """Whole numbers and floats as 64 bits."""
    if found.is_integer():
        return values.cast(pl.Int64)
    return values.cast(pl.Float64) if found.is_float() else values


_CARRY: dict[str, Callable[[pl.DataFrame, Part], pl.Series]] = {
    "COUNT": _count,
    "SUM": _sum,
    "AVG": _average,
    "MIN": functools.partial(_extreme, choose=pl.Expr.cum_min),
    "MAX": functools.partial(_extreme, choose=pl.Expr.cum_max),
    "FIRST": _first,
    "LAST": _last,
    "BOOL_OR": _any,
    "BOOL_AND": _all,
}
