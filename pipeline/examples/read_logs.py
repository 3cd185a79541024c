"""The first step on Beam: ranges of files -> rows by user, side rows by their key."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import polars as pl

from feature_specs import Spec
from feature_specs.errors import UsageError
from feature_specs.events import EventsSpec
from pipeline.day_state.state import DayState
from pipeline.examples.columns.event_columns import MS
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import (
    DAY,
    DayRange,
    days_after,
    local_time,
    midnight_ms,
)
from pipeline.examples.events import OUTSIDE, OWNER, UNMATCHED, impression_keys
from pipeline.examples.hashing import bucket_of, hash_columns
from pipeline.examples.history_logs import rows_that_count
from pipeline.examples.joins import place_side_rows
from pipeline.examples.log_counts import (
    count_folder,
    count_notes,
    count_rejects_by_day,
    count_values,
)
from pipeline.examples.reading.blocks import Block
from pipeline.examples.reading.log_files import day_of, has_days, match_files
from pipeline.examples.reading.marks import FileMark, is_marked, unseen
from pipeline.examples.reading.readers import (
    all_sources,
    discover_days,
    log_source,
    plan_files,
    read_blocks,
)
from pipeline.examples.reading.sources import (
    LOG,
    FileRange,
    Source,
    history_of,
    source_name,
)
from pipeline.examples.report import Counts, Stopwatch, count_block, merge_counts
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.shuffle import Shuffle, split_by

ROWS, REJECTS, COUNTS = "rows", "rejects", "counts"
# Rows of days after the run's, in files that a run of those will not read.
EARLY = "early rows"

_ROWS = pl.len().alias("_rows")
_A_DAY = datetime.timedelta(days=1)
_HOUR_MS = 3_600_000
# Of log a shard, 32 MB: some 400,000 rows, 1.5 GB when worked on. Half of that costs as
# much while there are few, whose parcels are large.
_SHARD_BYTES, _SMALL_SHARD_BYTES, _MANY_SHARDS = 32 << 20, 16 << 20, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run reads, planned before anything runs.

    Attributes:
        spec: What the log and its side files hold.
        parts: Ranges of all files.
        sources: The log and the side files by their names.
        days: Days that become examples.
        first_day: The first that is read: of context, or of `days`.
        shards: Parts that users are hashed into.
        marked: Files that the next run leaves out if they hold no row of later days.
        next_folder: Where files are named by days, the first that the next run reads;
            None if that is not asked for.
    """

    spec: Spec
    parts: tuple[FileRange, ...]
    sources: Mapping[str, Source]
    days: DayRange
    first_day: datetime.date
    shards: int
    marked: tuple[tuple[str, FileMark], ...] = ()
    next_folder: datetime.date | None = None


def plan_reading(request: ExamplesRequest) -> Reading:
    """What is to be read for a request.

    Raises:
        FileNotFoundError: A pattern of the spec matches no file.
        ValueError: A file is empty or lacks a declared column.
    """
    spec = request.spec
    sources = all_sources(spec)
    windows = {entry.source: entry.window_days for entry in spec.events.values()}
    state = request.state
    seen = {} if state is None else marks_of(state)
    parts: list[FileRange] = []
    marked: list[tuple[str, FileMark]] = []
    for name, source in sources.items():
        files = match_files(
            source,
            request.logs_dir,
            days=None if name in spec.log.joins else request.days,
            context=request.context,
            after=windows.get(name, 0),
        )
        if is_marked(source, spec):
            files = unseen(files, seen)
            marked += [(file.path, FileMark.of(file)) for file in files]
        parts += plan_files(source, files, request.range_bytes)
    by_user = {LOG, *map(source_name, spec.histories)}
    size = sum(part.text_bytes for part in parts if part.source in by_user)
    return Reading(
        spec=spec,
        parts=tuple(parts),
        sources=sources,
        days=request.days,
        first_day=request.first_day_read,
        shards=request.shards or shards_of(size),
        marked=tuple(marked),
        next_folder=_next_folder(request, sources[LOG]),
    )


def shards_of(text_bytes: int) -> int:
    """How many shards a log of that size is cut into: never fewer for more."""
    small, large = text_bytes // _SMALL_SHARD_BYTES, text_bytes // _SHARD_BYTES
    return min(small, max(large, _MANY_SHARDS)) + 1


def _next_folder(request: ExamplesRequest, log: Source) -> datetime.date | None:
    """See `Reading`."""
    if request.state_to is None or not has_days(log):
        return None
    next_day = request.days.last + _A_DAY
    return log.folders(DayRange(next_day, next_day)).first


def side_output(name: str) -> str:
    """The output of a side file's rows."""
    return f"side file {name}"


def event_output(section: EventsSpec) -> str:
    """The output of a section's events."""
    return f"events {section.name}"


def key_output(section: EventsSpec) -> str:
    """The output of what finds the users of a section's events."""
    return f"impressions by the key of {section.name}"


