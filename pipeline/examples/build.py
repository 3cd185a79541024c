"""The Beam pipeline from raw logs to day-sequenced tf.Examples.

    report = run_examples(ExamplesRequest(spec=load_spec("kuairand"), ...))

or, with a pipeline of one's own:

    outputs = Outputs.of(request)
    with outputs.workspace.opened():
        with beam.Pipeline(...) as pipeline:
            generate(pipeline, request, outputs)
        report = outputs.finish(seconds)

What is asked for is taken apart here, once: what is read (`Reading`), where it goes
(`Outputs`), and what the steps between need (`Setup`).

    ranges of files -> rows by user -> what the users' videos are known for
                              \\____________________\\-> examples -> files of a split
                                                                  \\-> its summary
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from feature_specs.errors import TrailrankError
from feature_specs.events import EventsSpec
from pipeline.examples import joins, steps
from pipeline.examples.columns import quantiles
from pipeline.examples.outputs import Outputs
from pipeline.examples.read_logs import (
    COUNTS,
    EARLY,
    REJECTS,
    ROWS,
    Reading,
    ReadLogs,
    count_marks,
    event_output,
    key_output,
    plan_reading,
    side_output,
    without_owner,
)
from pipeline.examples.reading.sources import source_name
from pipeline.examples.report import ExamplesError, merge_counts
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.runner_options import check_runner_options
from pipeline.examples.state_steps import (
    Carrying,
    ReadState,
    WriteHistograms,
    read_histograms,
    state_output,
)
from pipeline.examples.state_tables import RUNNING, StateTables
from pipeline.examples.summary_steps import (
    SUMMARIES,
    VALUES,
    WriteSummary,
    add_summaries,
)

# Beam 2.74 hands "DirectRunner" to Prism, which it downloads first. This one runs in
# the process, and needs nothing.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_WHERE_IT_RAN = re.compile(r"\s*\[while running .*?\]")  # Beam adds it to a message


def run_examples(
    request: ExamplesRequest, beam_args: Sequence[str] = ()
) -> dict[str, Any]:
    """Builds and runs the pipeline, checks its report, and returns it.

    Args:
        request: See `ExamplesRequest`.
        beam_args: Beam's options; without `--runner` it runs in this process.

    Raises:
        FileNotFoundError, ValueError: The request, a whole file or the options of a
            remote runner are unusable.
        ExamplesError: See `report.check`.
    """
    args = with_runner(beam_args)
    check_runner_options(request, args)
    outputs = Outputs.of(request, spill=runs_here(args))
    began = time.perf_counter()
    with outputs.workspace.opened():
        try:
            with beam.Pipeline(options=PipelineOptions(args)) as pipeline:
                generate(pipeline, request, outputs)
        except TrailrankError as error:
            error.args = (_WHERE_IT_RAN.sub("", str(error)),)
            raise
        except Exception as error:  # whatever another machine's runner raises
            if runs_here(args):
                raise
            raise ExamplesError(
                f"The Beam job failed: {error}. Nothing of it was put in place."
            ) from error
        return outputs.finish(time.perf_counter() - began)


def with_runner(beam_args: Sequence[str]) -> list[str]:
    """Beam's options with a runner: the one inside this process, if none is named."""
    args = list(beam_args)
    if not any(arg.split("=")[0] == "--runner" for arg in args):
        args.append(f"--runner={LOCAL_RUNNER}")
    return args


def runs_here(beam_args: Sequence[str]) -> bool:
    """Whether these options ask for the runner inside this process."""
    return f"--runner={LOCAL_RUNNER}" in beam_args


