"""Rows of a file as they stand in it, each with the values of some columns.

A row that cannot be read has no values, and is a row all the same: what is wrong with
it is for the readers of the examples pass to say.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.examples.reading.compression import Chunks, compression_of
from pipeline.examples.reading.csv_records import RecordForm, join_records
from pipeline.examples.reading.lines import Lines

Key = tuple[str, ...]  # the texts of a row's values; () where it cannot be read


@dataclasses.dataclass(frozen=True)
class RawRows:
    """The first rows of a file.

    Attributes:
        keys: Of each row [R].
        write: (file, places of rows) -> writes these rows as such a file.
        bytes_read: Of the file, about.
        is_whole: Whether these are all of its rows.
    """

    keys: Sequence[Key]
    write: Callable[[IO[bytes], Sequence[int]], None]
    bytes_read: int
    is_whole: bool


def read_text(
    file: IO[bytes], size: int, columns: Sequence[str], form: TextForm, most: int
) -> RawRows:
    """Rows of CSV or JSON lines.

    Args:
        file: Opened.
        size: Of the file.
        columns: Whose values make the key.
        form: How rows are cut and read.
        most: Bytes of text to read at most.
    """
    compression = compression_of(file.read(16))
    file.seek(0)
    data = bytearray()
    chunks = Chunks(file, compression)
    for chunk in chunks:
        data += chunk
        if len(data) > most:
            break
    is_whole = len(data) <= most
    text = bytes(data) if is_whole else bytes(data[: data.rfind(b"\n", 0, most) + 1])
    head, rows = form.cut(text)
    keys = form.keys(head, rows, columns)

    def write(target: IO[bytes], places: Sequence[int]) -> None:
        target.write(head)
        target.writelines(rows[place] + b"\n" for place in places)

    read = size if is_whole else min(size, len(text) // (4 if compression else 1))
    return RawRows(keys, write, read, is_whole)


@dataclasses.dataclass(frozen=True)
class TextForm:
    """How a text file is written.

    Attributes:
        format: `csv` or `jsonl`.
        separator: Of CSV.
        header: Names of the columns where the file does not name them.
    """

    format: str
    separator: str = ","
    header: tuple[str, ...] = ()

    def cut(self, text: bytes) -> tuple[bytes, list[bytes]]:
        """(the first line if it names columns, the rows without their ends)."""
        head = b""
        if self.format == "csv" and not self.header:
            end = text.find(b"\n") + 1 or len(text)
            head, text = text[:end], text[end:]
        lines = Lines(text)
        if self.format == "csv" and b'"' in text:
            names = self.header or self._names(head)
            lines = join_records(lines, RecordForm(len(names), self.separator))
        return head, [lines.raw(place) for place in range(len(lines))]

    def keys(
        self, head: bytes, rows: Sequence[bytes], columns: Sequence[str]
    ) -> list[Key]:
        """The key of each row."""
        if self.format == "jsonl":
            return [_json_key(row, columns) for row in rows]
        names = list(self.header or self._names(head))
        if not set(columns) <= set(names):
            return [()] * len(rows)
        places = [names.index(column) for column in columns]
        return [self._csv_key(row, places, len(names)) for row in rows]

    def _names(self, head: bytes) -> tuple[str, ...]:
        text = (
            head.decode("utf-8", errors="replace").removeprefix("\ufeff").strip("\r\n")
        )
        fields = next(csv.reader([text], delimiter=self.separator), [])
        return tuple(field.strip() for field in fields)

    def _csv_key(self, row: bytes, places: Sequence[int], width: int) -> Key:
        text = row.decode("utf-8", errors="replace")
        if '"' in text:
            fields = next(csv.reader(io.StringIO(text), delimiter=self.separator), [])
        else:
            fields = text.split(self.separator)
        if len(fields) != width:
            return ()
        return tuple(_plain(fields[place]) for place in places)


def read_parquet(
    file: IO[bytes], size: int, columns: Sequence[str], most: int
) -> RawRows:
    """Rows of a Parquet file; see `read_text`."""
    parquet = pq.ParquetFile(file)
    batches: list[pa.RecordBatch] = []
    done = 0
    for batch in parquet.iter_batches(1 << 16, use_threads=False):
        batches.append(batch)
        done += batch.nbytes
        if done > most:
            break
    table = pa.Table.from_batches(batches, parquet.schema_arrow)
    keys = _parquet_keys(table, columns)

    def write(target: IO[bytes], places: Sequence[int]) -> None:
        pq.write_table(table.take(pa.array(places, pa.int64())), target)

    total = parquet.metadata.num_rows
    share = table.num_rows / total if total else 1.0
    return RawRows(keys, write, int(size * share), table.num_rows == total)


def _parquet_keys(table: pa.Table, columns: Sequence[str]) -> list[Key]:
    found = [_values(table, name) for name in columns]
    if any(values is None for values in found):
        return [()] * table.num_rows
    texts = pl.DataFrame(found).select(pl.all().cast(pl.String, strict=False)).rows()
    return [tuple(map(_plain, row)) if None not in row else () for row in texts]


def _values(table: pa.Table, name: str) -> pl.Series | None:
    """A column, or a field of a struct by its dotted path; None if it is not there."""
    if name in table.column_names:
        return pl.Series(name, pl.from_arrow(table.column(name)))
    first, *path = name.split(".")
    if not path or first not in table.column_names:
        return None
    values = pl.Series(name, pl.from_arrow(table.column(first)))
    for field in path:
        inner = values.dtype
        if not isinstance(inner, pl.Struct) or field not in values.struct.fields:
            return None
        values = values.struct.field(field)
    return values.alias(name)


def _json_key(row: bytes, columns: Sequence[str]) -> Key:
    try:
        value = orjson.loads(row)
        found = [_of_path(value, column) for column in columns]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return ()
    return tuple(map(_plain, found)) if None not in found else ()


def _of_path(value: dict[str, Any], path: str) -> Any:
    if path in value:
        return value[path]
    first, _, rest = path.partition(".")
    return _of_path(value.get(first, {}), rest) if rest else None


def _plain(value: Any) -> str:
    """A value as a text that is the same in all formats: 12.0 is 12."""
    text = str(value).strip()
    return text.removesuffix(".0") if text.endswith(".0") else text


def pick(rows: RawRows, chosen: set[Key], keep_every: int) -> Iterator[int]:
    """Places of the rows of chosen keys, and of every so-manieth unreadable one."""
    unreadable = 0
    for place, key in enumerate(rows.keys):
        if key in chosen:
            yield place
        elif not key:
            unreadable += 1
            if keep_every and unreadable % keep_every == 1 % keep_every:
                yield place
