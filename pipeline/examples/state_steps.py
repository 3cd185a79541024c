"""The steps on Beam that read a day's state, and write the next one.

files of a state -> frames by user, frames by key -> beside the new days' rows
what is carried of a shard -> one file a table, in the workspace
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.arrays import Bools, Ints
from pipeline.day_state.files import read_part, write_part
from pipeline.day_state.state import DayState
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.event_columns import MS, ROW
from pipeline.examples.columns.remembering import remember
from pipeline.examples.columns.statistics import remembered
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import DayRange, local_time, midnight_ms
from pipeline.examples.duplicates import identity
from pipeline.examples.events import OWNER, Attached, impression_keys
from pipeline.examples.history_logs import newest_events
from pipeline.examples.log_counts import Counts
from pipeline.examples.read_logs import key_output, to_shards, without_owner
from pipeline.examples.reading.sources import LOG
from pipeline.examples.report import Stopwatch
from pipeline.examples.shuffle import Parcel, Shuffle
from pipeline.examples.state_tables import (
    EARLY,
    QUANTILES,
    RUNNING,
    SESSIONS,
    USERS,
    StateTables,
)

COUNTS = "counts"
_GROUPS = "rows"  # the column of a quantile's histogram


@dataclasses.dataclass(frozen=True, kw_only=True)
class Carrying:
    """From which state a run goes on, and where it writes the next one.

    Attributes:
        after: The last day that the state knows; None for a run without one.
        folder: Where the next state's files wait for the others; "" writes none.
        day: The last day of the run.
    """

    after: datetime.date | None = None
    folder: str = ""
    day: datetime.date = datetime.date.min


def state_output(table: str) -> str:
    """The output of a table's rows."""
    return f"carried {table}"


class ReadState(beam.PTransform):
    """Reads the files of a state -> `state_output(table)` (shard, rows) and COUNTS."""

    def __init__(
        self,
        state: DayState,
        spec: Spec,
        days: DayRange,
        shards: int,
        shuffle: Shuffle,
    ) -> None:
        super().__init__()
        columns = StateTables.of(spec).columns
        self._files = [(t, *file) for t in columns for file in state.of_table(t)]
        self._read = _ReadPart(columns, spec, days, shards, shuffle)
        self._outputs = [state_output(table) for table in columns]
        self._outputs += map(key_output, without_owner(spec))

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        return (
            pipeline
            | "List state files" >> beam.Create(self._files, reshuffle=False)
            | "Spread state files" >> beam.Reshuffle()
            | "Read state"
            >> beam.ParDo(self._read).with_outputs(COUNTS, *self._outputs)
        )


class _ReadPart(beam.DoFn):
    """(table, file, its rows) -> (shard, rows)."""

    def __init__(
        self,
        columns: Mapping[str, str],
        spec: Spec,
        days: DayRange,
        shards: int,
        shuffle: Shuffle,
    ) -> None:
        self._columns, self._spec, self._days = columns, spec, days
        self._shards, self._shuffle = shards, shuffle

    def process(self, element: tuple[str, str, int]) -> Iterator[Any]:
        table, path, rows = element
        watch = Stopwatch("read state")
        counts: Counts = {}
        parts = {table: read_part(path, rows)}
        if table == EARLY:
            early, due, counts = due_rows(parts[EARLY], self._spec, self._days)
            parts = {EARLY: early, RUNNING: due}  # those stand among the run's rows
        with self._shuffle.sender() as send:
            sent = [
                (output, (shard, send(part)))
                for which, whole in parts.items()
                for output, found, by in self._rows(which, whole)
                for shard, part in to_shards(found, by, self._shards)
            ]
        yield beam.pvalue.TaggedOutput(COUNTS, counts | watch.counts(rows))
        for output, parcel in sent:
            yield beam.pvalue.TaggedOutput(output, parcel)

    def _rows(
        self, table: str, frame: pl.DataFrame
    ) -> Iterator[tuple[str, pl.DataFrame, str | Sequence[str]]]:
        """(output, rows, the columns they go by): impressions by their keys, too."""
        yield state_output(table), frame, self._columns[table]
        if table == RUNNING:
            for section in without_owner(self._spec):
                keys = impression_keys(frame, section, self._spec)
                yield key_output(section), keys, section.key


def due_rows(
    early: pl.DataFrame, spec: Spec, days: DayRange
) -> tuple[pl.DataFrame, pl.DataFrame, Counts]:
    """(rows that came before their day and wait on, those of the run, their counts).

    They count where their day's rows do: when they came, they were outside of the days.

    Args:
        early: Of the table.
        spec: Of the run.
        days: Of the run.
    """
    day = local_time(spec).dt.date()
    waiting, past = early.filter(day > days.last), early.filter(day < days.first)
    due = early.filter(day.is_between(days.first, days.last))
    counts: Counts = {
        ("rows", LOG): due.height + past.height,
        ("outside_days",): past.height,
        ("early_days",): past.height,
    }
    for found, number in due.group_by(day.alias("day")).len().iter_rows():
        counts["day", f"{found:%Y%m%d}"] = number
    return waiting, due, counts


def received(
    groups: Mapping[str, Iterable[Parcel]], table: str, shuffle: Shuffle
) -> pl.DataFrame | None:
    """The rows of a table in a shard; None if there are none."""
    return shuffle.receive(groups.get(state_output(table), ()))


