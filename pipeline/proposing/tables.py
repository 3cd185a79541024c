"""Files of a directory -> tables: files of one format with the same columns.

Files that differ in digits only are one kind without being opened; of each kind a few
are, and kinds in like folders with the same columns are one table.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence
from typing import IO

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.examples import file_systems
from pipeline.examples.reading.compression import Chunks, Compression, compression_of
from pipeline.examples.reading.record_frames import begins_with_record
from pipeline.examples.reading.sources import open_file
from pipeline.proposing.csv_shape import csv_shape
from pipeline.proposing.day_patterns import (
    DatedPath,
    common_pattern,
    dated,
    shape_of,
    without_numbers,
)
from pipeline.proposing.errors import ProposalError

HEAD_BYTES = 1 << 18
_MOST_FILES = 50_000
_OPENED = 3  # files of a kind that are opened: the first, the middle, the last
_LIKE = 0.6  # share of columns in common that makes one table of two kinds
_NO_NAMES = ("", "part", "dt", "date", "day", "hour", "data", "file", "chunk", "shard")
_NO_DATA = (".md", ".txt", ".json", ".log", ".py", ".yaml", ".yml", ".crc", ".tar")


@dataclasses.dataclass(frozen=True)
class Form:
    """How one file is written.

    Attributes:
        format: `csv`, `jsonl`, `parquet` or `tfrecord`.
        columns: Names, in order; of JSON lines those of the first ones.
        separator: Of CSV.
        has_header: Of CSV: whether the names are in the file.
    """

    format: str
    columns: tuple[str, ...]
    separator: str = ","
    has_header: bool = True


@dataclasses.dataclass(frozen=True)
class LogFile:
    """A file below the logs."""

    path: str
    relative: str
    size: int
    day: datetime.date | None


@dataclasses.dataclass(frozen=True)
class Table:
    """Files with the same columns.

    Attributes:
        name: For people, and of the join: the common beginning of the files' names.
        pattern: Glob below the directory, with `{day...}` if each path names a day.
        files: In the order of their paths.
        form: How they are written.
    """

    name: str
    pattern: str
    files: tuple[LogFile, ...]
    form: Form

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size for file in self.files)

    @property
    def has_days(self) -> bool:
        """Whether each path names a day."""
        return "{day" in self.pattern


def find_tables(logs_dir: str) -> list[Table]:
    """The tables in a directory, the largest first.

    Raises:
        ProposalError: There is no file that could be one.
    """
    paths = [dated(path) for path in _paths(logs_dir)]
    sizes = {f.path: f.size_in_bytes for f in file_systems.match(logs_dir, "**")}
    kinds: dict[str, list[DatedPath]] = {}
    for path in paths:
        kinds.setdefault(shape_of(path.pattern), []).append(path)
    found = []
    for members in kinds.values():
        form = _form_of_kind([os.path.join(logs_dir, p.path) for p in members])
        if form is not None:
            found.append((members, form))
    if not found:
        raise ProposalError(
            f"{logs_dir}: must hold logs as CSV, JSON lines, Parquet or TFRecord. Got "
            f"{', '.join(p.path for p in paths[:20]) or 'no file'}. Give the directory "
            "that they are in."
        )
    groups = _merged(found)
    every = [p for members, _ in found for p in members]
    tables = [_table(logs_dir, members, form, every, sizes) for members, form in groups]
    return sorted(tables, key=lambda table: -table.size_bytes)


def _paths(logs_dir: str) -> list[str]:
    """Paths of what may be data, below the directory; those in `data/` if it has one
    and no file beside it."""
    prefix = logs_dir.rstrip("/") + "/"
    paths = [p.removeprefix(prefix) for p in file_systems.match_paths(logs_dir, "**")]
    if len(paths) > _MOST_FILES:
        raise ProposalError(
            f"{logs_dir} holds {len(paths):,} files; at most {_MOST_FILES:,} are "
            "looked at. Give a directory with some days of them."
        )
    return [path for path in paths if _may_be_data(path)]


def _may_be_data(path: str) -> bool:
    parts = path.split("/")
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and not parts[-1].lower().endswith(_NO_DATA)


def _form_of_kind(paths: Sequence[str]) -> Form | None:
    """The form of a kind's files; columns of the opened ones together."""
    places = sorted({0, len(paths) // 2, len(paths) - 1})[:_OPENED]
    forms = [form for place in places if (form := form_of(paths[place])) is not None]
    if not forms:
        return None
    columns = tuple(dict.fromkeys(c for form in forms for c in form.columns))
    return dataclasses.replace(forms[0], columns=columns)


def form_of(path: str) -> Form | None:
    """How a file is written; None if it is no table."""
    with open_file(path) as file:
        magic = file.read(16)
        file.seek(0)
        if magic.startswith(b"PAR1"):
            return Form("parquet", _parquet_columns(pq.ParquetFile(file).schema_arrow))
        if begins_with_record(magic):
            return Form("tfrecord", ())
        data = head_bytes(file, compression_of(magic))
    if begins_with_record(data[:16]):
        return Form("tfrecord", ())
    text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        return _json_form(text)
    shape = csv_shape(text[: text.rfind("\n") + 1] or text)
    if shape is None:
        return None
    return Form("csv", shape.header, shape.separator, shape.has_header)


def head_bytes(
    file: IO[bytes], compression: Compression, size: int = HEAD_BYTES
) -> bytes:
    """The first bytes of a file, decompressed."""
    data = bytearray()
    for chunk in Chunks(file, compression):
        data += chunk
        if len(data) >= size:
            break
    return bytes(data)


def flat_json(value: dict[str, object], above: str = "") -> dict[str, object]:
    """A JSON object with the fields of inner ones under their dotted paths."""
    found: dict[str, object] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            found |= flat_json(inner, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = inner
    return found


def _json_form(text: str) -> Form | None:
    columns: dict[str, None] = {}
    for line in text.splitlines()[:200]:
        try:
            columns |= dict.fromkeys(flat_json(orjson.loads(line)))
        except (orjson.JSONDecodeError, AttributeError):
            continue
    return Form("jsonl", tuple(columns)) if columns else None


def _parquet_columns(schema: pa.Schema) -> tuple[str, ...]:
    frame = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    return tuple(flat_frame(frame).columns)


def flat_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame with the fields of structs under their dotted paths."""
    while structs := [c for c, t in frame.schema.items() if isinstance(t, pl.Struct)]:
        for column in structs:
            inner = frame[column].struct.unnest()
            paths = {name: f"{column}.{name}" for name in inner.columns}
            frame = frame.drop(column).hstack(inner.rename(paths))
    return frame


def _merged(
    found: Sequence[tuple[list[DatedPath], Form]],
) -> list[tuple[list[DatedPath], Form]]:
    """Kinds in like folders, of one format and with the same columns, as one."""
    groups: list[tuple[list[DatedPath], Form]] = []
    for members, form in found:
        for place, (others, known) in enumerate(groups):
            if _are_one(members[0], others[0], form, known):
                columns = tuple(dict.fromkeys((*known.columns, *form.columns)))
                merged = dataclasses.replace(known, columns=columns)
                groups[place] = (others + members, merged)
                break
        else:
            groups.append((members, form))
    return groups


def _are_one(a: DatedPath, b: DatedPath, form: Form, known: Form) -> bool:
    folders = [shape_of(path.pattern).rpartition("/")[0] for path in (a, b)]
    alike = dataclasses.replace(form, columns=()) == dataclasses.replace(
        known, columns=()
    )
    if folders[0] != folders[1] or not alike or not form.has_header:
        return False
    mine, theirs = set(form.columns), set(known.columns)
    return len(mine & theirs) >= _LIKE * len(mine | theirs) and bool(mine)


def _table(
    logs_dir: str,
    members: Sequence[DatedPath],
    form: Form,
    every: Sequence[DatedPath],
    sizes: dict[str, int],
) -> Table:
    members = sorted(members, key=lambda path: path.path)
    has_days = all(path.day is not None for path in members)
    patterns = [path.pattern if has_days else path.path for path in members]
    prefix = logs_dir.rstrip("/") + "/"
    files = tuple(
        LogFile(prefix + p.path, p.path, sizes.get(prefix + p.path, 0), p.day)
        for p in members
    )
    pattern = common_pattern(patterns)
    if len(members) > 1:
        pattern = without_numbers(pattern)
    return Table(_name(pattern), pattern, files, form)


def _name(pattern: str) -> str:
    """`log` of `log_*.csv`, `engagements` of `engagements/dt={day}/*.parquet`."""
    for part in reversed(pattern.split("/")):
        stem = part.split(".")[0].split("{")[0].split("*")[0].split("=")[0]
        name = "".join(c if c.isalnum() else "_" for c in stem.lower()).strip("_")
        if name and name.rstrip("_0123456789") not in _NO_NAMES:
            return name if name[0].isalpha() else f"t_{name}"
    return "log"
