"""Rows of examples -> the summaries of their columns, and counts of their values.

Rows come a file at a time. What adds up is summed there; a value may be in several
files, so that counts of values go on, parted by a hash of the value: who adds up a part
sees all counts of its values, and how frequent each is, is exact.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.summaries.columns import Column, Held
from pipeline.summaries.exact import Moments
from pipeline.summaries.histogram import Histogram
from pipeline.summaries.summary import ColumnSummary, join_columns
from pipeline.summaries.words import words_of

Columns = dict[str, ColumnSummary]

COLUMN, VALUE, COUNT = "column", "value", "count"
_NUMBERS: dict[Any, Any] = {COLUMN: pl.UInt16, VALUE: pl.Int64, COUNT: pl.Int64}
_TEXTS: dict[Any, Any] = {**_NUMBERS, VALUE: pl.String}


class Summarized(NamedTuple):
    """What some rows hold.

    Attributes:
        columns: Key -> its summary, without `top`, `distinct` and `others`.
        numbers: Counts of whole numbers: `COLUMN` (place in the list of columns),
            `VALUE` (int64), `COUNT` [V].
        texts: The same of texts.
    """

    columns: Columns
    numbers: pl.DataFrame
    texts: pl.DataFrame


def summarize(rows: pl.DataFrame, columns: Iterable[Column]) -> Summarized:
    """Of rows of raw examples, as `pipeline.examples.encode` gives them.

    Args:
        rows: A column a key [B]; none is a summary of no row.
        columns: What is kept of them.
    """
    found: Columns = {}
    counts: dict[bool, list[pl.DataFrame]] = {False: [], True: []}
    for place, column in enumerate(columns):
        summary, values = _summarize(rows, column)
        found[column.key] = summary
        if values is not None:
            place_column = pl.lit(place, pl.UInt16).alias(COLUMN)
            entry = values.select(place_column, VALUE, pl.col(COUNT).cast(pl.Int64))
            counts[column.dtype == "string"].append(entry)
    numbers = pl.concat([pl.DataFrame(schema=_NUMBERS), *counts[False]])
    texts = pl.concat([pl.DataFrame(schema=_TEXTS), *counts[True]])
    return Summarized(found, numbers, texts)


def add_up_values(counts: pl.DataFrame, columns: Iterable[Column]) -> Columns:
    """The most frequent values of each column, from all counts of some values.

    Args:
        counts: `Summarized.numbers` or `texts` of all files, of some values.
        columns: As `summarize` was given them.

    Returns:
        Summaries of no row, to be joined with those of rows.
    """
    columns = tuple(columns)
    summed = counts.group_by(COLUMN, VALUE).agg(pl.col(COUNT).sum())
    found = {}
    for (place,), part in summed.partition_by(COLUMN, as_dict=True).items():
        column = columns[int(place)]
        top = part.sort([COUNT, VALUE], descending=[True, False]).head(column.most)
        values = dict(zip(top[VALUE].to_list(), top[COUNT].to_list(), strict=True))
        found[column.key] = ColumnSummary(
            dtype=column.dtype,
            top=values,
            distinct=part.height,
            others=int(part[COUNT].sum()) - sum(values.values()),
        )
    return found


def join(parts: Iterable[Columns], most: Mapping[str, int]) -> Columns:
    """The columns of a split from all its parts, in any order.

    Args:
        parts: Of rows (`summarize`) and of values (`add_up_values`); each row and each
            value is in one part.
        most: Column -> values that are kept; see `columns.most_values`.
    """
    parts = list(parts)
    names = [name for name in most if any(name in part for part in parts)]
    return {
        name: join_columns((p[name] for p in parts if name in p), most[name])
        for name in names
    }


def _summarize(
    rows: pl.DataFrame, column: Column
) -> tuple[ColumnSummary, pl.DataFrame | None]:
    """(what adds up, counts of values if they are counted) of one column."""
    values = rows[column.key]
    if column.mask:
        values = values.filter(rows[column.mask] == 1)
    summary = ColumnSummary(dtype=column.dtype, rows=rows.height)
    if column.held is Held.NUMBER:
        return _of_numbers(summary, values, column), None
    if column.held is Held.FLOATS:
        return _of_vectors(summary, values), None
    if column.held is Held.VALUE:
        return _of_values(summary, values, column)
    if column.held is Held.ITEMS:
        return _of_lists(summary, values, column)
    return _of_texts(summary, values)


def _of_numbers(
    summary: ColumnSummary, values: pl.Series, column: Column
) -> ColumnSummary:
    if column.dtype == "int64":
        known = values.filter(values != column.missing).to_numpy()
        floats = known.astype(np.float32)
    else:
        found = values.to_numpy()
        is_known = np.isfinite(found) & (found != column.missing)
        known = floats = found if is_known.all() else found[is_known]
    return dataclasses.replace(
        summary,
        missing=summary.rows - len(known),
        values=len(known),
        moments=Moments.of(known),
        log1p=Moments.of(_log1p(floats)) if column.logarithm else None,
        histogram=Histogram.of(floats),
    )


def _log1p(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """log(1 + max(x, 0)), rounded from float64, so that every processor agrees."""
    return np.log1p(np.maximum(values, 0).astype(np.float64)).astype(np.float32)


def _of_vectors(summary: ColumnSummary, values: pl.Series) -> ColumnSummary:
    """A vector is whole, or missing throughout."""
    assert isinstance(values.dtype, pl.Array)
    shape = len(values), values.dtype.size
    vectors = values.explode().to_numpy().reshape(shape)  # [B, N]
    known = vectors[np.isfinite(vectors).all(axis=1)]
    norms = np.sqrt(np.square(known.astype(np.float64)).sum(axis=1))
    return dataclasses.replace(
        summary,
        missing=summary.rows - len(known),
        values=known.size,
        moments=Moments.of(known.reshape(-1)),
        norms=Moments.of(_in_float32(norms)),
    )


def _in_float32(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Rounded; what is larger than any float32 as the largest."""
    return np.minimum(values, np.finfo(np.float32).max).astype(np.float32)