def to_shards(
    rows: pl.DataFrame, column: str | Sequence[str], shards: int
) -> Iterator[tuple[int, pl.DataFrame]]:
    """(shard, its rows), by the hash of columns; a null has a shard too."""
    if not rows.height:
        return
    columns = [column] if isinstance(column, str) else column
    keys = [rows[name] for name in columns]
    keys = [key.fill_null("" if key.dtype == pl.String else -1) for key in keys]
    yield from split_by(rows, bucket_of(hash_columns(keys), shards))


class ReadLogs(beam.PTransform):
    """Reads all parts; outputs ROWS (shard of the user, rows), `side_output(name)`
    (shard of the key, rows), `source_name(history)` (as ROWS), REJECTS ((range,
    block), rejects) and COUNTS."""

    def __init__(self, reading: Reading, shuffle: Shuffle) -> None:
        super().__init__()
        self._parts = reading.parts
        # A worker gets the ranges one by one: all of them would travel with each step.
        lean = dataclasses.replace(reading, parts=(), marked=())
        self._read = _ReadRange(lean, shuffle)
        spec = reading.spec
        self._others = [EARLY, *map(side_output, spec.log.joins)]
        self._others += map(source_name, spec.histories)
        self._others += map(event_output, spec.events.values())
        self._others += map(key_output, without_owner(spec))

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        return (
            pipeline
            | "List file ranges" >> beam.Create(self._parts, reshuffle=False)
            | "Spread file ranges" >> beam.Reshuffle()
            | "Read blocks of rows"
            >> beam.ParDo(self._read).with_outputs(ROWS, REJECTS, COUNTS, *self._others)
        )


class _ReadRange(beam.DoFn):
    """A range of a file, block by block."""

    def __init__(self, reading: Reading, shuffle: Shuffle) -> None:
        self._reading, self._shuffle = reading, shuffle

    def process(self, part: FileRange) -> Iterator[Any]:
        counts: list[Counts] = []
        with self._shuffle.sender() as send:
            for number, block in enumerate(self._blocks(part, counts)):
                if block.rejects:
                    rejected = (part, number, block.rejects)
                    yield beam.pvalue.TaggedOutput(REJECTS, rejected)
                for output, rows, column in self._rows(block, part, counts):
                    for shard, found in to_shards(rows, column, self._reading.shards):
                        yield beam.pvalue.TaggedOutput(output, (shard, send(found)))
        yield beam.pvalue.TaggedOutput(COUNTS, merge_counts(counts))

    def _blocks(self, part: FileRange, counts: list[Counts]) -> Iterator[Block]:
        """The blocks of a range; counts each, with the time that reading it took."""
        watch = Stopwatch("read")
        for block in read_blocks(part, self._reading.sources[part.source]):
            counts += [watch.counts(block.rows.height), count_block(part, block)]
            source = self._reading.sources[part.source]
            if source.begin is not None:
                counts.append(count_later(block.rows, part, self._reading))
            counts += [count_notes(part, block), count_values(part, block, source)]
            yield block
            watch = Stopwatch("read")

    def _rows(
        self, block: Block, part: FileRange, counts: list[Counts]
    ) -> Iterator[tuple[str, pl.DataFrame, str | Sequence[str]]]:
        """(output, rows of the block as they go there, the columns they go by)."""
        spec = self._reading.spec
        if part.source == LOG:
            rows = self._log_rows(block, part, counts)
            yield ROWS, rows, spec.log.user
            yield EARLY, early_rows(block.rows, part, self._reading), spec.log.user
            for section in without_owner(spec):
                keys = impression_keys(rows, section, spec)
                yield key_output(section), keys, section.key
        elif part.source in spec.log.joins:
            rows = place_side_rows(block.rows, part.file, part.number)
            yield side_output(part.source), rows, spec.log.joins[part.source].key
        elif history := history_of(part.source, spec):
            yield self._history_rows(block, part, history, counts)
        else:
            yield self._events(block, part, counts)

    def _events(
        self, block: Block, part: FileRange, counts: list[Counts]
    ) -> tuple[str, pl.DataFrame, str | Sequence[str]]:
        """The same of a block of an event file."""
        spec = self._reading.spec
        (section,) = (e for e in spec.events.values() if e.source == part.source)
        rows, told = events_of_days(block.rows, section, self._reading)
        head = ("event_folder", section.name)
        source = self._reading.sources[part.source]
        counts += [told, count_folder(block.rows, part, source, head)]
        owner = OWNER if section.owner(spec.log.user) else section.key
        return event_output(section), rows, owner

    def _log_rows(
        self, block: Block, part: FileRange, counts: list[Counts]
    ) -> pl.DataFrame:
        """The rows of the days that are read."""
        spec, source = self._reading.spec, self._reading.sources[LOG]
        timed = block.rows.select(*spec.log.columns, TIME_MS)
        rows, by_day = rows_of_days(timed, self._reading)
        counts += [
            by_day,
            count_folder(timed, part, source),
            count_rejects_by_day(block, part, source, spec),
        ]
        return rows

    def _history_rows(
        self, block: Block, part: FileRange, history: str, counts: list[Counts]
    ) -> tuple[str, pl.DataFrame, str]:
        """The same of a block of a history's file."""
        reading = self._reading
        source = reading.sources[part.source]
        rows, found = rows_that_count(
            block.rows,
            part,
            source,
            reading.spec,
            reading.first_day,
            reading.days.last,
        )
        counts.append(found)
        return part.source, rows, reading.spec.histories[history].user


