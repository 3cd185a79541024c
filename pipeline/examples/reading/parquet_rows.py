"""Parquet files -> typed columns, and every row that holds none.

A range is some row groups; it is read in batches of rows, whatever their size. Values
are converted to the declared types; a row of the file is a line of a block.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.examples.errors import LogsError
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.conversions import declared_as, is_convertible
from pipeline.examples.reading.file_heads import check_columns, read_head
from pipeline.examples.reading.sources import FileRange, Source, open_file
from pipeline.examples.reading.values import (
    as_json,
    broken_block,
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
        parquet = _open_as_written(file, path)
        header = tuple(_paths(parquet.schema_arrow))
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
            yield broken_block(source, broken)


def parse_rows(batch: pa.RecordBatch, source: Source) -> Block:
    """The rows of a batch; a declared column that it has not is missing in all."""
    nothing = pl.repeat(None, batch.num_rows, dtype=pl.Null, eager=True)
    found = {name: _column(batch, name) for name in source.columns}
    raw = pl.DataFrame(
        {
            name: nothing if array is None else _to_polars(array)
            for name, array in found.items()
        }
    )
    lines = np.arange(batch.num_rows)
    reasons = Reasons(batch.num_rows)
    rows = type_columns(raw, lines, source, reasons)
    return reasons.block(rows, lines, lambda line: as_json(raw.row(line, named=True)))


def _open(file: IO[bytes], path: str) -> pq.ParquetFile:
    parquet = _open_as_written(file, path)
    if not any(map(_has_fixed_lists, parquet.schema_arrow.types)):
        return parquet
    plain = _without_arrow_schema(parquet.metadata)
    return pq.ParquetFile(file, metadata=plain, buffer_size=_READ_AHEAD_BYTES)


def _open_as_written(file: IO[bytes], path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, buffer_size=_READ_AHEAD_BYTES)
    except (OSError, pa.ArrowException) as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise LogsError(
            f"{path} is a damaged or unfinished Parquet file ({why}). Copy it again."
        ) from None


def _has_fixed_lists(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_fixed_lists(field.type) for field in kind)
    return bool(pa.types.is_fixed_size_list(kind))


def _without_arrow_schema(footer: pq.FileMetaData) -> pq.FileMetaData:
    """A footer in which Arrow does not find its own types: lists of a fixed size become
    plain ones. Some versions of Arrow cannot read the former where one is null."""
    found: pq.FileMetaData = pickle.loads(
        pickle.dumps(footer).replace(b"ARROW:schema", b"arrow:schema")
    )
    return found


def _check_types(path: str, schema: pa.Schema, source: Source) -> None:
    for column, kind in source.types.items():
        found = _type_at(schema, column)
        if found is None:
            continue
        dtype = _to_polars(pa.array([], found)).dtype
        unit = source.units.get(column)
        if not is_convertible(dtype, kind, unit):
            raise LogsError(
                f"{path}: column {column!r} is {found}, which cannot be read as "
                f"{source.columns[column]}. Change {source.key}.columns of the spec"
                f"{_advice(column, dtype)}, or write the column as another type."
            )
        if unit and unit.by_row:
            continue
        clock = unit.zone if unit else getattr(kind, "clock", "")
        if _shows_clock(dtype) and not clock:
            raise LogsError(
                f"{path}: column {column!r} is {found}, times without a zone: what a "
                "clock showed, but not where. Name its zone in log.time.timezone of "
                "the spec (UTC if the times are UTC), or write the column with a zone."
            )


def _advice(column: str, dtype: pl.DataType) -> str:
    """What a column of a file's type can be declared as."""
    if isinstance(dtype, pl.Struct):
        fields = ", ".join(f"{column}.{field.name}" for field in dtype.fields)
        return f": declare its fields, {fields}"
    declared = declared_as(dtype)
    return f": declare it as {declared}" if declared else ""


def _shows_clock(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Datetime) and dtype.time_zone is None


def _paths(schema: pa.Schema) -> Iterator[str]:
    """The names of all columns, and the paths of the fields in structs."""
    for field in schema:
        yield from _paths_of(field, "")


def _paths_of(field: pa.Field, above: str) -> Iterator[str]:
    path = f"{above}{field.name}"
    yield path
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _paths_of(inner, f"{path}.")


def _type_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type of a column, or of a field in structs; None if it is not there."""
    columns = [pa.array([], field.type) for field in schema]
    found = _column(pa.RecordBatch.from_arrays(columns, names=schema.names), path)
    return None if found is None else found.type


def _column(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """A column, or a field in structs by its path; None if it is not there."""
    if path in batch.schema.names:
        return batch.column(path)
    name, _, rest = path.partition(".")
    while rest:
        if name in batch.schema.names and pa.types.is_struct(
            batch.schema.field(name).type
        ):
            return _column(_fields(batch.column(name)), rest)
        more, _, rest = rest.partition(".")
        name = f"{name}.{more}"
    return None


def _fields(struct: pa.StructArray) -> pa.RecordBatch:
    """The fields of structs, null where a struct is null."""
    return pa.RecordBatch.from_arrays(
        struct.flatten(), names=[f.name for f in struct.type]
    )


def _to_polars(array: pa.Array) -> pl.Series:
    """Texts become bytes: nothing has checked yet that they are UTF-8."""
    wanted = _as_bytes(array.type)
    if wanted != array.type:
        array = array.cast(wanted)
    return pl.Series(pl.from_arrow(array))


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """A type with bytes for its texts, and without dictionaries."""
    if pa.types.is_dictionary(kind):
        return _as_bytes(kind.value_type)
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_as_bytes(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_as_bytes(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_as_bytes(kind.value_type))
    return kind


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
