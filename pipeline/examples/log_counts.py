"""What readers count of a log beside its rows, and what the report makes of it.

Rejects by day, columns without a value (a schema that drifts), and rows that lie on
another day than the folder they are in.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.arrays import Ints
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import local_time, time_in
from pipeline.examples.reading.blocks import LINE, Block
from pipeline.examples.reading.log_files import day_of, has_days
from pipeline.examples.reading.sources import FileRange, Source, history_of

Counts = dict[tuple[Any, ...], float]

INNER = "lines inside a quoted field, of the record before"


def count_notes(part: FileRange, block: Block) -> Counts:
    """What was assumed about rows."""
    counts: Counts = {("note", part.source, n): k for n, k in block.notes.items()}
    if block.inner_lines:
        counts["note", part.source, INNER] = block.inner_lines
    for reason, value in block.samples.items():
        counts["sample", part.source, reason, value] = 1
    return counts


def count_values(part: FileRange, block: Block, source: Source) -> Counts:
    """Values of the columns with a `?`, to know those that a file has not, and rows
    that lack one of a column that is not needed to read them."""
    found = {column: block.rows[column].count() for column in _optional(source.columns)}
    counts: Counts = {("value", part.path, c): n for c, n in found.items() if n}
    for column, kind in source.types.items():
        if kind.optional and (lacking := block.rows[column].null_count()):
            counts["lacking", part.source, column] = lacking
            counts["lacking_file", part.path, column] = lacking
    counts["readable", part.source] = block.rows.height
    return counts


def count_rejects_by_day(
    block: Block, part: FileRange, source: Source, spec: Spec
) -> Counts:
    """Rejects of each day: by their time where it is readable, by the folder's day, or
    by the time of the nearest row before."""
    if not block.rejects:
        return {}
    lines = np.array([reject.line for reject in block.rejects])
    days = _days_near(lines, block, spec, by_line=not has_days(source))
    if has_days(source):
        days = days.fill_null(day_of(part.path, source))
    by_day = collections.Counter(day for day in days if day is not None)
    return {("day_reject", f"{day:%Y%m%d}"): n for day, n in by_day.items()}


def count_folder(rows: pl.DataFrame, part: FileRange, source: Source) -> Counts:
    """Rows by whether they lie on the day of their folder, in its zone and in UTC.

    Args:
        rows: With `TIME_MS`.
        part: Where they are from.
        source: Of the log.
    """
    if not rows.height or not has_days(source):
        return {}
    folder = day_of(part.path, source)
    day = time_in(source.folder_zone).dt.date()
    early, late, other = rows.select(
        early=(day < folder).sum(),
        late=(day > folder).sum(),
        utc=(time_in("UTC").dt.date() != folder).sum(),
    ).row(0)
    counts = {"rows": rows.height, "early": early, "late": late, "not UTC": other}
    return {("folder", f"{folder:%Y%m%d}", what): n for what, n in counts.items() if n}


def report_counts(
    counts: Counts, spec: Spec, files: Mapping[str, Any]
) -> dict[str, Any]:
    """The report's lines.

    Args:
        counts: The sum of what all steps counted.
        spec: Of the run.
        files: The report's files.
    """
    notes: collections.Counter[str] = collections.Counter()
    for key, count in _keys(counts, "note"):
        notes[key[2]] += int(count)
    return {
        "rejects_per_day": {k[1]: int(n) for k, n in _keys(counts, "day_reject")},
        "notes": dict(sorted(notes.items())),
        "samples": _samples(counts),
        "empty_columns": _empty_columns(counts, spec, files),
        "missing_values": _missing_values(counts, spec),
        "folders": report_folders(counts),
    }


def _missing_values(counts: Counts, spec: Spec) -> dict[str, dict[str, Any]]:
    """Column -> readable rows without a value, and whether its type has a `?`."""
    found: dict[str, dict[str, Any]] = {}
    for (_, source, column), rows in _keys(counts, "lacking"):
        declared = _declared(spec, source)[column]
        found[column] = {
            "rows": int(rows),
            "share": rows / counts["readable", source],
            "expected": declared.endswith("?"),
        }
    return found


def _samples(counts: Counts) -> dict[str, str]:
    """Reason of rejects -> a value that it was given for."""
    found: dict[str, str] = {}
    for key, _ in _keys(counts, "sample"):
        found.setdefault(key[2], key[3])
    return found


def report_folders(counts: Counts) -> dict[str, dict[str, int]]:
    """Day that files are named by -> its rows, and those of another day."""
    folders: dict[str, dict[str, int]] = {}
    for key, count in _keys(counts, "folder"):
        folders.setdefault(key[1], {})[key[2]] = int(count)
    return folders


def _empty_columns(
    counts: Counts, spec: Spec, files: Mapping[str, Any]
) -> dict[str, dict[str, list[str]]]:
    """Column -> files with rows where it has no value, and, if its type has a `?`, the
    days."""
    known = {key[1:] for key, _ in _keys(counts, "value")}
    by_day = {key[1:] for key, _ in _keys(counts, "day_value")}
    days = [key[1] for key, _ in _keys(counts, "day")]
    sources = {key[2]: key[1] for key, _ in _keys(counts, "file")}
    found: dict[str, dict[str, list[str]]] = {}
    for path, file in files.items():
        declared = _declared(spec, sources.get(path, ""))
        readable = file["rows"] - sum(file["rejects"].values())
        empty = [c for c in _optional(declared) if (path, c) not in known]
        for column in declared:
            lacking = counts.get(("lacking_file", path, column), 0)
            if readable and (column in empty or lacking == readable):
                found.setdefault(column, {"files": [], "days": []})
                found[column]["files"].append(path)
    for column in found.keys() & set(_optional(spec.log.columns)):
        empty = [day for day in days if (day, column) not in by_day]
        found[column]["days"] = sorted(empty)
    return found


def _declared(spec: Spec, source: str) -> Mapping[str, str]:
    join = spec.log.joins.get(source)
    history = history_of(source, spec)
    if history:
        return spec.histories[history].types
    return join.columns if join else spec.log.columns


def _optional(columns: Mapping[str, str]) -> Iterable[str]:
    return [column for column, kind in columns.items() if kind.endswith("?")]


def _keys(counts: Counts, kind: str) -> Iterator[tuple[tuple[Any, ...], float]]:
    """The counts of a kind, in the order of their keys."""
    yield from sorted((k, n) for k, n in counts.items() if k[0] == kind)


def _days_near(lines: Ints, block: Block, spec: Spec, by_line: bool) -> pl.Series:
    """The day of each of some lines [R]; null where nothing tells it.

    Args:
        lines: Positions, in order.
        block: Has them.
        spec: Of the run.
        by_line: Whether a line without a time is of the day of the row before it.
    """
    frames = [block.rows, *([] if block.rejected is None else [block.rejected])]
    times = pl.concat([frame.select(LINE, TIME_MS) for frame in frames])
    known = times.drop_nulls().select(LINE, day=local_time(spec).dt.date()).sort(LINE)
    if not known.height:
        return pl.Series([None] * len(lines), dtype=pl.Date)
    numbers = known[LINE].to_numpy()
    at = np.maximum(np.searchsorted(numbers, lines, side="right") - 1, 0)
    days = known["day"].gather(at)
    if by_line:
        return days
    own = pl.Series(numbers[at] == lines)
    return pl.select(pl.when(own).then(days)).to_series()
