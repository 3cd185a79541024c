"""What the pipeline's commands do once their arguments are read and right."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import time

import rich.console

from feature_specs import Spec, TrailrankError, read_spec
from pipeline.components import ALL_EARLIER_DAYS, REPORT_FILE
from pipeline.dag import IN_PROCESS_BEAM_ARGS, RunConfig
from pipeline.evaluation import quality as evaluation
from pipeline.evaluation import tables, truth_join
from pipeline.examples import tables as example_tables
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.reading.log_files import find_logs, match_files
from pipeline.examples.reading.readers import discover_days, join_sources, log_source
from pipeline.run_record import RunRecord, read_record, write_record
from pipeline.runners import local

_LIBRARIES = (
    "trailrank",
    "tensorflow",
    "tfx",
    "apache-beam",
    "tensorflow-recommenders",
)


class LaunchError(TrailrankError, RuntimeError):
    """A run that cannot begin; the message says why."""


def run_local(
    args: argparse.Namespace, texts: dict[str, str], console: rich.console.Console
) -> RunRecord:
    """Runs the DAG here, writes `run.json`, prints rows, quality and what is next."""
    if "://" in args.root:
        raise LaunchError(
            f"--root {args.root}: a run on this machine keeps its metadata in a local "
            "directory. Name one, or compile the pipeline for Vertex."
        )
    spec = read_spec(texts["spec"], args.spec)
    args.logs = find_logs(spec, _absolute(args.logs))
    days = args.days or str(discover_days(spec, args.logs))
    config = _config(args, texts, days)
    config = dataclasses.replace(config, fingerprint=fingerprint(spec, config.logs))
    console.print(
        f"[bold]{spec.name}[/] {days}, the last {args.eval_days} for evaluation"
    )
    outputs = local.run(config, console)
    record = _record(args, spec, config, outputs)
    write_record(args.root, record)
    _keep_figures(pathlib.Path(outputs["Trainer"]["model_run"]), args.root)
    console.print(example_tables.rows_table(record.rows))
    console.print(example_tables.trails_line(record.rows), highlight=False)
    record = evaluate(args.root, args.truth, console)
    _print_outcome(args.root, record, console)
    return record


def _keep_figures(model_run: pathlib.Path, root: str) -> None:
    """What is inside the trained model goes where a reader looks: `RUN/report/`."""
    made = model_run / "logs" / "inspection"
    if made.exists():
        target = pathlib.Path(root) / "report" / "inspection"
        shutil.copytree(made, target, dirs_exist_ok=True)


def compile_vertex(
    args: argparse.Namespace, texts: dict[str, str], console: rich.console.Console
) -> None:
    """Writes the DAG as a Vertex pipeline spec.

    Each compilation has a fingerprint of its own: the logs in a bucket may have changed
    since the last one, and cached examples would be old ones.
    """
    try:
        from pipeline.cloud import vertex_pipeline as vertex
    except ImportError as error:
        raise LaunchError(
            f"compiling for Vertex needs more libraries ({error.name} is missing): "
            "pip install 'trailrank[vertex]'."
        ) from None
    out = pathlib.Path(args.out).resolve()
    config = dataclasses.replace(
        _config(args, texts, args.days), fingerprint=f"compiled-{time.time():.0f}"
    )
    steps = vertex.compile_spec(config, args.image, out)
    console.print(f"{args.out}: a valid Vertex pipeline spec of {steps} steps")


def evaluate(root: str, truth: str | None, console: rich.console.Console) -> RunRecord:
    """Scores the evaluation days, prints the table and keeps it in `run.json`."""
    record = read_record(root)
    spec = read_spec(record.spec_text)
    with console.status("Scoring the evaluation days with the exported model ..."):
        predictions = evaluation.score(
            spec, record.model, record.examples, record.eval_splits
        )
        known = truth_join.read_truth(truth, spec) if truth else None
        qualities = evaluation.measure(spec, predictions, known)
        slices = evaluation.measure_slices(spec, predictions)
    record = dataclasses.replace(
        record,
        metrics=[dataclasses.asdict(quality) for quality in qualities],
        slices={
            name: [dataclasses.asdict(quality) for quality in found]
            for name, found in slices.items()
        },
    )
    write_record(root, record)
    console.print(*tables.quality_tables(qualities))
    if slices and spec.evaluation.min_auc:
        console.print(tables.slice_table(slices, list(spec.evaluation.min_auc)))
    return record


def fingerprint(spec: Spec, logs: str) -> str:
    """Changes when a file that the spec reads in `logs` changes."""
    sources = [log_source(spec), *join_sources(spec).values()]
    files = [
        (file.path, file.size_in_bytes, file.last_updated_in_seconds)
        for source in sources
        for file in match_files(source, logs)
    ]
    return hashlib.sha256(repr(files).encode()).hexdigest()[:12]


def _config(args: argparse.Namespace, texts: dict[str, str], days: str) -> RunConfig:
    return RunConfig(
        **texts,
        logs=_absolute(args.logs),
        root=_absolute(args.root),
        days=days,
        eval_days=args.eval_days,
        context_days=_or_all(args.context_days),
        allow_small_days=args.allow_small_days,
        seed=args.seed,
        beam_args=tuple(args.beam_arg) or IN_PROCESS_BEAM_ARGS,
    )


def _record(
    args: argparse.Namespace, spec: Spec, config: RunConfig, outputs: local.Outputs
) -> RunRecord:
    examples = outputs["DayExampleGen"]["examples"]
    days = DayRange.parse(config.days)
    plan = plan_splits(days, config.eval_days, spec.log.days_per_split)
    blessing = pathlib.Path(outputs["Evaluator"]["blessing"])
    return RunRecord(
        spec=spec.name,
        spec_text=spec.text,
        spec_digest=spec.digest,
        preset=args.preset,
        days=config.days,
        eval_splits=plan.evaluation,
        logs=config.logs,
        rows=json.loads((pathlib.Path(examples) / REPORT_FILE).read_text()),
        examples=examples,
        model=os.path.join(outputs["Trainer"]["model"], "Format-Serving"),
        pushed=(blessing / "BLESSED").exists(),
        metrics=[],
        slices={},
        versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def _print_outcome(root: str, record: RunRecord, console: rich.console.Console) -> None:
    if record.pushed:
        console.print(
            f"Pushed to [bold]{root}/models/{record.spec}[/]. Serve it with "
            f"[bold]trailrank serve --root {root}[/]."
        )
        return
    console.print(
        "[red]Not blessed, so not pushed:[/] the model missed a threshold of the "
        "spec's `evaluation` section, or lost AUC against the last blessed model. "
        f"The figures are above; TFMA's verdict is in {root}/artifacts/Evaluator."
    )


def _or_all(context_days: int | None) -> int:
    if context_days is None:
        return ALL_EARLIER_DAYS
    if context_days < 0:
        raise LaunchError(
            f"--context_days must be 0 or more, got {context_days}. Leave it out to "
            "read all earlier days."
        )
    return context_days


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
