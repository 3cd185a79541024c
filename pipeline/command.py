"""The command `trailrank pipeline run|compile|status|history|lineage|rollback|prune`.

    trailrank pipeline run --spec kuairand --logs LOGS/data --root RUN
    trailrank pipeline status --root RUN
    trailrank pipeline compile --runner vertex --spec kuairand --logs gs://B/logs \\
        --root gs://B/run --days 20220408:20220421 --tpu_config v5litepod-8 \\
        --project P --region europe-west4 --image IMAGE --worker_image IMAGE \\
        --train_image IMAGE --out pipeline.json

`run` goes on where the directory left off: it makes the days that are new, trains what
the weights lack, and judges on the newest days. Mistakes in the arguments, the spec and
the preset are told before TensorFlow loads. A day that the data gate stops, and a model
that a gate refuses, end with exit status 3, and what served keeps serving.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
import rich.status
from rich.markup import escape

from feature_specs import Spec, flags
from feature_specs.errors import Status
from feature_specs.flags import ArgumentParser
from feature_specs.locks import owned
from pipeline.cloud import vertex, vertex_flags
from pipeline.cloud.pipeline_place import PipelinePlace, read_resources
from pipeline.cloud.pipeline_place import check as check_place
from pipeline.evaluate import check_truth, evaluation_of
from pipeline.evaluate_command import show_evaluation
from pipeline.examples import tables
from pipeline.operations import command as operations
from pipeline.run import load_tfx, run_pipeline
from pipeline.run_config import RunConfig, check_local, check_metadata, read_texts
from pipeline.run_record import RunRecord
from tpu_configs import read_slice, shipped_slices

if TYPE_CHECKING:
    from pipeline.runners.local import StepEvent

_STATES = {"done": "green", "cached": "cyan", "failed": "red"}


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
        required=True, metavar="|".join(("run", "compile", *operations.NAMES))
    )
    here = commands.add_parser("run", help="run every step on this machine")
    _add_common(here)
    flags.add_day_range(here.add_argument)
    here.add_argument(
        "--truth", help="the log simulator's truth/, for the oracle in the last table"
    )
    _add_going_on(here.add_argument)
    here.set_defaults(handler=_run_local)
    there = commands.add_parser("compile", help="write the DAG for a runner")
    _add_common(there)
    flags.add_day_range(there.add_argument, required=True)
    there.add_argument("--runner", choices=["vertex"], default="vertex")
    there.add_argument("--out", required=True, help="file to write (JSON)")
    vertex_flags.add_place(there.add_argument_group("on Vertex AI").add_argument)
    there.set_defaults(handler=_compile)
    operations.add_commands(commands)
    return found


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


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    flags.add_spec(add)
    flags.add_logs(add)
    flags.add_root(add, help="directory the run writes to")
    flags.add_preset(add)
    flags.add_loss_weights(add)
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
    )


def _run_local(args: argparse.Namespace, console: rich.console.Console) -> Status:
    config = _going_on(args)
    spec = check_local(config).spec
    check_truth(args.truth)
    with owned(config.root):  # told before TFX is loaded
        check_metadata(config.root)
        return _run_steps(config, spec, args.truth, console)


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
    with _StepLines(console) as lines:
        record = run_pipeline(config, truth=truth, on_step=lines)
    console.print(tables.rows_table(record.rows))
    console.print("\n".join(tables.told_lines(record.rows)), highlight=False)
    for line in tables.labels_lines(record.rows, spec):
        console.print(line, style="yellow", highlight=False)
    show_evaluation(spec, evaluation_of(record), console)
    return show_outcome(os.fspath(config.root), spec, record, console)


def _compile(args: argparse.Namespace, console: rich.console.Console) -> Status:
    config = _config(args)
    texts, place = read_texts(config), _place(args)
    check_place(place, read_slice(texts.slice), config.logs, config.root)
    with console.status("Loading TensorFlow, Beam and TFX ..."):
        load_tfx()
    from pipeline.launch import compile_vertex

    steps = compile_vertex(config, place, args.out)
    console.print(f"{args.out}: a valid Vertex pipeline spec of {steps} steps")
    return Status.DONE


class _StepLines:
    """A line on the console for each step that ended, and what runs now."""

    def __init__(self, console: rich.console.Console):
        self._console = console
        self._status: rich.status.Status | None = None

    def __enter__(self) -> _StepLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def __call__(self, event: StepEvent) -> None:
        if event.state == "running":
            self._status = self._console.status(f"{event.step} ...")
            self._status.start()
            return
        self._stop()
        state = f"[{_STATES[event.state]}]{event.state}[/]"
        self._console.print(f"  {event.step:<20} {event.seconds:6.1f} s  {state}")

    def _stop(self) -> None:
        """Takes the spinner away."""
        if self._status:
            self._status.stop()
            self._status = None


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
