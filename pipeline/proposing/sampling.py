"""Some rows of a table, from the head, the middle and the tail of several of its files.

Rows of one stretch of a file follow each other there (`STRETCH`): what is asked of
neighbours, such as pauses, may be asked inside a stretch only. A compressed file, or
one of records, gives its head alone: its middle is not reached without reading it all.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import orjson
import polars as pl
import pyarrow.parquet as pq

from pipeline.examples.reading.compression import Chunks, compression_of
from pipeline.examples.reading.record_frames import Records, begins_with_record
from pipeline.examples.reading.sources import open_file
from pipeline.proposing.tables import LogFile, Table, flat_frame, flat_json, head_bytes

STRETCH = "_stretch"  # number of the piece of a file that a row is from
FILE = "_file"  # position of the row's file among the table's

_STRETCH_BYTES = 1 << 20
_STRETCH_ROWS = 20_000
_FEWEST_FILES, _MOST_FILES = 6, 200
_ALL_BYTES = 64 << 20  # of a table: so many small files are looked at


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some rows of a table.

    Attributes:
        table: Where they are from.
        rows: Its columns, of CSV all as text, with `STRETCH` and `FILE`.
        is_whole: Whether these are all rows of the table.
        share: About which share of the table's bytes was read.
    """

    table: Table
    rows: pl.DataFrame
    is_whole: bool
    share: float

    @property
    def row_count(self) -> int:
        """About how many rows the table has."""
        return round(self.rows.height / self.share) if self.share else 0