def receive_carried(
    groups: Mapping[str, Iterable[Parcel]],
    spec: Spec,
    shuffle: Shuffle,
    after: datetime.date | None,
) -> Carried | None:
    """What earlier days left of the users of a shard; None in a run without a state."""
    if after is None:
        return None
    tables = StateTables.of(spec)

    def get(table: str) -> pl.DataFrame | None:
        return received(groups, table, shuffle)

    sums = tables.sums.get(spec.log.user)
    return Carried(
        day=after,
        users=get(USERS),
        counters={match: get(table) for match, table in tables.counters.items()},
        sessions=get(SESSIONS),
        sums=get(sums) if sums else None,
        histories={name: get(table) for name, table in tables.histories.items()},
    )


@dataclasses.dataclass(frozen=True)
class StateWriter:
    """Writes what a shard carries beyond the run's last day.

    Attributes:
        carrying: Of the run.
        shard: Its number.
        shards: How many there are.
    """

    carrying: Carrying
    shard: int
    shards: int

    def write(self, tables: Mapping[str, pl.DataFrame | None]) -> Counts:
        """Writes tables; those without a row have no file. Counts the rows of each."""
        counts: Counts = {}
        for table, frame in tables.items():
            if frame is None or not frame.height:
                continue
            name = write_part(
                self.carrying.folder, table, self.shard, self.shards, frame
            )
            counts["state", name] = frame.height
        return counts

    def write_users(
        self,
        attached: Attached | None,
        rows: pl.DataFrame | None,
        spec: Spec,
        carried: Carried | None,
        sums: pl.DataFrame | None,
        histories: Mapping[str, pl.DataFrame | None],
    ) -> Counts:
        """Writes what is carried of users.

        Args:
            attached: Their impressions with what events make of them, and with what is
                joined to them; None if there are none.
            rows: The rows of the log that these were made of.
            spec: Of the run.
            carried: What earlier days left.
            sums: For the statistics by user, with those of earlier days; None if there
                are no impressions, or no such statistics.
            histories: History -> all settled events of the users.
        """
        if not self.carrying.folder:
            return {}
        watch = Stopwatch("write state")
        tables = StateTables.of(spec)
        day = self.carrying.day
        frame = None if attached is None else attached.frame
        versions = None if attached is None else attached.versions
        found, running = remember(frame, spec, carried, day, versions)
        written = {USERS: found.users, SESSIONS: found.sessions}
        if attached is not None and rows is not None and running is not None:
            written |= _running(attached, rows, running, spec, day)
        written |= {t: found.counters.get(m) for m, t in tables.counters.items()}
        user = spec.log.user
        if sums is None and carried is not None:
            sums = carried.sums
        if sums is not None:
            written[tables.sums[user]] = remembered(sums, spec, user, day)
        for name, table in tables.histories.items():
            written[table] = newest_events(histories[name], spec.histories[name])
        counts = self.write(written)
        return counts | watch.counts(sum(int(n) for n in counts.values()))


def _running(
    attached: Attached,
    rows: pl.DataFrame,
    running: Bools,
    spec: Spec,
    day: datetime.date,
) -> dict[str, pl.DataFrame | None]:
    """The tables of impressions that a later day may change, and of their events.

    Copies of an impression stay what they are: each may have a key of its own.
    """
    frame, tables = attached.frame, StateTables.of(spec)
    key = identity(spec)
    those = frame.filter(pl.Series(running)).select(key)
    kept = rows.select(*spec.log.columns, TIME_MS)
    kept = kept.join(those, on=key, how="semi", maintain_order="left")
    found: dict[str, pl.DataFrame | None] = {
        RUNNING: kept.sort(*key, *sorted({*kept.columns} - {*key} - _unsorted(kept)))
    }
    end_ms = midnight_ms(day + datetime.timedelta(days=1), spec.log.timezone)
    for name, joined in attached.joined.items():
        mine = pl.Series(running).gather(joined[ROW])
        events = joined.filter(mine & (joined[MS] < end_ms))
        found[tables.events[name]] = events.select(*spec.events[name].types, MS, OWNER)
    return found


def _unsorted(frame: pl.DataFrame) -> set[str]:
    """Columns whose values have no order."""
    nested = (pl.List, pl.Array)
    return {c for c, dtype in frame.schema.items() if isinstance(dtype, nested)}


class WriteHistograms(beam.DoFn):
    """The histograms of quantiles -> their file, and its rows."""

    def __init__(self, carrying: Carrying) -> None:
        self._writer = StateWriter(carrying, 0, 1)

    def process(self, histograms: Sequence[Ints]) -> Iterator[Counts]:
        yield self._writer.write({QUANTILES: histograms_frame(histograms)})


def histograms_frame(histograms: Sequence[Ints]) -> pl.DataFrame:
    """Histograms as a table, one row a group of a quantile."""
    rows = [
        {"quantile": number, "group": group, _GROUPS: bins.tolist()}
        for number, histogram in enumerate(histograms)
        for group, bins in enumerate(histogram)
    ]
    schema = {
        "quantile": pl.Int64(),
        "group": pl.Int64(),
        _GROUPS: pl.List(pl.Int64),
    }
    return pl.DataFrame(rows, schema=schema)


def read_histograms(state: DayState, spec: Spec) -> list[Ints]:
    """The histograms of a state, one a quantile of the spec."""
    files = state.of_table(QUANTILES)
    if not files:
        return []
    frame = pl.concat([read_part(path, rows) for path, rows in files])
    frame = frame.sort("quantile", "group")
    return [
        np.array(
            frame.filter(pl.col("quantile") == number)[_GROUPS].to_list(), np.int64
        )
        for number in range(len(spec.quantiles))
    ]
