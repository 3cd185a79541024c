"""Parquet files -> typed columns, and every row that holds none.

A range is some row groups; it is read in batches of rows, whatever their size. Values
are converted to the declared types; a row of the file is a line of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.examples.errors import LogsError
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.file_heads import check_columns, read_head
from pipeline.examples.reading.sources import FileRange, Source, open_file
from pipeline.examples.reading.values import (
    as_json,
    broken_block,
    is_convertible,
    type_columns,
)

BATCH_ROWS = 1 << 17

_VALUE_BYTES = 4  # of CSV text a value, about: a row of KuaiRand has 19 in 69 bytes
_READ_AHEAD_BYTES = 1 << 20


def plan(
    path: str, size: int, place: int, source: Source, range_bytes: int
) -> list[FileRange]:
    """The ranges of a file, by its footer: row groups of at most `range_bytes`, or one.

    Raises:
        ValueError: The file is damaged, lacks a declared column, or has one of a type
            that cannot be converted.
    """
    del size
    read_head(path, source)
    with open_file(path) as file:
        parquet = _open(file, path)
        header = tuple(parquet.schema_arrow.names)
        check_columns(path, header, source)
        _check_types(path, parquet.schema_arrow, source)
        footer = parquet.metadata
    sizes = [_text_bytes(footer, n, source) for n in range(footer.num_row_groups)]
    ends = _cut(sizes, range_bytes)
    return [
        FileRange(
            source.name,
            path,
            place,
            number=number,
            start=start,
            end=end,
            header=header,
            first_line=0,
            text_bytes=sum(sizes[start:end]),
        )
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False))
    ]


def read(part: FileRange, source: Source) -> Iterator[Block]:
    """The blocks of some row groups."""
    with open_file(part.path) as file:
        parquet = _open(file, part.path)
        groups = list(range(part.start, part.end))
        done = sum(parquet.metadata.row_group(n).num_rows for n in range(part.start))
        try:
            names = [c for c in source.columns if c in part.header]
            for batch in parquet.iter_batches(
                BATCH_ROWS, groups, names, use_threads=False
            ):
                yield parse_rows(batch, source)
                done += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            why = str(error).strip().splitlines()[0].rstrip(".")
            broken = f"Parquet data is damaged after row {done} ({why}): copy it again"
            yield broken_block(source.columns, broken)


def parse_rows(batch: pa.RecordBatch, source: Source) -> Block:
    """The rows of a batch; a declared column that it has not is missing in all."""
    columns = source.columns
    nothing = pl.repeat(None, batch.num_rows, dtype=pl.Null, eager=True)
    found = {name: _to_polars(batch.column(name)) for name in batch.schema.names}
    raw = pl.DataFrame({name: found.get(name, nothing) for name in columns})
    lines = np.arange(batch.num_rows)
    reasons = Reasons(batch.num_rows)
    rows = type_columns(raw, lines, source, reasons)
    return reasons.block(rows, lines, lambda line: as_json(raw.row(line, named=True)))


def _open(file: IO[bytes], path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, buffer_size=_READ_AHEAD_BYTES)
    except (OSError, pa.ArrowException) as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise LogsError(
            f"{path} is a damaged or unfinished Parquet file ({why}). Copy it again."
        ) from None


def _check_types(path: str, schema: pa.Schema, source: Source) -> None:
    for column, kind in source.columns.items():
        if column not in schema.names:
            continue
        found = schema.field(column).type
        dtype = _to_polars(pa.array([], found)).dtype
        if not is_convertible(dtype, kind, source.units.get(column)):
            raise LogsError(
                f"{path}: column {column!r} is {found}, which cannot be read as "
                f"{kind}. Change {source.key}.columns of the spec, or write the "
                "column as another type."
            )
        unit = source.units.get(column)
        is_clock = isinstance(dtype, pl.Datetime) and dtype.time_zone is None
        if unit and is_clock and not unit.zone:
            raise LogsError(
                f"{path}: column {column!r} is {found}, times without a zone: what a "
                "clock showed, but not where. Name its zone in log.time.timezone of "
                "the spec (UTC if the times are UTC), or write the column with a zone."
            )


def _to_polars(array: pa.Array) -> pl.Series:
    """Texts become bytes: nothing has checked yet that they are UTF-8."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        large = pa.types.is_large_string(array.type)
        array = array.cast(pa.large_binary() if large else pa.binary())
    return pl.Series(pl.from_arrow(array))


def _text_bytes(footer: pq.FileMetaData, group: int, source: Source) -> int:
    rows: int = footer.row_group(group).num_rows
    size: int = footer.row_group(group).total_byte_size
    return max(rows * len(source.columns) * _VALUE_BYTES, size)


def _cut(sizes: Sequence[int], most: int) -> list[int]:
    """Where to cut a list, so that no part's sum exceeds `most` if it has several."""
    ends, total = [], 0
    for place, size in enumerate(sizes):
        if total and total + size > most:
            ends.append(place)
            total = 0
        total += size
    return [*ends, len(sizes)] if sizes else []
