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
from pipeline.arrays import Ints
from pipeline.day_state.files import read_part, write_part
from pipeline.day_state.state import DayState
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.remembering import remember
from pipeline.examples.columns.statistics import remembered
from pipeline.examples.history_logs import newest_events
from pipeline.examples.log_counts import Counts
from pipeline.examples.read_logs import to_shards
from pipeline.examples.report import Stopwatch
from pipeline.examples.shuffle import Parcel, Shuffle
from pipeline.examples.state_tables import (
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
        self, state: DayState, spec: Spec, shards: int, shuffle: Shuffle
    ) -> None:
        super().__init__()
        columns = StateTables.of(spec).columns
        self._files = [(t, *file) for t in columns for file in state.of_table(t)]
        self._read = _ReadPart(columns, shards, shuffle)
        self._outputs = [state_output(table) for table in columns]

    def expand(self, pipeline: beam.Pipeline) -> beam.pvalue.DoOutputsTuple:
        return (
            pipeline
            | "List state files" >> beam.Create(self._files)
            | "Spread state files" >> beam.Reshuffle()
            | "Read state"
            >> beam.ParDo(self._read).with_outputs(COUNTS, *self._outputs)
        )


class _ReadPart(beam.DoFn):
    """(table, file, its rows) -> (shard, rows)."""

    def __init__(
        self, columns: Mapping[str, str], shards: int, shuffle: Shuffle
    ) -> None:
        self._columns, self._shards, self._shuffle = columns, shards, shuffle

    def process(self, element: tuple[str, str, int]) -> Iterator[Any]:
        table, path, rows = element
        watch = Stopwatch("read state")
        frame = read_part(path, rows)
        with self._shuffle.sender() as send:
            parts = to_shards(frame, self._columns[table], self._shards)
            sent = [(shard, send(part)) for shard, part in parts]
        yield beam.pvalue.TaggedOutput(COUNTS, watch.counts(rows))
        for parcel in sent:
            yield beam.pvalue.TaggedOutput(state_output(table), parcel)


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
        frame: pl.DataFrame | None,
        spec: Spec,
        carried: Carried | None,
        sums: pl.DataFrame | None,
        histories: Mapping[str, pl.DataFrame | None],
    ) -> Counts:
        """Writes what is carried of users.

        Args:
            frame: Their impressions; None if there are none.
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
        found, running = remember(frame, spec, carried, self.carrying.day)
        written = {USERS: found.users, RUNNING: running, SESSIONS: found.sessions}
        written |= {t: found.counters.get(m) for m, t in tables.counters.items()}
        user = spec.log.user
        if sums is None and carried is not None:
            sums = carried.sums
        if sums is not None:
            day = self.carrying.day
            written[tables.sums[user]] = remembered(sums, spec, user, day)
        for name, table in tables.histories.items():
            written[table] = newest_events(histories[name], spec.histories[name])
        counts = self.write(written)
        return counts | watch.counts(sum(int(n) for n in counts.values()))


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
