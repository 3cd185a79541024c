"""Log and side files -> blocks of lines, on any Beam file system.

A file is cut into ranges of bytes that end where lines end, so that one huge file is
read by many workers. What is wrong with a whole file (no match, no such column) is said
before the pipeline starts; what is wrong with a line becomes a reject.
"""

from __future__ import annotations

import dataclasses
import datetime
from concurrent import futures

import polars as pl
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec
from feature_specs.build import closest
from pipeline.examples.csv_lines import Block, parse_block
from pipeline.examples.days import DayRange
from pipeline.examples.shard import local_time
from pipeline.examples.timeline import TIME_MS

LOG = "log"
RANGE_BYTES = 16 << 20

_BOM = b"\xef\xbb\xbf"
_HEADER_BYTES = 1 << 20
_TAIL_BYTES = 1 << 16
_HEADER_READERS = 16
# A time before or after these is in another unit than the spec says, or damaged.
_EARLIEST = datetime.datetime(1990, 1, 1, tzinfo=datetime.timezone.utc)
_LATEST = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
_UNITS_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000}


@dataclasses.dataclass(frozen=True)
class Source:
    """Files of one kind: the log, or one side file of it.

    Attributes:
        name: `LOG`, or the join's name.
        pattern: Glob inside the log directory.
        columns: Column -> declared type.
        separator: Between the columns of a line.
        limits: See `csv_lines.parse_block`.
    """

    name: str
    pattern: str
    columns: dict[str, str]
    separator: str
    limits: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FileRange:
    """Lines that begin in the bytes [start, end) of a file.

    Attributes:
        source: Name of its `Source`.
        path: The file.
        file: Position of the file among those of its source, from 0.
        number: Position of this range in the file, from 0.
        start: First byte.
        end: Byte after the last.
        header: Names of the file's columns.
    """

    source: str
    path: str
    file: int
    number: int
    start: int
    end: int
    header: tuple[str, ...]


def log_source(spec: Spec) -> Source:
    """The spec's log; a time that cannot be is a reason to reject a line."""
    units = _UNITS_PER_S[spec.log.time.unit]
    limits = (
        int(_EARLIEST.timestamp()) * units,
        int(_LATEST.timestamp()) * units - 1,
    )
    return Source(
        LOG,
        spec.log.files,
        spec.log.columns,
        spec.log.separator,
        {spec.log.time.column: limits},
    )


def join_sources(spec: Spec) -> dict[str, Source]:
    """The spec's side files by the name of their join."""
    return {
        name: Source(name, join.files, join.columns, spec.log.separator)
        for name, join in spec.log.joins.items()
    }


def plan_ranges(
    source: Source, logs_dir: str, range_bytes: int = RANGE_BYTES
) -> list[FileRange]:
    """All ranges of a source, files in the order of their paths.

    Raises:
        FileNotFoundError: Nothing matches; the message lists what is there.
        ValueError: A file is empty or lacks a declared column.
    """
    files = _match(source, logs_dir)
    with futures.ThreadPoolExecutor(_HEADER_READERS) as pool:
        headers = pool.map(lambda file: _read_header(file.path, source), files)
    ranges = []
    for place, (file, header) in enumerate(zip(files, headers, strict=True)):
        size = file.size_in_bytes
        for number, start in enumerate(range(0, size, range_bytes)):
            end = min(size, start + range_bytes)
            part = FileRange(source.name, file.path, place, number, start, end, header)
            ranges.append(part)
    return ranges


def read_block(part: FileRange, source: Source) -> Block:
    """The rows and rejects of one range; the header is no line of it."""
    return parse_block(
        _read_lines(part), part.header, source.columns, source.separator, source.limits
    )


