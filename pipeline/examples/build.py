"""The Beam pipeline from raw logs to day-sequenced tf.Examples.

    report = run_examples(ExamplesRequest(spec=load_spec("kuairand"), ...))

or, inside a pipeline of one's own, `generate(pipeline, request)`, and when it has run
`check_report(request)`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from feature_specs import Spec
from pipeline.examples.csv_lines import Reject
from pipeline.examples.days import DayRange, SplitPlan, plan_splits
from pipeline.examples.frames import pack, split_by, unpack
from pipeline.examples.hashing import bucket_of, hash_shards
from pipeline.examples.joins import (
    Stage,
    count_items,
    join_side,
    last_of_each_key,
    place_side_rows,
    plan_stages,
)
from pipeline.examples.readers import (
    LOG,
    RANGE_BYTES,
    FileRange,
    Source,
    join_sources,
    log_source,
    plan_ranges,
    read_block,
    time_ms,
)
from pipeline.examples.report import (
    Counts,
    build_report,
    check,
    count_block,
    count_shard,
    merge_counts,
    read_report,
)
from pipeline.examples.shard import (
    ORDER,
    SPLIT,
    local_time,
    make_examples,
    split_names,
)
from pipeline.examples.tfrecords import split_path, write_examples, write_whole

# Beam 2.74 hands "DirectRunner" to Prism, which it downloads first. This one runs in
# the process, and needs nothing.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

SHARD_BYTES = 32 << 20  # of log a shard: some 350,000 rows, under 1 GB when worked on
FILE_ROWS = 50_000  # readable rows an output file: some 20 MB

_REJECTS, _COUNTS, _ROWS = "rejects", "counts", "rows"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExamplesRequest:
    """One run of example generation.

    Attributes:
        spec: What the logs hold and what becomes of them.
        logs_dir: Directory of the log and its side files, on any Beam file system.
        examples_dir: Gets `Split-<name>/data_tfrecord-*.gz`; holds no split yet.
        rejects_dir: Gets the unreadable lines as `*.jsonl`; older ones are removed.
        report_path: JSON file to write.
        days: Days to read; rows of other days are counted and left out.
        eval_days: The last days, kept for evaluation.
        seed: Of the order inside a split.
        shards: Parts that users are hashed into; chosen from the log's size if None.
        range_bytes: Most bytes of a file that one step reads.
        file_rows: Readable rows for each file of a split.
    """

    spec: Spec
    logs_dir: str
    examples_dir: str
    rejects_dir: str
    report_path: str
    days: DayRange
    eval_days: int = 1
    seed: int = 0
    shards: int | None = None
    range_bytes: int = RANGE_BYTES
    file_rows: int = FILE_ROWS

    def __post_init__(self) -> None:
        for name in ("range_bytes", "file_rows", "shards"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")

    @property
    def plan(self) -> SplitPlan:
        """The run's splits; ValueError if no day is left to train on."""
        return plan_splits(self.days, self.eval_days, self.spec.log.days_per_split)


def run_examples(
    request: ExamplesRequest, beam_args: Sequence[str] = ()
) -> dict[str, Any]:
    """Builds and runs the pipeline, checks its report, and returns it.

    Args:
        request: See `ExamplesRequest`.
        beam_args: Beam's options; without `--runner` it runs in this process.

    Raises:
        FileNotFoundError, ValueError: The request or a whole file is unusable.
        ExamplesError: See `report.check`.
    """
    args = list(beam_args)
    if not any(arg.split("=")[0] == "--runner" for arg in args):
        args.append(f"--runner={LOCAL_RUNNER}")
    with beam.Pipeline(options=PipelineOptions(args)) as pipeline:
        generate(pipeline, request)
    return check_report(request)


def check_report(request: ExamplesRequest) -> dict[str, Any]:
    """The report of a finished run; ExamplesError if its examples must not be used."""
    report = read_report(request.report_path)
    check(report, request.spec, request.rejects_dir)
    return report