def sample_table(table: Table) -> Sample:
    """Rows of six files, or of more if they are small, spread over all."""
    usual = max(1, table.size_bytes // len(table.files))
    most = min(_MOST_FILES, max(_FEWEST_FILES, _ALL_BYTES // usual))
    chosen = sorted(
        set(np.linspace(0, len(table.files) - 1, most).astype(int).tolist())
    )
    parts: list[pl.DataFrame] = []
    shares: list[tuple[int, float]] = []
    for place in chosen:
        file = table.files[place]
        share = 0.0
        for frame, part in _stretches(file, table):
            number = len(parts)
            share += part
            parts.append(
                frame.with_columns(
                    pl.lit(number).alias(STRETCH), pl.lit(int(place)).alias(FILE)
                )
            )
        shares.append((file.size, min(share, 1.0)))
    rows = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
    read = sum(size * share for size, share in shares)
    is_whole = len(chosen) == len(table.files) and all(s >= 1 for _, s in shares)
    share = 1.0 if is_whole else read / max(table.size_bytes, 1)
    return Sample(table, rows, is_whole, share)


def _stretches(file: LogFile, table: Table) -> Iterator[tuple[pl.DataFrame, float]]:
    """(rows that follow each other, the share of the file that they are)."""
    with open_file(file.path) as opened:
        if table.form.format == "parquet":
            yield from _parquet(opened)
        elif table.form.format == "tfrecord":
            yield from _records(opened, file)
        else:
            yield from _text(opened, file, table)


# --- text -----------------------------------------------------------------------------


def _text(
    opened: IO[bytes], file: LogFile, table: Table
) -> Iterator[tuple[pl.DataFrame, float]]:
    parse = _csv_rows if table.form.format == "csv" else _json_rows
    for data, share in _pieces(opened, file):
        if rows := parse(data, table, is_head=share.is_head):
            yield rows[0], share.of_file


@dataclasses.dataclass(frozen=True)
class _Piece:
    of_file: float
    is_head: bool


def _pieces(opened: IO[bytes], file: LogFile) -> Iterator[tuple[bytes, _Piece]]:
    """Whole lines from the head, the middle and the tail of a text file."""
    magic = opened.read(16)
    opened.seek(0)
    compression = "" if begins_with_record(magic) else compression_of(magic)
    if compression:
        data = head_bytes(opened, compression, _STRETCH_BYTES)
        whole = data[: data.rfind(b"\n") + 1] or data
        ratio = min(
            1.0, len(whole) / max(4 * file.size, 1)
        )  # text shrinks to a quarter
        yield whole, _Piece(ratio, True)
        return
    if file.size <= 3 * _STRETCH_BYTES:
        yield opened.read(), _Piece(1.0, True)
        return
    for start in (0, file.size // 2, file.size - _STRETCH_BYTES):
        opened.seek(start)
        data = opened.read(_STRETCH_BYTES)
        begin = 0 if start == 0 else data.find(b"\n") + 1
        lines = data[begin : data.rfind(b"\n") + 1]
        yield lines, _Piece(len(lines) / file.size, start == 0)


def _csv_rows(data: bytes, table: Table, is_head: bool) -> list[pl.DataFrame]:
    """The lines as text columns; a line of another width is left out, or cut."""
    form = table.form
    text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
    header = list(form.columns)
    if is_head and form.has_header:
        first, _, text = text.partition("\n")
        header = [
            name.strip().strip('"') for name in first.rstrip("\r").split(form.separator)
        ]
    if not text.strip():
        return []
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            has_header=False,
            new_columns=header,
            schema={name: pl.String() for name in header},
            separator=form.separator,
            truncate_ragged_lines=True,
            ignore_errors=True,
        )
    except pl.exceptions.PolarsError:
        return []
    return [frame.with_columns(pl.when(pl.all() != "").then(pl.all()))]


def _json_rows(data: bytes, table: Table, is_head: bool) -> list[pl.DataFrame]:
    rows: list[dict[str, Any]] = []
    for line in data.splitlines():
        try:
            rows.append(flat_json(orjson.loads(line)))
        except (orjson.JSONDecodeError, AttributeError):
            continue
    if not rows:
        return []
    names = dict.fromkeys(name for row in rows for name in row)
    return [pl.DataFrame([_series(n, [row.get(n) for row in rows]) for n in names])]


def _series(name: str, values: Sequence[Any]) -> pl.Series:
    """Values of JSON; those of several types become text."""
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        pass
    if all(v is None or isinstance(v, (int, float)) for v in values):
        return pl.Series(name, [None if v is None else float(v) for v in values])
    return pl.Series(name, [None if v is None else str(v) for v in values])


# --- binary ---------------------------------------------------------------------------


def _parquet(opened: IO[bytes]) -> Iterator[tuple[pl.DataFrame, float]]:
    parquet = pq.ParquetFile(opened)
    total = max(parquet.metadata.num_rows, 1)
    groups = parquet.num_row_groups
    for group in sorted({0, groups // 2, groups - 1} & set(range(groups))):
        for batch in parquet.iter_batches(_STRETCH_ROWS, [group], use_threads=False):
            frame = flat_frame(pl.DataFrame(pl.from_arrow(batch)))
            yield frame, frame.height / total
            break


def _records(opened: IO[bytes], file: LogFile) -> Iterator[tuple[pl.DataFrame, float]]:
    """The first records of a TFRecord file; a feature with one value is no list."""
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    magic = opened.read(16)
    opened.seek(0)
    compression = "" if begins_with_record(magic) else compression_of(magic)
    chunks = Chunks(opened, compression)
    batch = next(iter(Records(chunks, _STRETCH_BYTES)), [])
    examples = [data for data, is_right in batch if is_right][:_STRETCH_ROWS]
    if not examples:
        return
    found = ExamplesToRecordBatchDecoder().DecodeBatch(examples)
    frame = pl.DataFrame(pl.from_arrow(found))
    yield (
        frame.with_columns(_single(frame[name]) for name in frame.columns),
        min(1.0, sum(map(len, examples)) / max(file.size, 1)),
    )


def _single(values: pl.Series) -> pl.Series:
    if not isinstance(values.dtype, pl.List):
        return values
    if values.dtype.inner == pl.Binary:
        values = values.cast(pl.List(pl.String))
    if (values.list.len().fill_null(0) > 1).any():
        return values
    return values.list.first()