def time_ms(spec: Spec) -> pl.Expr:
    """The log's time column in whole unix milliseconds."""
    time = pl.col(spec.log.time.column)
    thousandths = _UNITS_PER_S[spec.log.time.unit]
    if thousandths > 1000:
        return (time // (thousandths // 1000)).cast(pl.Int64).alias(TIME_MS)
    return (time * (1000 // thousandths)).floor().cast(pl.Int64).alias(TIME_MS)


def discover_days(spec: Spec, logs_dir: str) -> DayRange:
    """The first and the last day of the logs; only their times are read.

    Meant for logs of one machine's size: give `--days` for larger ones.

    Raises:
        ValueError: No line has a readable time.
    """
    whole = log_source(spec)
    times = {spec.log.time.column: spec.log.columns[spec.log.time.column]}
    source = dataclasses.replace(whole, columns=times)
    parts = plan_ranges(source, logs_dir)
    found = [_first_and_last_day(part, source, spec) for part in parts]
    days = [day for pair in found if pair for day in pair]
    if not days:
        raise ValueError(
            f"{FileSystems.join(logs_dir, source.pattern)}: no line has a readable "
            f"time in column {spec.log.time.column!r}. Check the spec's log.time."
        )
    return DayRange(min(days), max(days))


def _first_and_last_day(
    part: FileRange, source: Source, spec: Spec
) -> tuple[datetime.date, datetime.date] | None:
    rows = read_block(part, source).rows
    if not rows.height:
        return None
    days = rows.select(time_ms(spec)).select(local_time(spec).dt.date()).to_series()
    first, last = days.min(), days.max()
    assert isinstance(first, datetime.date) and isinstance(last, datetime.date)
    return first, last


def _match(source: Source, logs_dir: str) -> list[FileMetadata]:
    pattern = FileSystems.join(logs_dir, source.pattern)
    files = FileSystems.match([pattern])[0].metadata_list
    if files:
        return sorted(files, key=lambda file: file.path)
    deep = [FileSystems.join(logs_dir, glob) for glob in ("*", "*/*")]
    there = [file for match in FileSystems.match(deep) for file in match.metadata_list]
    names = sorted({file.path.removeprefix(logs_dir).lstrip("/") for file in there})
    what = f"It holds {', '.join(names[:20])}." if names else "It is empty or missing."
    if len(names) > 20:
        what = f"{what[:-1]} and {len(names) - 20} more."
    key = "log.files" if source.name == LOG else f"log.joins.{source.name}.files"
    raise FileNotFoundError(
        f"No file matches {pattern} ({key} of the spec). {what} Give the directory "
        "with the logs, or change the pattern."
    )


def _read_header(path: str, source: Source) -> tuple[str, ...]:
    """The column names of a file's first line, checked against what is declared."""
    with _open(path) as file:
        head = file.read(_HEADER_BYTES)
    line = head.removeprefix(_BOM).split(b"\n")[0].removesuffix(b"\r")
    text = line.decode("utf-8", errors="replace")
    names = tuple(name.strip().strip('"') for name in text.split(source.separator))
    if not text.strip():
        raise ValueError(
            f"{path} is empty: its first line must name the columns. Remove the file "
            "or restore it."
        )
    for column in source.columns:
        if names.count(column) != 1:
            raise ValueError(_column_message(path, column, names))
    return names


def _column_message(path: str, column: str, names: tuple[str, ...]) -> str:
    what = "is named twice" if column in names else "is missing"
    hint = "" if column in names else closest(column, list(names))
    shown = ", ".join(names)
    if len(shown) > 500:
        shown = shown[:500] + "..."
    return (
        f"{path}: column {column!r} {what}. The first line names {shown}.{hint} Name "
        "the file's columns in the spec, or check its separator."
    )


def _read_lines(part: FileRange) -> bytes:
    """The bytes of all lines that begin in the range, the header left out."""
    before = 1 if part.start else 0  # a line begins after a newline
    with _open(part.path) as file:
        file.seek(part.start - before)
        data = _read_exactly(file, part.end - part.start + before)
        begin = data.find(b"\n") + 1
        if not begin or begin == len(data):
            return b""
        tail: list[bytes] = []
        while not (tail[-1] if tail else data).endswith(b"\n"):
            more = file.read(_TAIL_BYTES)
            if not more:
                break
            end = more.find(b"\n") + 1
            tail.append(more[:end] if end else more)
    return b"".join([data[begin:], *tail])


def _read_exactly(file, size: int) -> bytes:
    """`size` bytes, or all there are: one `read` may give less."""
    parts, left = [], size
    while left:
        part = file.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _open(path: str):
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