def _of_values(
    summary: ColumnSummary, values: pl.Series, column: Column
) -> tuple[ColumnSummary, pl.DataFrame]:
    counts = _counts(values, column)
    known = int(counts[COUNT].sum())
    moments = None
    if column.dtype == "int64":
        moments = Moments.of(values.filter(values != column.missing).to_numpy())
    summary = dataclasses.replace(
        summary, missing=summary.rows - known, values=known, moments=moments
    )
    return summary, counts


def _of_lists(
    summary: ColumnSummary, values: pl.Series, column: Column
) -> tuple[ColumnSummary, pl.DataFrame]:
    lengths = values.list.len().fill_null(0)
    counts = _counts(values.explode().drop_nulls(), column)
    summary = dataclasses.replace(
        summary,
        missing=int((lengths == 0).sum()),
        values=int(counts[COUNT].sum()),
        lengths=dict(sorted(lengths.value_counts().iter_rows())),
    )
    return summary, counts


def _of_texts(
    summary: ColumnSummary, values: pl.Series
) -> tuple[ColumnSummary, pl.DataFrame]:
    """Titles repeat: each text is split once."""
    texts = values.value_counts(name=COUNT).rename({values.name: VALUE})
    missing = texts.filter(pl.col(VALUE) == "")[COUNT].sum()
    texts = texts.with_columns(words_of(pl.col(VALUE)))
    lengths = texts.group_by(pl.col(VALUE).list.len()).agg(pl.col(COUNT).sum())
    words = texts.explode(VALUE).drop_nulls(VALUE)
    words = words.group_by(VALUE).agg(pl.col(COUNT).sum())
    summary = dataclasses.replace(
        summary,
        missing=int(missing),
        values=int(words[COUNT].sum()),
        words=dict(sorted(lengths.iter_rows())),
    )
    return summary, words


def _counts(values: pl.Series, column: Column) -> pl.DataFrame:
    """`VALUE` and `COUNT` of each value that is not missing."""
    counts = values.value_counts(name=COUNT).rename({values.name: VALUE})
    return counts.filter(pl.col(VALUE) != column.missing)
