"""Log and side files of four formats -> blocks of typed rows, on any Beam file system.

A file is cut into ranges that many workers read, a range into blocks that fit in
memory. What is wrong with a whole file (no match, no such column, another format) is
said before the pipeline starts; what is wrong with a line becomes a reject; what ends a
file early is said by the last block.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent import futures

from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec
from feature_specs.column_types import parse_type
from feature_specs.events import EventsSpec
from feature_specs.moments import MomentSpec
from feature_specs.spec import LogHistorySpec
from pipeline.examples.days import DayRange, local_time
from pipeline.examples.errors import LogsError
from pipeline.examples.reading import (
    parquet_rows,
    record_rows,
    text_ranges,
    tfds_rows,
)
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.blocks import Block, number_lines
from pipeline.examples.reading.day_stretches import range_without_strays, stretches
from pipeline.examples.reading.log_files import day_of, has_days, match_files
from pipeline.examples.reading.sources import LOG, FileRange, Source, source_name
from pipeline.examples.reading.times import ISO, TimeUnit

RANGE_BYTES = 16 << 20

_FORMATS = {
    "csv": text_ranges,
    "jsonl": text_ranges,
    "parquet": parquet_rows,
    "tfrecord": record_rows,
    "tfds": tfds_rows,
}
_A_DAY = datetime.timedelta(days=1)
_HEAD_READERS = 16


def all_sources(spec: Spec) -> dict[str, Source]:
    """All files that a spec reads, by the names of their sources."""
    others = (join_sources(spec), event_sources(spec), history_sources(spec))
    named = {name: source for found in others for name, source in found.items()}
    return {LOG: log_source(spec), **named}


def log_source(spec: Spec) -> Source:
    """The spec's log; a time that cannot be is a reason to reject a line."""
    log, begin = spec.log, begin_of(spec)
    return Source(
        LOG,
        log.files,
        log.columns,
        log.separator,
        log.format,
        _units(log.time, log.columns),
        log.timezone,
        log.folder_timezone or log.timezone,
        clock=log.time.timezone,
        tfds=log.tfds,
        header=log.header,
        needed=frozenset(filter(None, (log.user, log.item, log.time.column))),
        begin=begin,
    )


def begin_of(spec: Spec) -> Begin:
    """How the spec's log tells when a row begins."""
    return _begin(spec.log.time, spec.log.columns, spec.log.timezone)


def _begin(time: MomentSpec, types: Mapping[str, str], zone: str) -> Begin:
    kind = parse_type(types.get(time.column, ""))
    is_shown = time.zone_column and kind is not None and kind.has_clock
    return Begin(time, shown_in=zone if is_shown else "")


def _units(time: MomentSpec, types: Mapping[str, str]) -> dict[str, TimeUnit]:
    """What timestamps become in a time column that is declared as something else."""
    kind = parse_type(types.get(time.column, ""))
    if kind is None:
        return {}
    if time.zone_column:
        return {time.column: TimeUnit(ISO, by_row=True)}
    return {} if kind.has_clock else {time.column: TimeUnit(time.unit, time.timezone)}


def join_sources(spec: Spec) -> dict[str, Source]:
    """The spec's side files by the name of their join."""
    log = spec.log
    return {
        name: Source(
            name,
            join.files,
            join.columns,
            log.separator,
            join.format or log.format,
            zone=log.timezone,
            folder_zone=log.timezone,
            clock=log.time.timezone,
            header=join.header,
            needed=frozenset({join.key}),
        )
        for name, join in log.joins.items()
    }


def event_sources(spec: Spec) -> dict[str, Source]:
    """The spec's events by the name of their source."""
    return {
        entry.source: _moments(spec, entry.source, entry, frozenset(entry.key))
        for entry in spec.events.values()
    }


def history_sources(spec: Spec) -> dict[str, Source]:
    """The spec's histories by the name of their source."""
    found = {}
    for name, history in spec.histories.items():
        source = _moments(spec, source_name(name), history, frozenset({history.user}))
        found[source.name] = dataclasses.replace(source, header=history.header)
    return found


def _moments(
    spec: Spec, name: str, section: EventsSpec | LogHistorySpec, needed: frozenset[str]
) -> Source:
    """Another log, whose rows tell when they happened.

    Args:
        spec: Of the run.
        name: Of the source, and where the spec names its files.
        section: Of the spec.
        needed: Columns without which a row is none, beside the time.
    """
    log, time = spec.log, section.time
    return Source(
        name,
        section.files,
        section.types,
        log.separator,
        section.format or log.format,
        _units(time, section.types),
        log.timezone,
        section.folder_timezone or log.folder_timezone or log.timezone,
        section=name,
        clock=time.timezone,
        needed=needed | {time.column} - {""},
        begin=_begin(time, section.types, log.timezone),
    )