def generate(
    pipeline: beam.Pipeline, request: ExamplesRequest, outputs: Outputs
) -> None:
    """Adds example generation to a pipeline.

    Args:
        pipeline: Runs while `outputs.workspace` is opened.
        request: What is asked for.
        outputs: Of the same request.

    Raises:
        FileNotFoundError: A pattern of the spec matches no file.
        ValueError: A file lacks a declared column, or the examples directory holds
            splits already.
    """
    reading = plan_reading(request)
    setup = _setup(request, reading, outputs)
    files = steps.SplitFiles(setup.plan, outputs.splits, request.file_rows)
    outputs.prepare()
    read = _read(pipeline, request, setup, reading)
    read_counts = (
        read.counts
        | "All that was read" >> beam.Flatten()
        | "Count lines" >> _added_up(merge_counts)
    )
    total = beam.pvalue.AsSingleton(read_counts)
    events = _events_by_user(setup, read)
    known = _ask_around(pipeline, request, setup, read, events)
    examples = _examples(setup, files, read, events, known, total)
    written = (
        examples[ROWS]
        | "Gather files" >> beam.GroupByKey()
        | "Write files"
        >> beam.ParDo(steps.WriteFile(setup, outputs.writer)).with_outputs(
            COUNTS, SUMMARIES, VALUES
        )
    )
    _ = read.logs[REJECTS] | "Write rejects" >> beam.ParDo(
        steps.WriteRejects(outputs.rejects_dir), total
    )
    if setup.spec.quantiles:
        _ = known.histograms | "Write quantiles" >> beam.ParDo(
            steps.WriteQuantiles(setup, outputs.new_quantiles_path)
        )
    counts = (
        [
            *read.counts,
            *events.counts,
            *known.counts,
            examples[COUNTS],
            written[COUNTS],
        ]
        | "Collect counts" >> beam.Flatten()
        | "Add up counts" >> _added_up(merge_counts)
    )
    _ = counts | "Write report" >> beam.ParDo(
        steps.WriteReport(setup, outputs.new_report_path)
    )
    _ = add_summaries(written, setup.spec, setup.shuffle) | "Write summaries" >> (
        beam.ParDo(
            WriteSummary(setup.plan, outputs.writer.splits_dir),
            beam.pvalue.AsSingleton(counts),
        )
    )


def _added_up(add_up: Callable[[Iterable[Any]], Any]) -> beam.PTransform:
    """All elements added up; there is one at least.

    A default for none would cost a stage of its own.
    """
    return beam.CombineGlobally(add_up).without_defaults()


def _setup(request: ExamplesRequest, reading: Reading, outputs: Outputs) -> steps.Setup:
    """What every step may know."""
    return steps.Setup(
        spec=request.spec,
        plan=request.plan,
        seed=request.seed,
        shards=reading.shards,
        shuffle=outputs.workspace.shuffle,
        carrying=Carrying(
            after=request.state.day if request.state else None,
            folder=request.state_to or "",
            day=request.days.last,
        ),
    )


def _read(
    pipeline: beam.Pipeline,
    request: ExamplesRequest,
    setup: steps.Setup,
    reading: Reading,
) -> _Read:
    """What is read of the logs, and of the state that the run goes on from."""
    logs = pipeline | ReadLogs(reading, setup.shuffle)
    marks = pipeline | "Marks of files" >> beam.Create([count_marks(reading)])
    counts = [logs[COUNTS], marks]
    state = request.state
    if state is None:
        return _Read(logs, logs[ROWS], {}, counts)
    carried = pipeline | ReadState(
        state, setup.spec, setup.plan.days, setup.shards, setup.shuffle
    )
    tables = {
        state_output(t): carried[state_output(t)]
        for t in StateTables.of(setup.spec).columns
    }
    # Those that still run stand among the rows of the days.
    running = tables.pop(state_output(RUNNING))
    rows = (logs[ROWS], running) | "Add running impressions" >> beam.Flatten()
    keys = {
        name: (logs[name], carried[name]) | f"Add carried {name}" >> beam.Flatten()
        for name in map(key_output, without_owner(setup.spec))
    }
    return _Read(logs, rows, tables, [*counts, carried[COUNTS]], keys)


@dataclasses.dataclass(frozen=True)
class _Read:
    """What was read.

    Attributes:
        logs: Output of `ReadLogs`.
        rows: (shard of the user, rows of the log), with those that are carried.
        carried: Output of a state's table -> (shard, its rows).
        counts: Of both.
        keys: Output of impressions by their keys, where some are carried.
    """

    logs: beam.pvalue.DoOutputsTuple
    rows: beam.PCollection
    carried: dict[str, beam.PCollection]
    counts: list[beam.PCollection]
    keys: dict[str, beam.PCollection] = dataclasses.field(default_factory=dict)

    def key(self, section: EventsSpec) -> beam.PCollection:
        """Impressions by the key of a section."""
        name = key_output(section)
        return self.keys.get(name, self.logs[name])


@dataclasses.dataclass(frozen=True)
class _Events:
    """Events on their way to their users.

    Attributes:
        by_user: Output of the events -> (shard of the user, events).
        counts: Of the steps that found users out.
    """

    by_user: dict[str, beam.PCollection]
    counts: list[beam.PCollection]