def generate(pipeline: beam.Pipeline, request: ExamplesRequest) -> None:
    """Adds example generation to a pipeline.

    Raises:
        FileNotFoundError: A pattern of the spec matches no file.
        ValueError: A file lacks a declared column, or the examples directory holds
            splits already.
    """
    plan = request.plan
    sources = {LOG: log_source(request.spec), **join_sources(request.spec)}
    parts = [
        part
        for source in sources.values()
        for part in plan_ranges(source, request.logs_dir, request.range_bytes)
    ]
    _prepare_outputs(request)
    shards = request.shards or _count_shards(parts)
    stages = plan_stages(request.spec)
    blocks = (
        pipeline
        | "List file ranges" >> beam.Create(parts)
        | "Spread file ranges" >> beam.Reshuffle()
        | "Read blocks of lines"
        >> beam.ParDo(
            _ReadBlock(request.spec, plan, sources, stages, shards)
        ).with_outputs(
            _REJECTS, _COUNTS, *map(_side, request.spec.log.joins), main=_ROWS
        )
    )
    read_counts = blocks[_COUNTS] | "Count lines" >> beam.CombineGlobally(merge_counts)
    rows = blocks[_ROWS]
    counts = [blocks[_COUNTS]]
    for stage, following in itertools.pairwise(stages):
        joined = _group(stage, rows, blocks) | f"Join by {stage.column}" >> beam.ParDo(
            _JoinRows(request.spec, plan, stage, following.column, shards)
        ).with_outputs(_COUNTS, main=_ROWS)
        rows = joined[_ROWS]
        counts.append(joined[_COUNTS])
    total = beam.pvalue.AsSingleton(read_counts)
    examples = _group(stages[-1], rows, blocks) | "Make examples" >> beam.ParDo(
        _MakeExamples(request, stages[-1]), total
    ).with_outputs(_COUNTS, main=_ROWS)
    counts.append(examples[_COUNTS])
    _ = (
        examples[_ROWS]
        | "Gather files" >> beam.GroupByKey()
        | "Write files" >> beam.ParDo(_WriteFile(request))
    )
    _ = blocks[_REJECTS] | "Write rejects" >> beam.ParDo(_WriteRejects(request), total)
    _ = (
        counts
        | "Collect counts" >> beam.Flatten()
        | "Add up counts" >> beam.CombineGlobally(merge_counts)
        | "Write report" >> beam.Map(_write_report, request)
    )


def _group(stage: Stage, rows: beam.PCollection, blocks: Any) -> beam.PCollection:
    """(shard, {rows and each side file: blobs}) by the stage's column."""
    inputs = {_ROWS: rows, **{_side(name): blocks[_side(name)] for name in stage.joins}}
    return inputs | f"Shuffle by {stage.column}" >> beam.CoGroupByKey()


def _side(name: str) -> str:
    """The output of a side file's rows."""
    return f"side file {name}"


def _count_shards(parts: Iterable[FileRange]) -> int:
    size = sum(part.end - part.start for part in parts if part.source == LOG)
    return size // SHARD_BYTES + 1


def _prepare_outputs(request: ExamplesRequest) -> None:
    """Nothing old may be taken for this run's."""
    pattern = FileSystems.join(request.examples_dir, "Split-*", "*")
    if FileSystems.match([pattern])[0].metadata_list:
        raise ValueError(
            f"{request.examples_dir} holds examples already. Give an empty directory."
        )
    pattern = FileSystems.join(request.rejects_dir, "*.jsonl")
    old = [file.path for file in FileSystems.match([pattern])[0].metadata_list]
    if FileSystems.exists(request.report_path):
        old.append(request.report_path)
    if old:
        FileSystems.delete(old)


class _ReadBlock(beam.DoFn):
    """A range of a file -> (shard, rows), side rows, rejects and counts."""

    def __init__(
        self,
        spec: Spec,
        plan: SplitPlan,
        sources: dict[str, Source],
        stages: Sequence[Stage],
        shards: int,
    ):
        self._spec, self._plan, self._sources = spec, plan, sources
        self._first_column, self._shards = stages[0].column, shards

    def process(self, part: FileRange):
        block = read_block(part, self._sources[part.source])
        counts = count_block(part, block)
        if block.rejects:
            rejected = (part.path, part.number, block.rejects)
            yield beam.pvalue.TaggedOutput(_REJECTS, rejected)
        if part.source == LOG:
            rows, by_day = _rows_of_days(block.rows, self._spec, self._plan)
            counts.update(by_day)
            yield from _to_shards(rows, self._first_column, self._shards)
        else:
            column = self._spec.log.joins[part.source].on
            rows = place_side_rows(block.rows, part.file, part.number)
            for element in _to_shards(rows, column, self._shards):
                yield beam.pvalue.TaggedOutput(_side(part.source), element)
        yield beam.pvalue.TaggedOutput(_COUNTS, counts)


class _JoinRows(beam.DoFn):
    """All rows of some keys, joined, -> (shard by the next stage's column, rows)."""

    def __init__(
        self, spec: Spec, plan: SplitPlan, stage: Stage, next_column: str, shards: int
    ):
        self._spec, self._plan, self._stage = spec, plan, stage
        self._next_column, self._shards = next_column, shards

    def process(self, element: tuple[int, dict[str, Iterable[bytes]]]):
        rows, counts = _join(element[1], self._stage, self._spec)
        yield beam.pvalue.TaggedOutput(_COUNTS, counts)
        if rows is None:
            return
        spec = self._spec
        if self._stage.column == spec.log.item and spec.filters.min_item_impressions:
            rows = count_items(rows, spec, self._plan)
        yield from _to_shards(rows, self._next_column, self._shards)