def plan_ranges(
    source: Source,
    logs_dir: str,
    range_bytes: int = RANGE_BYTES,
    days: DayRange | None = None,
    context: int | None = None,
    after: int = 0,
) -> list[FileRange]:
    """All ranges of a source, files in the order of their paths.

    Args:
        source: Which files, and how they are written.
        logs_dir: The directory that `source.pattern` is relative to.
        range_bytes: Most bytes of a plain file that one range has.
        days: See `match_files`.
        context: See `match_files`.
        after: See `match_files`.

    Raises:
        FileNotFoundError: Nothing matches, or a day has no file.
        ValueError: A file is empty, damaged from its beginning, of another format, or
            lacks a declared column.
    """
    files = match_files(source, logs_dir, days, context, after)
    return plan_files(source, files, range_bytes)


def plan_files(
    source: Source, files: Sequence[FileMetadata], range_bytes: int = RANGE_BYTES
) -> list[FileRange]:
    """All ranges of some files of a source; see `plan_ranges`."""

    def plan(place: int, file: FileMetadata) -> list[FileRange]:
        size = file.size_in_bytes
        form = _FORMATS[source.format]
        ranges: list[FileRange]
        ranges = form.plan(file.path, size, place, source, range_bytes)
        return ranges

    with futures.ThreadPoolExecutor(_HEAD_READERS) as pool:
        ranges = pool.map(plan, range(len(files)), files)
        return list(itertools.chain.from_iterable(ranges))


def read_blocks(part: FileRange, source: Source) -> Iterator[Block]:
    """The rows and rejects of a range, some 16 MB of text at once."""
    return number_lines(_FORMATS[source.format].read(part, source))


def discover_days(
    spec: Spec,
    logs_dir: str,
    seen: Callable[[FileMetadata], bool] | None = None,
    known: Collection[datetime.date] = (),
) -> DayRange:
    """The first and the last day of the logs.

    Where the files are named by days, by their names; else by the times in them. Meant
    for logs of one machine's size: give `--days` for larger ones.

    Args:
        spec: What the logs hold.
        logs_dir: Their directory.
        seen: Says of a file whose times need not be read, as an earlier run did.
        known: Days that need no file: made before, or known to have none.

    Raises:
        ValueError: No line has a readable time, days are missing between the files, or
            a few rows lie far from all others; the message proposes days.
    """
    source = log_source(spec)
    if has_days(source):
        return _days_of_files(source, logs_dir, known)
    rows, told = _rows_per_day(source, logs_dir, spec, seen)
    if not rows:
        why = ", ".join(f"{what} ({count} rows)" for what, count in told.most_common())
        raise LogsError(
            f"{FileSystems.join(logs_dir, source.pattern)}: no line has a readable "
            f"time in {_told_time(spec)}. Check the spec's log.time"
            + (f": {why}." if why else ".")
        )
    return range_without_strays(rows, spec.log.days_per_split)


def _told_time(spec: Spec) -> str:
    time = spec.log.time
    return f"column {time.column!r}" if time.column else "log.time.expr"


def _days_of_files(
    source: Source, logs_dir: str, known: Collection[datetime.date]
) -> DayRange:
    days = {day_of(file.path, source) for file in match_files(source, logs_dir)}
    found = stretches({*days, *known})
    if len(found) > 1:
        gaps = [
            DayRange(before.last + _A_DAY, after.first - _A_DAY)
            for before, after in itertools.pairwise(found)
        ]
        raise LogsError(
            f"{FileSystems.join(logs_dir, source.pattern)}: there are files of the "
            f"days {', '.join(map(str, found))} and none of {', '.join(map(str, gaps))}"
            f" between. Bring the missing files; or give --days "
            f"{max(found, key=len)}; or, if there was nothing on a day, name it with "
            "--missing_day."
        )
    return _whole_days(found[0], source, logs_dir)


def _whole_days(folders: DayRange, source: Source, logs_dir: str) -> DayRange:
    """The days that files of some days of another zone hold all of."""
    whole = [
        day
        for day in DayRange(folders.first - _A_DAY, folders.last + _A_DAY)
        if set(source.folders(DayRange(day, day))) <= set(folders)
    ]
    if not whole:
        raise LogsError(
            f"{FileSystems.join(logs_dir, source.pattern)}: the files of {folders}, "
            f"days of {source.folder_zone}, hold no whole day of {source.zone}. Bring "
            "the files of the days around them."
        )
    return DayRange(whole[0], whole[-1])


def _rows_per_day(
    source: Source,
    logs_dir: str,
    spec: Spec,
    seen: Callable[[FileMetadata], bool] | None,
) -> tuple[collections.Counter[datetime.date], collections.Counter[str]]:
    """(readable rows of each day, why others are none); only the times are read."""
    columns = {name: source.columns[name] for name in begin_of(spec).columns}
    source = dataclasses.replace(source, columns=columns)
    day = local_time(spec).dt.date().alias("day")
    rows: collections.Counter[datetime.date] = collections.Counter()
    told: collections.Counter[str] = collections.Counter()
    files = match_files(source, logs_dir)
    files = [file for file in files if seen is None or not seen(file)]
    for part in plan_files(source, files):
        for block in read_blocks(part, source):
            times = block.rows.select(day)
            rows.update(dict(times.group_by("day").len().iter_rows()))
            told.update(reject.reason for reject in block.rejects)
            told.update(block.notes)
    return rows, told