def _events_by_user(setup: steps.Setup, read: _Read) -> _Events:
    """The events of all sections; those that tell no user by way of their keys."""
    found, counts = {}, []
    for section in setup.spec.events.values():
        output = event_output(section)
        found[output] = read.logs[output]
        if section in without_owner(setup.spec):
            owned = (
                {output: read.logs[output], key_output(section): read.key(section)}
                | f"Shuffle by the key of {section.name}" >> beam.CoGroupByKey()
                | f"Find users of {section.name}"
                >> beam.ParDo(steps.FindOwners(setup, section)).with_outputs(
                    COUNTS, main=ROWS
                )
            )
            found[output] = owned[ROWS]
            counts.append(owned[COUNTS])
    return _Events(found, counts)


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
    setup: steps.Setup,
    read: _Read,
    events: _Events,
) -> _Known:
    """A first look at all users, and the answers to what they ask."""
    spec, keys = setup.spec, joins.plan_keys(setup.spec)
    state = request.state
    known = read_histograms(state, spec) if state else quantiles.none(spec)
    histograms = pipeline | "No histograms" >> beam.Create([known])
    if not keys and not spec.quantiles:
        return _Known({}, histograms, [])
    kinds = (steps.ASKED, steps.SUMS, steps.SHOWN)
    tags = [f"{tag} {key.column}" for key in keys for tag in kinds]
    looked_at = {}
    if steps.events_are_looked_at(spec):
        carried_events = map(state_output, StateTables.of(spec).events.values())
        looked_at = {name: read.carried[name] for name in carried_events if state}
        looked_at |= events.by_user
    look = (
        {ROWS: read.rows, **looked_at}
        | "Shuffle by user" >> beam.CoGroupByKey()
        | "Look at users"
        >> beam.ParDo(steps.LookAtUsers(setup)).with_outputs(
            *tags, COUNTS, steps.HISTOGRAMS
        )
    )
    histograms = (
        (histograms, look[steps.HISTOGRAMS])
        | "Collect histograms" >> beam.Flatten()
        | "Add up histograms" >> _added_up(quantiles.add_up)
    )
    counts = [look[COUNTS]]
    if setup.carrying.folder and spec.quantiles:
        counts.append(
            histograms
            | "Write histograms" >> beam.ParDo(WriteHistograms(setup.carrying))
        )
    answered = {key.column: _answer(setup, key, read, look) for key in keys}
    return _Known(
        {column: found[ROWS] for column, found in answered.items()},
        histograms,
        [*counts, *(found[COUNTS] for found in answered.values())],
    )


def _answer(
    setup: steps.Setup,
    key: joins.Key,
    read: _Read,
    look: beam.pvalue.DoOutputsTuple,
) -> beam.pvalue.DoOutputsTuple:
    """ROWS (answers by the asking shard) and COUNTS of one key."""
    kinds = (steps.ASKED, steps.SUMS, steps.SHOWN)
    inputs = {tag: look[f"{tag} {key.column}"] for tag in kinds}
    inputs |= {name: read.logs[name] for name in map(side_output, key.joins)}
    tables = [
        t for t, c in StateTables.of(setup.spec).by_key.items() if c == key.column
    ]
    outputs = map(state_output, tables)
    inputs |= {name: read.carried[name] for name in outputs if name in read.carried}
    return (
        inputs
        | f"Shuffle by {key.column}" >> beam.CoGroupByKey()
        | f"Answer about {key.column}"
        >> beam.ParDo(steps.Answer(setup, key)).with_outputs(COUNTS, main=ROWS)
    )


def _examples(
    setup: steps.Setup,
    files: steps.SplitFiles,
    read: _Read,
    events: _Events,
    known: _Known,
    total: beam.pvalue.AsSingleton,
) -> beam.pvalue.DoOutputsTuple:
    """ROWS (encoded examples by their file) and COUNTS."""
    spec = setup.spec
    names = [
        *map(side_output, joins.user_joins(spec)),
        *map(source_name, spec.histories),
    ]
    own = {name: read.logs[name] for name in names}
    outputs = map(state_output, StateTables.of(spec).by_user)
    carried = {name: read.carried[name] for name in outputs if name in read.carried}
    if setup.carrying.folder:
        carried[EARLY] = read.logs[EARLY]
    return (
        {ROWS: read.rows, **own, **carried, **events.by_user, **known.answers}
        | "Gather users" >> beam.CoGroupByKey()
        | "Make examples"
        >> beam.ParDo(
            steps.MakeExamples(setup, files),
            total,
            beam.pvalue.AsSingleton(known.histograms),
        ).with_outputs(COUNTS, main=ROWS)
    )
