"""The Beam pipeline from raw logs to day-sequenced tf.Examples.

    report = run_examples(ExamplesRequest(spec=load_spec("kuairand"), ...))

or, with a pipeline of one's own and inside `outputs.unfinished(request)`,
`generate(pipeline, request)`, and when it has run `finish(request, seconds)`.

    ranges of files -> rows by user -> what the users' videos are known for
                              \\____________________\\-> examples -> files of a split
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
from apache_beam.options.pipeline_options import PipelineOptions

from feature_specs import Spec
from pipeline.examples import joins, outputs
from pipeline.examples.columns import quantiles, statistics
from pipeline.examples.days import DAY, SplitPlan
from pipeline.examples.hashing import bucket_of
from pipeline.examples.read_logs import (
    COUNTS,
    REJECTS,
    ROWS,
    ReadLogs,
    plan_parts,
    side_output,
    to_shards,
)
from pipeline.examples.report import (
    Counts,
    ExamplesError,
    Stopwatch,
    build_report,
    check,
    count_shard,
    merge_counts,
    read_report,
)
from pipeline.examples.request import FILE_ROWS, MOST_FILES, ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.examples.shard import ORDER, SPLIT, make_examples, settle
from pipeline.examples.shuffle import Parcel, Shuffle, split_by
from pipeline.examples.tfrecords import split_path, write_examples

# Beam 2.74 hands "DirectRunner" to Prism, which it downloads first. This one runs in
# the process, and needs nothing.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

_SUMS, _SHOWN, _ASKED, _HISTOGRAMS = "sums", "shown", "asked", "histograms"

Element = tuple[int, Parcel]  # (number of a shard, a frame on its way there)


def run_examples(
    request: ExamplesRequest, beam_args: Sequence[str] = ()
) -> dict[str, Any]:
    """Builds and runs the pipeline, checks its report, and returns it.

    Args:
        request: See `ExamplesRequest`; in this process `spill` is set.
        beam_args: Beam's options; without `--runner` it runs in this process.

    Raises:
        FileNotFoundError, ValueError: The request, a whole file or the options of a
            remote runner are unusable.
        ExamplesError: See `report.check`.
    """
    args = list(beam_args)
    if not any(arg.split("=")[0] == "--runner" for arg in args):
        args.append(f"--runner={LOCAL_RUNNER}")
    request = dataclasses.replace(request, spill=runs_here(args))
    check_runner_options(request, args)
    began = time.perf_counter()
    with outputs.unfinished(request):
        try:
            with beam.Pipeline(options=PipelineOptions(args)) as pipeline:
                generate(pipeline, request)
        except Exception as error:  # whatever another machine's runner raises
            if request.spill or isinstance(error, (ValueError, OSError)):
                raise
            raise ExamplesError(
                f"The Beam job failed: {error}. Nothing of it was put in place."
            ) from error
        return finish(request, time.perf_counter() - began)


def runs_here(beam_args: Sequence[str]) -> bool:
    """Whether these options ask for the runner inside this process."""
    return f"--runner={LOCAL_RUNNER}" in beam_args


def finish(request: ExamplesRequest, wall_s: float) -> dict[str, Any]:
    """Checks a run and puts its splits in their place; returns its report.

    Raises:
        ExamplesError: The examples must not be used; see `report.check`.
    """
    report = {**read_report(outputs.report_file(request)), "wall_s": round(wall_s, 1)}
    outputs.keep_report(request, report)
    check(report, request)
    return outputs.place_splits(request, report)


def generate(pipeline: beam.Pipeline, request: ExamplesRequest) -> None:
    """Adds example generation to a pipeline.

    Raises:
        FileNotFoundError: A pattern of the spec matches no file.
        ValueError: A file lacks a declared column, or the examples directory holds
            splits already.
    """
    parts, sources, shards = plan_parts(request)
    outputs.prepare(request)
    read = pipeline | ReadLogs(request, parts, sources, shards)
    read_counts = read[COUNTS] | "Count lines" >> beam.CombineGlobally(merge_counts)
    total = beam.pvalue.AsSingleton(read_counts)
    known = _ask_around(pipeline, request, read, shards)
    spec = request.spec
    own = {name: read[name] for name in map(side_output, joins.user_joins(spec))}
    examples = (
        {ROWS: read[ROWS], **own, **known.answers}
        | "Gather users" >> beam.CoGroupByKey()
        | "Make examples"
        >> beam.ParDo(
            _MakeExamples(request), total, beam.pvalue.AsSingleton(known.histograms)
        ).with_outputs(COUNTS, main=ROWS)
    )
    files = (
        examples[ROWS]
        | "Gather files" >> beam.GroupByKey()
        | "Write files" >> beam.ParDo(_WriteFile(request))
    )
    _ = read[REJECTS] | "Write rejects" >> beam.ParDo(
        outputs.WriteRejects(request), total
    )
    _ = (
        [read[COUNTS], *known.counts, examples[COUNTS], files]
        | "Collect counts" >> beam.Flatten()
        | "Add up counts" >> beam.CombineGlobally(merge_counts)
        | "Write report" >> beam.Map(_write_report, request)
    )


@dataclasses.dataclass(frozen=True)
class _Known:
    """What examples need to know beside their users' rows.

    Attributes:
        answers: Key column -> (shard that asked, its answers).
        histograms: Of `spec.quantiles`, one element.
        counts: Of the steps that found it out.
    """

    answers: dict[str, beam.PCollection]
    histograms: beam.PCollection
    counts: list[beam.PCollection]


def _ask_around(
    pipeline: beam.Pipeline,
    request: ExamplesRequest,
    read: beam.pvalue.DoOutputsTuple,
    shards: int,
) -> _Known:
    """A first look at all users, and the answers to what they ask."""
    spec, keys = request.spec, joins.plan_keys(request.spec)
    histograms = pipeline | "No histograms" >> beam.Create([quantiles.none(spec)])
    if not keys and not spec.quantiles:
        return _Known({}, histograms, [])
    tags = [f"{tag} {key.column}" for key in keys for tag in (_ASKED, _SUMS, _SHOWN)]
    look = (
        read[ROWS]
        | "Shuffle by user" >> beam.GroupByKey()
        | "Look at users"
        >> beam.ParDo(_LookAtUsers(request, shards)).with_outputs(
            *tags, COUNTS, _HISTOGRAMS
        )
    )
    histograms = (
        (histograms, look[_HISTOGRAMS])
        | "Collect histograms" >> beam.Flatten()
        | "Add up histograms" >> beam.CombineGlobally(quantiles.add_up)
    )
    answered = {key.column: _answer(request, key, read, look) for key in keys}
    return _Known(
        {column: found[ROWS] for column, found in answered.items()},
        histograms,
        [look[COUNTS], *(found[COUNTS] for found in answered.values())],
    )


def _answer(
    request: ExamplesRequest,
    key: joins.Key,
    read: beam.pvalue.DoOutputsTuple,
    look: beam.pvalue.DoOutputsTuple,
) -> beam.pvalue.DoOutputsTuple:
    """ROWS (answers by the asking shard) and COUNTS of one key."""
    inputs = {tag: look[f"{tag} {key.column}"] for tag in (_ASKED, _SUMS, _SHOWN)}
    inputs |= {name: read[name] for name in map(side_output, key.joins)}
    return (
        inputs
        | f"Shuffle by {key.column}" >> beam.CoGroupByKey()
        | f"Answer about {key.column}"
        >> beam.ParDo(_Answer(request, key)).with_outputs(COUNTS, main=ROWS)
    )


class _LookAtUsers(beam.DoFn):
    """All rows of some users -> what they ask about keys, and what they tell."""

    def __init__(self, request: ExamplesRequest, shards: int):
        self._spec, self._plan = request.spec, request.plan
        self._shuffle = Shuffle(request.shuffle_dir)
        self._keys, self._shards = joins.plan_keys(request.spec), shards

    def process(self, element: tuple[int, Iterable[Parcel]]):
        shard, parcels = element
        watch = Stopwatch("look at users")
        rows = self._shuffle.receive(parcels)
        assert rows is not None  # a group has one parcel at least
        frame, _ = settle(rows, self._spec, self._plan.days.first)
        sent = list(self._send(frame, shard))
        training = frame.filter(pl.col(DAY) < self._plan.first_evaluation_day)
        histograms = quantiles.histogram(training, self._spec)
        yield beam.pvalue.TaggedOutput(COUNTS, watch.counts(rows.height))
        yield beam.pvalue.TaggedOutput(_HISTOGRAMS, histograms)
        yield from sent

    def _send(self, frame: pl.DataFrame, shard: int):
        with self._shuffle.sender() as send:
            for key in self._keys:
                for tag, told in self._told(frame, key, shard):
                    for place, part in to_shards(told, key.column, self._shards):
                        output = f"{tag} {key.column}"
                        yield beam.pvalue.TaggedOutput(output, (place, send(part)))

    def _told(
        self, frame: pl.DataFrame, key: joins.Key, shard: int
    ) -> Iterator[tuple[str, pl.DataFrame]]:
        yield _ASKED, joins.ask(frame, key, shard)
        if key.by_day:
            yield _SUMS, statistics.daily_sums(frame, self._spec, key.column)
        if key.counted:
            yield _SHOWN, joins.count_items(frame, self._spec, self._plan)


class _Answer(beam.DoFn):
    """All that is known of some keys -> (the shard that asked, its answers)."""

    def __init__(self, request: ExamplesRequest, key: joins.Key):
        self._spec, self._key = request.spec, key
        self._shuffle = Shuffle(request.shuffle_dir)

    def process(self, element: tuple[int, dict[str, Iterable[Parcel]]]):
        _, groups = element
        watch = Stopwatch(f"answer about {self._key.column}")
        sides, counts = _sides(groups, self._key.joins, self._spec, self._shuffle)
        asked = self._shuffle.receive(groups[_ASKED])
        answers: list[Element] = []
        if asked is not None:
            answers = self._answers(asked, groups, sides)
        counts |= watch.counts(0 if asked is None else asked.height)
        yield beam.pvalue.TaggedOutput(COUNTS, counts)
        yield from answers

    def _answers(
        self,
        asked: pl.DataFrame,
        groups: dict[str, Iterable[Parcel]],
        sides: dict[str, pl.DataFrame | None],
    ) -> list[Element]:
        sums, shown = (self._shuffle.receive(groups[tag]) for tag in (_SUMS, _SHOWN))
        told = joins.answer(
            asked,
            self._key,
            self._spec,
            sides,
            sums=[] if sums is None else [sums],
            counts=[] if shown is None else [shown],
        )
        places = told[joins.ASKING].to_numpy()
        with self._shuffle.sender() as send:
            return [(place, send(part)) for place, part in split_by(told, places)]


class _MakeExamples(beam.DoFn):
    """All of some users -> ((split, file, files), encoded rows), and counts."""

    def __init__(self, request: ExamplesRequest):
        self._request, self._plan = request, request.plan
        self._keys = joins.plan_keys(request.spec)
        self._shuffle = Shuffle(request.shuffle_dir)
        self._written = [self._plan.splits.index(name) for name in request.written]

    def process(
        self,
        element: tuple[int, dict[str, Iterable[Parcel]]],
        read_counts: Counts,
        histograms: Sequence[np.ndarray],
    ):
        _, groups = element
        request, spec = self._request, self._request.spec
        watch = Stopwatch("make examples")
        own = joins.user_joins(spec)
        sides, counts = _sides(groups, own, spec, self._shuffle)
        rows = self._shuffle.receive(groups[ROWS])
        if rows is None:  # side rows of users without an impression
            yield beam.pvalue.TaggedOutput(COUNTS, counts)
            return
        frame, repeated = settle(rows, spec, self._plan.days.first)
        for key in self._keys:
            answers = self._shuffle.receive(groups[key.column])
            frame = joins.add_answers(frame, key, answers)
        frame = joins.add_own(frame, spec, sides)
        shard = make_examples(frame, spec, self._plan, histograms, request.seed)
        counts |= count_shard(shard, frame, repeated, spec, self._plan)
        files = _files_per_split(read_counts, self._plan, request.file_rows)
        sent = self._send(shard.examples, files)
        yield beam.pvalue.TaggedOutput(COUNTS, counts | watch.counts(rows.height))
        yield from sent

    def _send(
        self, examples: pl.DataFrame, files: Sequence[int]
    ) -> list[tuple[tuple[int, int, int], Parcel]]:
        """((split, file, files), encoded rows) of the splits that are written."""
        found = []
        with self._shuffle.sender() as send:
            for split, part in split_by(examples, examples[SPLIT].to_numpy()):
                if split not in self._written:
                    continue
                places = bucket_of(part[ORDER].to_numpy(), files[split])
                for place, rows in split_by(part, places):
                    found.append(((split, place, files[split]), send(rows)))
        return found


class _WriteFile(beam.DoFn):
    """((split, file, files), its encoded rows) -> one TFRecord file."""

    def __init__(self, request: ExamplesRequest):
        self._request, self._shuffle = request, Shuffle(request.shuffle_dir)

    def process(
        self, element: tuple[tuple[int, int, int], Iterable[Parcel]]
    ) -> Iterator[Counts]:
        (split, place, files), parcels = element
        watch = Stopwatch("write files")
        rows = self._shuffle.receive(parcels)
        assert rows is not None  # a group has one parcel at least
        name = self._request.plan.splits[split]
        path = split_path(outputs.splits_dir(self._request), name, place, files)
        write_examples(path, rows, self._request.unfinished_dir)
        yield watch.counts(rows.height)


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


def _files_per_split(
    read_counts: Counts, plan: SplitPlan, file_rows: int | None
) -> list[int]:
    """Files of each split, from its readable rows: known before any row is filtered."""
    rows = np.zeros(len(plan.splits), np.int64)
    for day in plan.days:
        found = read_counts.get(("day", f"{day:%Y%m%d}"), 0)
        rows[plan.splits.index(plan.split_of(day))] += int(found)
    size = file_rows or max(FILE_ROWS, int(rows.sum()) // MOST_FILES)
    return [max(1, -(-int(count) // size)) for count in rows]


def _write_report(counts: Counts, request: ExamplesRequest) -> None:
    outputs.write_json(outputs.report_file(request), build_report(counts, request))