class _MakeExamples(beam.DoFn):
    """All rows of some users -> ((split, file, files), encoded rows), and counts."""

    def __init__(self, request: ExamplesRequest, stage: Stage):
        self._request, self._plan, self._stage = request, request.plan, stage

    def process(
        self, element: tuple[int, dict[str, Iterable[bytes]]], read_counts: Counts
    ):
        request, spec = self._request, self._request.spec
        rows, counts = _join(element[1], self._stage, spec)
        yield beam.pvalue.TaggedOutput(_COUNTS, counts)
        if rows is None:
            return
        shard = make_examples(rows, spec, self._plan, request.seed)
        yield beam.pvalue.TaggedOutput(_COUNTS, count_shard(shard, spec, self._plan))
        files = _files_per_split(read_counts, self._plan, request.file_rows)
        splits = shard.examples[SPLIT].to_numpy()
        for split, examples in split_by(shard.examples, splits):
            places = bucket_of(examples[ORDER].to_numpy(), files[split])
            for place, part in split_by(examples, places):
                yield (split, place, files[split]), pack(part)


class _WriteFile(beam.DoFn):
    """((split, file, files), its encoded rows) -> one TFRecord file."""

    def __init__(self, request: ExamplesRequest):
        self._folder = request.examples_dir
        self._splits = split_names(request.plan)

    def process(self, element: tuple[tuple[int, int, int], Iterable[bytes]]):
        (split, place, files), blobs = element
        rows = unpack(blobs)
        assert rows is not None  # a group has one blob at least
        path = split_path(self._folder, self._splits[split], place, files)
        write_examples(path, rows)


class _WriteRejects(beam.DoFn):
    """Rejects of a range -> a JSON lines file with absolute line numbers."""

    def __init__(self, request: ExamplesRequest):
        self._folder, self._logs_dir = request.rejects_dir, request.logs_dir

    def process(self, element: tuple[str, int, Sequence[Reject]], read_counts: Counts):
        path, number, rejects = element
        earlier = sum(
            int(read_counts["lines", path, before]) for before in range(number)
        )
        lines = [
            {
                "file": path,
                "line": earlier + reject.line + 2,  # from 1, after the header
                "reason": reject.reason,
                "text": reject.text,
            }
            for reject in rejects
        ]
        name = path.removeprefix(self._logs_dir).strip("/").replace("/", "_")
        target = FileSystems.join(self._folder, f"{name}-{number:05d}.jsonl")
        write_whole(target, (json.dumps(line).encode() + b"\n" for line in lines))


def _write_report(counts: Counts, request: ExamplesRequest) -> None:
    report = build_report(counts, request.spec, request.plan, request.seed)
    text = json.dumps(report, indent=2) + "\n"
    write_whole(request.report_path, iter([text.encode()]))


def _rows_of_days(
    rows: pl.DataFrame, spec: Spec, plan: SplitPlan
) -> tuple[pl.DataFrame, Counts]:
    """(rows of the plan's days with `TIME_MS`, how many rows each day has)."""
    rows = rows.select(*spec.log.columns, time_ms(spec))
    day = local_time(spec).dt.date()
    counts: Counts = {
        ("day", f"{found:%Y%m%d}"): count
        for found, count in rows.group_by(day.alias("day")).len().iter_rows()
    }
    inside = rows.filter(day.is_between(plan.days.first, plan.days.last))
    counts["outside_days",] = rows.height - inside.height
    return inside, counts


def _to_shards(rows: pl.DataFrame, column: str, shards: int):
    """Yields (shard, packed rows), by the hash of a column."""
    if not rows.height:
        return
    key = rows[column]
    key = key.fill_null("" if key.dtype == pl.String else -1)
    for shard, part in split_by(rows, hash_shards(key, shards)):
        yield shard, pack(part)


def _join(
    groups: dict[str, Iterable[bytes]], stage: Stage, spec: Spec
) -> tuple[pl.DataFrame | None, Counts]:
    """(the shard's rows with the stage's side columns, or None, counts)."""
    rows = unpack(groups[_ROWS])
    counts: Counts = {}
    for name in stage.joins:
        side = unpack(groups[_side(name)])
        if side is not None:
            side, counts["duplicate_keys", name] = last_of_each_key(side, spec, name)
        if rows is not None:
            rows = join_side(rows, side, spec, name)
    return rows, counts


def _files_per_split(read_counts: Counts, plan: SplitPlan, file_rows: int) -> list[int]:
    """Files of each split, from its readable rows: known before any row is filtered."""
    rows = np.zeros(len(split_names(plan)), np.int64)
    names = split_names(plan)
    for day in plan.days:
        found = read_counts.get(("day", f"{day:%Y%m%d}"), 0)
        rows[names.index(plan.split_of(day))] += int(found)
    return [max(1, -(-int(count) // file_rows)) for count in rows]
