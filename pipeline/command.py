"""The command `trailrank pipeline run|compile|submit|follow|cancel|schedule|endpoint|
status|history|lineage|rollback|prune`.

    trailrank pipeline run --spec kuairand --logs LOGS/data --root RUN
    trailrank pipeline run --runner vertex --spec kuairand --logs gs://B/logs \\
        --root gs://B/run --days 20220408:20220421 --project P --region europe-west4 \\
        --image IMAGE --worker_image IMAGE --dry_run
    trailrank pipeline status --root RUN
    trailrank pipeline compile --runner vertex --spec kuairand --logs gs://B/logs \\
        --root gs://B/run --days 20220408:20220421 --tpu_config v5litepod-8 \\
        --project P --region europe-west4 --image IMAGE --worker_image IMAGE \\
        --train_image IMAGE --out pipeline.json

`run` goes on where the directory left off: it makes the days that are new, trains what
the weights lack, and judges on the newest days. Mistakes in the arguments, the spec and
the preset are told before TensorFlow loads. A day that the data gate stops, and a model
that a gate refuses, end with exit status 3, and what served keeps serving.
With `--runner vertex` the pipeline is compiled, sent to Vertex AI, and followed with
the same lines and the same exit statuses (docs/vertex.md).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import rich.console
from rich.markup import escape

from feature_specs import Spec, flags
from feature_specs.errors import Status, UsageError
from feature_specs.flags import ArgumentParser
from feature_specs.locks import owned
from pipeline.cloud import endpoint_command, pipeline_command, vertex, vertex_flags
from pipeline.cloud.compiled import read_compiled
from pipeline.cloud.pipeline_place import PipelinePlace, read_resources
from pipeline.cloud.pipeline_place import check as check_place
from pipeline.evaluate import check_truth, evaluation_of
from pipeline.evaluate_command import show_evaluation
from pipeline.examples import tables
from pipeline.operations import command as operations
from pipeline.run import check_sparse_weights, load_tfx, run_pipeline
from pipeline.run_config import (
    RunConfig,
    check_local,
    check_metadata,
    read_texts,
)
from pipeline.run_record import RunRecord
from pipeline.step_lines import StepLines
from tpu_configs import SliceConfig, read_slice, shipped_slices

_ONLY = {  # flags of one runner -> what to do with the other
    "local": "is for --runner local: a pipeline on Vertex AI is a first run of its "
    "days (docs/daily.md). Leave it out.",
    "vertex": "is for --runner vertex. Leave it out.",
}


def run(argv: Sequence[str]) -> int:
    """`trailrank pipeline ...`; returns the exit status."""
    args = parser().parse_args(argv)
    status: Status = args.handler(args, rich.console.Console())
    return status


def parser() -> ArgumentParser:
    """Of the command and its subcommands."""
    found = ArgumentParser(
        prog="trailrank pipeline",
        description="Raw impression logs -> examples -> a trained, pushed ranker.",
    )
    commands = found.add_subparsers(
        required=True,
        metavar="|".join(
            ("run", "compile", *pipeline_command.NAMES, "endpoint", *operations.NAMES)
        ),
    )
    _add_run(commands.add_parser("run", help="run every step, here or on Vertex AI"))
    there = commands.add_parser("compile", help="write the DAG for a runner")
    _add_common(there)
    flags.add_day_range(there.add_argument, required=True)
    there.add_argument("--runner", choices=["vertex"], default="vertex")
    there.add_argument("--out", required=True, help="file to write (JSON)")
    vertex_flags.add_place(there.add_argument_group("on Vertex AI").add_argument)
    there.set_defaults(handler=_compile)
    pipeline_command.add_commands(commands)
    endpoint_command.add_command(commands)
    operations.add_commands(commands)
    return found


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    flags.add_day_range(parser.add_argument)
    parser.add_argument(
        "--runner",
        choices=["local", "vertex"],
        default="local",
        help="this machine, or Vertex AI (local)",
    )
    here = _Noted(parser.add_argument_group("on this machine"))
    here.add(
        "--truth", help="the log simulator's truth/, for the oracle in the last table"
    )
    _add_going_on(here.add)
    there = _Noted(parser.add_argument_group("on Vertex AI"))
    vertex_flags.add_place(there.add)
    there.add("--out", default="", help="file for the compiled pipeline (none is kept)")
    pipeline_command.add_following(there.add)
    parser.set_defaults(handler=_run, of={"local": here, "vertex": there})


class _Noted:
    """Adds flags to a group, and knows which they are."""

    def __init__(self, group: argparse._ArgumentGroup):
        self._group = group
        self._actions: list[argparse.Action] = []

    def add(self, *names: str, **settings: Any) -> argparse.Action:
        """As `add_argument` does."""
        self._actions.append(self._group.add_argument(*names, **settings))
        return self._actions[-1]

    def given(self, args: argparse.Namespace) -> list[str]:
        """Names of the flags that are not left out."""
        return [
            action.option_strings[0]
            for action in self._actions
            if getattr(args, action.dest) != action.default
        ]


def _add_going_on(add: flags.Add) -> None:
    """How a run goes on with what its directory has."""
    add(
        "--replace",
        metavar="DAY",
        default="",
        help="make this day again, and all after it; the weights go back to before it",
    )
    add(
        "--missing_day",
        metavar="DAY",
        action="append",
        default=[],
        help="a day that the logs lack, which is passed over; repeatable",
    )
    add(
        "--accept_day",
        metavar="DAY",
        action="append",
        default=[],
        help="let a day pass that the data gate has stopped; repeatable",
    )
    add("--reason", default="", help="why --accept_day; it is recorded with your name")
    add(
        "--encoding",
        metavar="DIR",
        default="",
        help="take another run's encoding as it is, and learn none",
    )
    add(
        "--refresh_encoding",
        choices=["all", "vocabularies"],
        default="none",
        help="learn vocabularies anew, of all training days, and with `all` scales "
        "too; training begins anew then (or, without `all`, with --map_encoding)",
    )
    add(
        "--map_encoding",
        action="store_true",
        help="begin with the weights of the encoding before, mapped value by value",
    )
    add(
        "--refresh_sparse_weights",
        action="store_true",
        help="select the weights of --sparse_weights again; training begins anew where "
        "they change",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    flags.add_spec(add)
    flags.add_logs(add)
    flags.add_root(add, help="directory the run writes to")
    flags.add_preset(add)
    flags.add_loss_weights(add)
    flags.add_sparse_weights(add)
    flags.add_day_settings(add)
    flags.add_slice(add, shipped_slices(), default="cpu")
    flags.add_seed(add, of="shuffles and initial weights")
    flags.add_beam_args(add)


def _config(args: argparse.Namespace) -> RunConfig:
    return RunConfig(
        spec=args.spec,
        logs=args.logs,
        root=args.root,
        preset=args.preset,
        loss_weights=args.loss_weights,
        slice=args.tpu_config,
        days=args.days,
        eval_days=args.eval_days,
        context_days=args.context_days,
        label_delay=args.label_delay,
        allow_small_days=args.allow_small_days,
        seed=args.seed,
        sparse_weights=tuple(args.sparse_weights),
        sparse_options=_sparse_options(args),
        beam_args=tuple(args.beam_arg),
    )


def _place(args: argparse.Namespace) -> PipelinePlace:
    count = args.gpu_count
    machine = args.machine_type
    return PipelinePlace(
        project=args.project,
        region=args.region,
        image=args.image,
        beam=args.beam,
        worker_image=args.worker_image,
        train_image=args.train_image,
        training=vertex.VertexOptions(
            region=args.region,
            timeout_hours=args.timeout_hours,
            machine_type=machine,
            gpu_type=args.gpu_type,
            gpu_count=vertex.default_gpu_count(machine) if count is None else count,
            workers=args.workers,
        ),
        service_account=args.service_account,
        spot=args.spot,
        resources=read_resources(args.resources),
    )


def _sparse_options(args: argparse.Namespace) -> dict[str, float | None]:
    """Of a command, which may take all cores."""
    sample = {} if args.sparse_sample is None else {"sample": args.sparse_sample}
    return {"workers": None, **sample} if args.sparse_weights else {}


def _going_on(args: argparse.Namespace) -> RunConfig:
    return dataclasses.replace(
        _config(args),
        replace=args.replace,
        missing_days=tuple(args.missing_day),
        accept_days=tuple(args.accept_day),
        accept_reason=args.reason,
        encoding=args.encoding,
        refresh_encoding=args.refresh_encoding,
        map_encoding=args.map_encoding,
        refresh_sparse_weights=args.refresh_sparse_weights,
    )


def _run(args: argparse.Namespace, console: rich.console.Console) -> Status:
    other = "vertex" if args.runner == "local" else "local"
    if given := args.of[other].given(args):
        raise UsageError(f"{', '.join(given)}: {_ONLY[other]}")
    return (_run_local if args.runner == "local" else _run_vertex)(args, console)


def _run_vertex(args: argparse.Namespace, console: rich.console.Console) -> Status:
    pipeline_command.check_flags(args)
    config = _config(args)
    if config.days is None:
        raise UsageError("--days: is required on Vertex AI, like 20220408:20220421.")
    place, slice = _checked_place(config, args)
    examples = "Dataflow" if place.beam == "dataflow" else "the step's container"
    own = place.training_place(slice) is not None
    training = f"a custom job on {slice.name}" if own else "the step's container"
    console.print(f"Examples: {examples}. Training: {training}.", highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        out = args.out or os.path.join(folder, "pipeline.json")
        steps = _compile_to(config, place, out, console)
        told = f"{args.out}: a" if args.out else "A"
        console.print(f"{told} valid Vertex pipeline spec of {steps} steps")
        return pipeline_command.send(read_compiled(out), args, console)


def _run_local(args: argparse.Namespace, console: rich.console.Console) -> Status:
    config = _going_on(args)
    texts = check_local(config)
    check_sparse_weights(config, texts)
    check_truth(args.truth)
    with owned(config.root):  # told before TFX is loaded
        check_metadata(config.root)
        return _run_steps(config, texts.spec, args.truth, console)


def _run_steps(
    config: RunConfig, spec: Spec, truth: str | None, console: rich.console.Console
) -> Status:
    with console.status("Loading TensorFlow, Beam and TFX ..."):
        load_tfx()
    from pipeline.examples.state_tables import state_lines
    from pipeline.launch import with_days

    config = with_days(config, spec)
    console.print(
        f"[bold]{spec.name}[/] {config.days}, the last {config.eval_days} for "
        "evaluation"
    )
    for line in state_lines(spec):
        console.print(line, style="yellow", highlight=False)
    with StepLines(console) as lines:
        record = run_pipeline(config, truth=truth, on_step=lines)
    console.print(tables.rows_table(record.rows))
    console.print("\n".join(tables.told_lines(record.rows)), highlight=False)
    for line in tables.labels_lines(record.rows, spec):
        console.print(line, style="yellow", highlight=False)
    show_evaluation(spec, evaluation_of(record), console)
    if record.loss_weights:
        console.print(_selected_line(record.loss_weights), highlight=False)
    return show_outcome(os.fspath(config.root), spec, record, console)


def _selected_line(weights: Mapping[str, float]) -> str:
    told = ", ".join(f"{task}={weight:g}" for task, weight in weights.items())
    return (
        f"Loss weights that were selected: {told}. They stay until a run with "
        "--refresh_sparse_weights; report/weights/ says how it came to them."
    )


def _compile(args: argparse.Namespace, console: rich.console.Console) -> Status:
    config = _config(args)
    place, _ = _checked_place(config, args)
    steps = _compile_to(config, place, args.out, console)
    console.print(f"{args.out}: a valid Vertex pipeline spec of {steps} steps")
    return Status.DONE


def _checked_place(
    config: RunConfig, args: argparse.Namespace
) -> tuple[PipelinePlace, SliceConfig]:
    """Where the steps of a right run go; SpecError lists what Vertex AI has not."""
    texts, place = read_texts(config), _place(args)
    check_sparse_weights(config, texts)
    slice = read_slice(texts.slice)
    check_place(place, slice, config.logs, config.root)
    return place, slice


def _compile_to(
    config: RunConfig, place: PipelinePlace, out: str, console: rich.console.Console
) -> int:
    """Writes the pipeline; returns the number of its steps."""
    with console.status("Loading TensorFlow, Beam and TFX ..."):
        load_tfx()
    from pipeline.launch import compile_vertex

    return compile_vertex(config, place, out)


def show_outcome(
    root: str, spec: Spec, record: RunRecord, console: rich.console.Console
) -> Status:
    """Says whether the run's model was pushed, and why; the status that tells so."""
    if not record.pushed:
        console.print(f"[red]Not pushed:[/] {escape(record.refused)}", highlight=False)
        return Status.REFUSED
    if spec.evaluation.gate == "none":
        console.print(
            f"No gate: the spec {spec.name} says evaluation.gate: none, so that any "
            "model is pushed that can be served."
        )
    console.print(
        f"Pushed to [bold]{root}/models/{record.spec}/{record.version}[/]. Serve it "
        f"with [bold]trailrank serve --root {root}[/]."
    )
    return Status.DONE
