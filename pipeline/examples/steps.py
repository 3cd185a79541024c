"""The steps on Beam that work on users and keys; each knows only what it is given.

A worker gets a step pickled, so none of them holds the request or the outputs.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import polars as pl
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec
from feature_specs.events import EventsSpec, reads_events
from pipeline.arrays import Ints
from pipeline.examples import joins
from pipeline.examples.columns import quantiles, statistics
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.histories import add_histories
from pipeline.examples.columns.stages import Versions
from pipeline.examples.days import DAY, SplitPlan, midnight_ms
from pipeline.examples.duplicates import identity
from pipeline.examples.events import OWNER, attach, count_alone, find_owners
from pipeline.examples.hashing import bucket_of
from pipeline.examples.history_logs import SettledHistories, settle_histories
from pipeline.examples.outputs import SplitWriter, write_json
from pipeline.examples.read_logs import (
    COUNTS,
    EARLY,
    ROWS,
    event_output,
    key_output,
    side_output,
    to_shards,
)
from pipeline.examples.reading.blocks import Reject
from pipeline.examples.reading.sources import FileRange, source_name
from pipeline.examples.report import Counts, Stopwatch, build_report, count_shard
from pipeline.examples.shard import EVALUATION_ONLY, ORDER, SPLIT, make_examples, settle
from pipeline.examples.shuffle import Parcel, Shuffle, split_by
from pipeline.examples.state_steps import (
    Carrying,
    StateWriter,
    receive_carried,
    received,
)
from pipeline.examples.state_tables import EARLY as EARLY_TABLE
from pipeline.examples.state_tables import SHOWN as SHOWN_TABLE
from pipeline.examples.state_tables import StateTables
from pipeline.examples.summary_steps import SummarizeFile
from pipeline.examples.tfrecords import write_whole
from serving.export.quantile_tables import tables_as_json

FILE_ROWS = 50_000  # readable rows an output file: some 20 MB
MOST_FILES = 1_000  # more files cost more in pieces than they gain in workers

SUMS, SHOWN, ASKED, HISTOGRAMS = "sums", "shown", "asked", "histograms"

Element = tuple[int, Parcel]  # (number of a shard, a frame on its way there)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """What every step may know.

    Attributes:
        spec: What the logs hold and what becomes of them.
        plan: Which days become examples, and their splits.
        seed: Of the order inside a split.
        shards: Parts that users are hashed into.
        shuffle: How frames get from one step to the next.
        carrying: From which state the run goes on, and where it writes the next one.
    """

    spec: Spec
    plan: SplitPlan
    seed: int
    shards: int
    shuffle: Shuffle
    carrying: Carrying

    @property
    def since_ms(self) -> int | None:
        """When the first day begins that the state does not know; None without one."""
        if self.carrying.after is None:
            return None
        first = self.carrying.after + datetime.timedelta(days=1)
        return midnight_ms(first, self.spec.log.timezone)


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Into how many files each split goes.

    Attributes:
        plan: Of the run.
        written: The splits that are written.
        file_rows: Readable rows for each file; by default `FILE_ROWS`, or what makes
            about `MOST_FILES` files in all.
    """

    plan: SplitPlan
    written: tuple[str, ...]
    file_rows: int | None = None

    def numbers(self, read_counts: Counts) -> dict[int, int]:
        """Split that is written -> its files, known before any row is filtered."""
        splits = self.plan.splits
        rows = np.zeros(len(splits), np.int64)
        for day in self.plan.days:
            found = read_counts.get(("day", f"{day:%Y%m%d}"), 0)
            rows[splits.index(self.plan.split_of(day))] += int(found)
        size = self.file_rows or max(FILE_ROWS, int(rows.sum()) // MOST_FILES)
        numbers = [splits.index(name) for name in self.written]
        return {split: max(1, -(-int(rows[split]) // size)) for split in numbers}


def events_are_looked_at(spec: Spec) -> bool:
    """Whether what users tell of keys, or of all training days, reads events."""
    texts = [statistic.value for statistic in spec.statistics]
    texts += [text for q in spec.quantiles for text in (q.value, q.by)]
    return reads_events(texts, spec.events)


class LookAtUsers(beam.DoFn):
    """All rows of some users -> what they ask about keys, and what they tell."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._keys = setup, joins.plan_keys(setup.spec)

    def process(
        self, element: tuple[int, dict[str, Iterable[Parcel]]]
    ) -> Iterator[Any]:
        spec, plan = self._setup.spec, self._setup.plan
        shard, groups = element
        watch = Stopwatch("look at users")
        rows = self._setup.shuffle.receive(groups[ROWS])
        if rows is None:  # events of users without an impression
            return
        frame, _ = settle(rows, spec, plan.days.first)
        versions = Versions.none()
        if events_are_looked_at(spec):
            events, since_ms = _events(groups, self._setup), self._setup.since_ms
            found = attach(frame, rows, events, spec, since_ms)
            frame, versions = found.frame, found.versions
        sent = list(self._send(frame, versions, shard))
        yield beam.pvalue.TaggedOutput(COUNTS, watch.counts(rows.height))
        if self._setup.carrying.after is None:  # else they are known
            learned = frame.filter(pl.col(DAY) <= plan.last_learned)
            histograms = quantiles.histogram(learned, spec)
            yield beam.pvalue.TaggedOutput(HISTOGRAMS, histograms)
        yield from sent

    def _send(
        self, frame: pl.DataFrame, versions: Versions, shard: int
    ) -> Iterator[Any]:
        shards = self._setup.shards
        with self._setup.shuffle.sender() as send:
            for key in self._keys:
                for tag, told in self._told(frame, versions, key, shard):
                    for place, part in to_shards(told, key.column, shards):
                        output = f"{tag} {key.column}"
                        yield beam.pvalue.TaggedOutput(output, (place, send(part)))

    def _told(
        self, frame: pl.DataFrame, versions: Versions, key: joins.Key, shard: int
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        spec, after = self._setup.spec, self._setup.carrying.after
        yield ASKED, joins.ask(frame, key, shard)
        if key.by_day:
            yield SUMS, statistics.daily_sums(frame, spec, key.column, versions, after)
        if key.counted:
            new = frame if after is None else frame.filter(pl.col(DAY) > after)
            yield SHOWN, joins.count_items(new, spec, self._setup.plan)


class FindOwners(beam.DoFn):
    """All impressions and events of some keys -> (shard of the user, events)."""

    def __init__(self, setup: Setup, section: EventsSpec) -> None:
        self._setup, self._section = setup, section

    def process(
        self, element: tuple[int, dict[str, Iterable[Parcel]]]
    ) -> Iterator[Any]:
        _, groups = element
        setup, section = self._setup, self._section
        watch = Stopwatch(f"find the users of {section.name}")
        events = setup.shuffle.receive(groups[event_output(section)])
        if events is None:
            return
        impressions = setup.shuffle.receive(groups[key_output(section)])
        found, counts = find_owners(events, impressions, section)
        with setup.shuffle.sender() as send:
            sent = [
                (place, send(part))
                for place, part in to_shards(found, OWNER, setup.shards)
            ]
        counts |= watch.counts(events.height)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)
        yield from sent


class Answer(beam.DoFn):
    """All that is known of some keys -> (the shard that asked, its answers)."""

    def __init__(self, setup: Setup, key: joins.Key) -> None:
        self._setup, self._key = setup, key
        self._spec, self._shuffle = setup.spec, setup.shuffle

    def process(
        self, element: tuple[int, dict[str, Iterable[Parcel]]]
    ) -> Iterator[Any]:
        shard, groups = element
        watch = Stopwatch(f"answer about {self._key.column}")
        sides, counts = _sides(groups, self._key.joins, self._spec, self._shuffle)
        asked = self._shuffle.receive(groups[ASKED])
        answers: list[Element] = []
        sums, shown = self._sums(groups), self._shown(groups)
        if asked is not None:
            told = joins.answer(
                asked, self._key, self._spec, self._setup.plan, sides, sums, shown
            )
            places = told[joins.ASKING].to_numpy()
            with self._shuffle.sender() as send:
                parts = split_by(told, places)
                answers = [(place, send(part)) for place, part in parts]
        counts |= self._write_state(shard, sums, shown)
        counts |= watch.counts(0 if asked is None else asked.height)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)
        yield from answers

    def _sums(self, groups: dict[str, Iterable[Parcel]]) -> pl.DataFrame | None:
        """The sums for the key's statistics, of earlier days too, added up."""
        if not self._key.by_day:
            return None
        table = StateTables.of(self._spec).sums[self._key.column]
        parts = [
            self._shuffle.receive(groups[SUMS]),
            received(groups, table, self._shuffle),
        ]
        there = [part for part in parts if part is not None]
        return statistics.add_up(there) if there else None

    def _shown(self, groups: dict[str, Iterable[Parcel]]) -> pl.DataFrame | None:
        """How often the key's values were shown, on earlier days too."""
        if not self._key.counted:
            return None
        parts = [
            self._shuffle.receive(groups[SHOWN]),
            received(groups, SHOWN_TABLE, self._shuffle),
        ]
        there = [part for part in parts if part is not None]
        return pl.concat(there) if there else None

    def _write_state(
        self, shard: int, sums: pl.DataFrame | None, shown: pl.DataFrame | None
    ) -> Counts:
        carrying, column = self._setup.carrying, self._key.column
        if not carrying.folder:
            return {}
        tables = {}
        if sums is not None:
            table = StateTables.of(self._spec).sums[column]
            day = carrying.day
            tables[table] = statistics.remembered(sums, self._spec, column, day)
        if shown is not None:
            tables[SHOWN_TABLE] = joins.shown_until(shown, column, carrying.day)
        return StateWriter(carrying, shard, self._setup.shards).write(tables)


class MakeExamples(beam.DoFn):
    """All of some users -> ((split, file, files), encoded rows), and counts."""

    def __init__(self, setup: Setup, files: SplitFiles) -> None:
        self._setup, self._files = setup, files
        self._keys = joins.plan_keys(setup.spec)

    def process(
        self,
        element: tuple[int, dict[str, Iterable[Parcel]]],
        read_counts: Counts,
        histograms: Sequence[npt.NDArray[np.int64]],
    ) -> Iterator[Any]:
        shard_number, groups = element
        setup, spec, plan = self._setup, self._setup.spec, self._setup.plan
        watch = Stopwatch("make examples")
        own = joins.user_joins(spec)
        sides, counts = _sides(groups, own, spec, setup.shuffle)
        rows = setup.shuffle.receive(groups[ROWS])
        carried = receive_carried(groups, spec, setup.shuffle, setup.carrying.after)
        logs = _histories(groups, rows, spec, setup.shuffle, carried)
        counts |= logs.counts
        events = _events(groups, setup)
        writer = StateWriter(setup.carrying, shard_number, setup.shards)
        if rows is None:  # side rows and events of users without an impression
            counts |= _alone(events, spec) | self._write_early(groups, writer)
            counts |= writer.write_users(None, None, spec, carried, None, logs.all)
            yield beam.pvalue.TaggedOutput(COUNTS, counts)
            return
        frame, copies = settle(rows, spec, plan.days.first)
        attached = attach(frame, rows, events, spec, setup.since_ms)
        frame, versions = attached.frame, attached.versions
        counts |= attached.counts
        for key in self._keys:
            answers = setup.shuffle.receive(groups[key.column])
            frame = joins.add_answers(frame, key, answers)
        frame, sums = joins.add_own(frame, spec, sides, versions, carried)
        counts |= self._write_early(groups, writer)
        attached = dataclasses.replace(attached, frame=frame)
        counts |= writer.write_users(attached, rows, spec, carried, sums, logs.all)
        frame = add_histories(frame, spec, logs.known)
        shard = make_examples(
            frame, spec, plan, histograms, setup.seed, versions, carried
        )
        counts |= count_shard(shard, frame, copies, spec, plan)
        sent = self._send(shard.examples, self._files.numbers(read_counts))
        yield beam.pvalue.TaggedOutput(COUNTS, counts | watch.counts(rows.height))
        yield from sent

    def _write_early(
        self, groups: Mapping[str, Iterable[Parcel]], writer: StateWriter
    ) -> Counts:
        """Writes the rows that came before their day, and will not be read again."""
        if not self._setup.carrying.folder:
            return {}
        shuffle = self._setup.shuffle
        parts = [
            shuffle.receive(groups.get(EARLY, ())),
            received(groups, EARLY_TABLE, shuffle),
        ]
        there = [part for part in parts if part is not None]
        early = pl.concat(there).sort(identity(self._setup.spec)) if there else None
        return writer.write({EARLY_TABLE: early})

    def _send(
        self, examples: pl.DataFrame, files: Mapping[int, int]
    ) -> list[tuple[tuple[int, int, int], Parcel]]:
        """((split, file, files), encoded rows) of the splits that are written."""
        found = []
        with self._setup.shuffle.sender() as send:
            for split, part in split_by(examples, examples[SPLIT].to_numpy()):
                if split not in files:
                    continue
                places = bucket_of(part[ORDER].to_numpy(), files[split])
                for place, rows in split_by(part, places):
                    found.append(((split, place, files[split]), send(rows)))
        return found


class WriteFile(beam.DoFn):
    """((split, file, files), its encoded rows) -> one TFRecord file, counts, and what
    the rows hold."""

    def __init__(self, setup: Setup, writer: SplitWriter) -> None:
        self._splits, self._shuffle = setup.plan.splits, setup.shuffle
        self._summarize = SummarizeFile(setup.spec, setup.shuffle)
        self._writer = writer

    def process(
        self, element: tuple[tuple[int, int, int], Iterable[Parcel]]
    ) -> Iterator[Any]:
        (split, place, files), parcels = element
        watch = Stopwatch("write files")
        rows = self._shuffle.receive(parcels)
        assert rows is not None  # a group has one parcel at least
        self._writer.write(self._splits[split], place, files, rows)
        counts, watch = watch.counts(rows.height), Stopwatch("summarize files")
        # What is trained on: filtered alike on every day, or none could be compared.
        trained = rows.filter(~pl.col(EVALUATION_ONLY))
        yield from self._summarize(trained, split, files)
        yield beam.pvalue.TaggedOutput(COUNTS, counts | watch.counts(rows.height))


class WriteRejects(beam.DoFn):
    """((range, block), rejects) -> a JSON lines file with lines as in the file."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(
        self, element: tuple[FileRange, int, Sequence[Reject]], read_counts: Counts
    ) -> None:
        part, block, rejects = element
        earlier = part.first_line + sum(
            int(read_counts["lines", part.path, number])
            for number in range(part.number)
        )
        lines = [
            {
                "file": part.path,
                "line": earlier + reject.line + 1,
                "reason": reject.reason,
                "text": reject.text,
            }
            for reject in rejects
        ]
        name = f"{part.source}-{part.file:05d}-{part.number:05d}-{block:05d}"
        base = posixpath.basename(part.path)
        target = FileSystems.join(self._folder, f"{name}-{base}.jsonl")
        write_whole(target, (json.dumps(line).encode() + b"\n" for line in lines))


class WriteReport(beam.DoFn):
    """The sum of all counts -> the run's report, a JSON file."""

    def __init__(self, setup: Setup, path: str) -> None:
        self._setup, self._path = setup, path

    def process(self, counts: Counts) -> None:
        setup = self._setup
        report = build_report(counts, setup.spec, setup.plan, setup.seed)
        write_json(self._path, report)


class WriteQuantiles(beam.DoFn):
    """The histograms of a spec's quantiles -> the file that exports read."""

    def __init__(self, setup: Setup, path: str) -> None:
        self._quantiles, self._path = setup.spec.quantiles, path

    def process(self, histograms: Sequence[Ints]) -> None:
        text = json.dumps(tables_as_json(self._quantiles, histograms))
        write_whole(self._path, iter([text.encode()]))


def _histories(
    groups: dict[str, Iterable[Parcel]],
    rows: pl.DataFrame | None,
    spec: Spec,
    shuffle: Shuffle,
    carried: Carried | None,
) -> SettledHistories:
    """Each history's events of a shard, and what was counted of them."""
    read = {name: shuffle.receive(groups[source_name(name)]) for name in spec.histories}
    users = None if rows is None else rows[spec.log.user]
    earlier = None if carried is None else carried.histories
    return settle_histories(read, users, spec, earlier)


def _events(
    groups: dict[str, Iterable[Parcel]], setup: Setup
) -> dict[str, pl.DataFrame | None]:
    """Each section's events of the users of a shard, with those of earlier days."""
    tables = StateTables.of(setup.spec).events
    found: dict[str, pl.DataFrame | None] = {}
    for name, section in setup.spec.events.items():
        read = setup.shuffle.receive(groups.get(event_output(section), ()))
        carried = received(groups, tables[name], setup.shuffle)
        if read is not None and carried is not None:
            read = pl.concat([carried.select(read.columns), read])
        found[name] = carried if read is None else read
    return found


def _alone(events: Mapping[str, pl.DataFrame | None], spec: Spec) -> Counts:
    """What becomes of events of users without an impression."""
    counts: Counts = {}
    for name, found in events.items():
        if found is not None:
            counts |= count_alone(found, spec.events[name])
    return counts


def _sides(
    groups: dict[str, Iterable[Parcel]],
    names: Iterable[str],
    spec: Spec,
    shuffle: Shuffle,
) -> tuple[dict[str, pl.DataFrame | None], Counts]:
    """(each side file's rows, every key once, repeated keys) of a shard."""
    sides: dict[str, pl.DataFrame | None] = {}
    counts: Counts = {}
    for name in names:
        sides[name] = side = shuffle.receive(groups[side_output(name)])
        if side is not None:
            sides[name], counts["duplicate_keys", name] = joins.last_of_each_key(
                side, spec, name
            )
    return sides, counts