def without_owner(spec: Spec) -> list[EventsSpec]:
    """The sections whose events do not tell their user."""
    return [e for e in spec.events.values() if not e.owner(spec.log.user)]


def events_of_days(
    rows: pl.DataFrame, section: EventsSpec, reading: Reading
) -> tuple[pl.DataFrame, Counts]:
    """(events that may be of an impression that is read, what is counted of all).

    Args:
        rows: The section's columns and `TIME_MS`.
        section: Of the spec.
        reading: Of the run.
    """
    log = reading.spec.log
    timed = rows.select(*section.types, pl.col(TIME_MS).alias(MS))
    owner = section.owner(log.user)
    if owner:
        timed = timed.with_columns(pl.col(owner).alias(OWNER))
    last = midnight_ms(reading.days.last + _A_DAY, log.timezone) + section.window_ms
    inside = pl.col(MS) < last
    if reading.first_day > datetime.date.min:
        inside &= pl.col(MS) >= midnight_ms(reading.first_day, log.timezone)
    kept = timed.filter(inside)
    outside = timed.height - kept.height
    hours = timed.group_by(pl.col(MS) // _HOUR_MS).len().iter_rows()
    counts: Counts = {("event_hour", section.name, hour): n for hour, n in hours}
    counts["event", section.name, UNMATCHED] = outside
    counts["event", section.name, OUTSIDE] = outside
    return kept, counts


def count_later(rows: pl.DataFrame, part: FileRange, reading: Reading) -> Counts:
    """How many rows of a file are of days after those that are read."""
    end_ms = midnight_ms(reading.days.last + _A_DAY, reading.spec.log.timezone)
    later = int((rows[TIME_MS] >= end_ms).sum())
    return {("later_rows", part.path): later} if later else {}


def early_rows(rows: pl.DataFrame, part: FileRange, reading: Reading) -> pl.DataFrame:
    """The rows of later days that no later run will read: their file is of a day that
    is over."""
    spec, folder = reading.spec, reading.next_folder
    rows = rows.select(*spec.log.columns, TIME_MS)
    if folder is None or day_of(part.path, reading.sources[LOG]) >= folder:
        return rows.clear()
    end_ms = midnight_ms(reading.days.last + _A_DAY, spec.log.timezone)
    return rows.filter(pl.col(TIME_MS) >= end_ms)


def count_marks(reading: Reading) -> Counts:
    """The marks of files, as they are counted."""
    return {("mark", path, mark.size, mark.updated): 1 for path, mark in reading.marked}


def marks_of(state: DayState) -> dict[str, FileMark]:
    """The files that a run from a state need not read again."""
    return {path: FileMark(*mark) for path, mark in state.seen.items()}


def new_days(spec: Spec, logs_dir: str, state: DayState) -> DayRange:
    """The days that logs have beyond those that a state knows.

    Raises:
        UsageError: There are none.
        ValueError: See `discover_days`.
    """
    seen, source = marks_of(state), log_source(spec)
    if is_marked(source, spec) and not unseen(match_files(source, logs_dir), seen):
        raise UsageError(
            f"{logs_dir}: no file of the log is new, or has changed, since the state "
            f"of {state.day:%Y%m%d} was made. Bring the logs of a new day."
        )
    found = discover_days(spec, logs_dir, lambda file: not unseen([file], seen))
    return days_after(found, state.day)


def rows_of_days(rows: pl.DataFrame, reading: Reading) -> tuple[pl.DataFrame, Counts]:
    """(those of the days that are read, how many rows each day has).

    Args:
        rows: The log's columns and `TIME_MS`.
        reading: Of the run.
    """
    spec, days = reading.spec, reading.days
    day = local_time(spec).dt.date()
    optional = [c for c, kind in spec.log.columns.items() if kind.endswith("?")]
    values = [pl.col(column).count() for column in optional]
    found = rows.group_by(day.alias(DAY)).agg(_ROWS, *values)
    by_day = dict(found.select(DAY, _ROWS.meta.output_name()).iter_rows())
    counts: Counts = {("day", f"{found:%Y%m%d}"): n for found, n in by_day.items()}
    for row in found.iter_rows(named=True):
        text = f"{row[DAY]:%Y%m%d}"
        counts |= {("day_value", text, c): row[c] for c in optional if row[c]}
    is_read = {found: reading.first_day <= found <= days.last for found in by_day}
    counts["outside_days",] = sum(n for d, n in by_day.items() if not is_read[d])
    counts["early_days",] = sum(n for d, n in by_day.items() if d < reading.first_day)
    counts["context",] = sum(
        n for d, n in by_day.items() if is_read[d] and d < days.first
    )
    if all(is_read.values()):
        return rows, counts
    return rows.filter(day.is_between(reading.first_day, days.last)), counts
