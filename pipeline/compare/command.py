"""The command `trailrank compare`: which sharing structure is best on these examples?

    trailrank compare --root RUN --presets single mmoe ple my.yaml --seeds 5 --out OUT
    trailrank compare --spec kuairand --transformed DIR --presets single ple \\
        --days 20220408:20220414 --eval_days 2 --out OUT

Every preset is trained with every seed on the same days and scored on the last ones, as
it would be served. Sizes are matched: the widths of the sharing part are scaled until a
preset has as many weights as the first one that shares (--reference, --no-match).
OUT gets compare.csv (every metric), compare.json, compare.md (the tables, to paste),
seesaw.png (PLE fig. 3) and gains.png. Stopped and started again with the same OUT, what
is in OUT/results.jsonl is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from absl import logging
from absl.flags import argparse_flags

from feature_specs import ModelConfig, load_spec, shipped_specs
from feature_specs.preset import shipped_presets
from pipeline.compare import comparison as planning
from pipeline.reporting.figures import require_matplotlib
from tpu_configs import shipped_slices

if TYPE_CHECKING:
    from pipeline.compare.comparison import Comparison
    from pipeline.compare.examples import Examples
    from pipeline.compare.findings import Findings
    from pipeline.compare.trials import Trial

_NAME = "compare"


def run(argv: Sequence[str]) -> int:
    """`trailrank compare ...`; returns the exit status: 1 if a training diverged."""
    parser = _parser()
    args = parser.parse_args(argv)
    _check(parser, args)
    require_matplotlib()
    presets = planning.load_presets(args.presets)
    console = rich.console.Console()
    _load_tensorflow(console)
    comparison = _plan(args, presets, console)
    findings = _train(comparison, args, console)
    _write(findings, pathlib.Path(args.out))
    _show(findings, console)
    console.print(f"Tables and figures are in [bold]{args.out}[/].", highlight=False)
    return 1 if findings.diverged else 0


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with a message where arguments do not go together."""
    if args.root and (args.spec or args.transformed):
        parser.error("--root takes the run's examples: leave --spec, --transformed out")
    if not args.root and not (args.spec and args.transformed):
        parser.error("name a run by --root, or examples by --spec and --transformed")
    if args.seeds < 1:
        parser.error(f"--seeds: must be at least 1, got {args.seeds}")
    if args.eval_days is not None and args.eval_days < 1:
        parser.error(f"--eval_days: must be at least 1, got {args.eval_days}")
    if args.reference and not args.match:
        parser.error("--reference says whose size is matched: leave --no-match out")
    if "://" in args.out:
        parser.error(f"--out {args.out}: must be a directory of this machine")


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--root", metavar="RUN", help="a run, whose newest examples are taken")
    add("--spec", help=f"a spec's file, or one of {', '.join(shipped_specs())}")
    add("--transformed", metavar="DIR", help="output of the Transform step")
    add(
        "--presets",
        nargs="+",
        required=True,
        metavar="PRESET",
        help=f"presets' files, or of {', '.join(shipped_presets())}",
    )
    add("--out", required=True, help="directory for tables and figures")
    add("--seeds", type=int, default=5, help="trainings of each preset (5)")
    add("--days", nargs="+", default=(), help="YYYYMMDD or FIRST:LAST, by default all")
    add(
        "--eval_days",
        type=int,
        metavar="N",
        help="the last N of the days judge; by default as many as the run's, or 1",
    )
    add("--baseline", metavar="PRESET", help="gains are over it (the single-task one)")
    add(
        "--match",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="scale the sharing part's widths to the reference's size",
    )
    add("--reference", metavar="PRESET", help="whose size is matched (first sharing)")
    add("--seesaw", nargs=2, metavar="TASK", help="tasks of seesaw.png")
    add("--keep", action="store_true", help="keep the checkpoints")
    add("--tpu_config", help=f"a slice's file, or one of {', '.join(shipped_slices())}")
    return parser


def _load_tensorflow(console: rich.console.Console) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.status("Loading TensorFlow ..."), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        import pipeline.compare.trials  # noqa: F401
    logging.set_verbosity(logging.WARNING)  # no line for every day of every training
    tf.get_logger().setLevel("ERROR")  # no advice on tracing one ranker after another


def _plan(
    args: argparse.Namespace,
    presets: dict[str, ModelConfig],
    console: rich.console.Console,
) -> Comparison:
    from trainer.command import choose_slice

    examples, slice = _examples(args), choose_slice("auto", args.tpu_config)
    baseline = planning.choose_baseline(presets, args.baseline)
    reference = None
    if args.match:
        reference = planning.choose_reference(presets, args.reference)
    seesaw = planning.choose_seesaw(examples.spec, args.seesaw)
    with console.status("Building the presets ...") as status:
        entrants = planning.plan_entrants(
            presets,
            examples.spec,
            reference,
            lambda name: status.update(f"Building the presets: {name} ..."),
        )
    return planning.Comparison(
        examples=examples,
        entrants=entrants,
        seeds=tuple(range(args.seeds)),
        slice=slice,
        baseline=baseline,
        reference=reference,
        seesaw=seesaw,
    )


def _examples(args: argparse.Namespace) -> Examples:
    from pipeline.compare.examples import examples_of_folder, examples_of_run

    if args.root:
        return examples_of_run(args.root, args.days, args.eval_days)
    spec = load_spec(args.spec)
    return examples_of_folder(spec, args.transformed, args.days, args.eval_days)


def _train(
    comparison: Comparison, args: argparse.Namespace, console: rich.console.Console
) -> Findings:
    from pipeline.compare.findings import find
    from pipeline.compare.trials import (
        RESULTS_FILE,
        ResultsFile,
        plan_trials,
        run_trials,
    )

    def report(number: int, total: int, trial: Trial, seconds: float | None) -> None:
        left = "" if seconds is None else f", about {_duration(seconds)} to go"
        text = f"Training {number} of {total}: {trial.entrant.name}, seed {trial.seed}"
        console.print(text + left, highlight=False, markup=False)

    trials, out = plan_trials(comparison), pathlib.Path(args.out)
    finished = ResultsFile(out).read()
    done = sum(trial.key in finished for trial in trials)
    console.print(
        f"[bold]{comparison.examples.spec.name}[/]: {len(trials)} trainings"
        + (f", of which {done} are in {RESULTS_FILE}" if done else ""),
        highlight=False,
    )
    try:
        results = run_trials(comparison, trials, out, keep=args.keep, report=report)
    except KeyboardInterrupt:
        console.print(f"The same command goes on: {args.out} has what is finished.")
        raise
    return find(comparison, trials, results)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _write(findings: Findings, out: pathlib.Path) -> None:
    from pipeline.compare import plot, report
    from pipeline.reporting.figures import png

    contents = {
        f"{_NAME}.csv": report.results_csv(findings).encode(),
        f"{_NAME}.json": json.dumps(report.summary(findings), indent=2).encode()
        + b"\n",
        f"{_NAME}.md": report.markdown(findings).encode(),
    }
    if findings.rivals:
        contents["gains.png"] = png(plot.draw_gains(findings))
    if findings.rivals and findings.comparison.seesaw:
        contents["seesaw.png"] = png(plot.draw_seesaw(findings))
    for name, content in contents.items():
        unfinished = out / f"{name}.tmp"
        unfinished.write_bytes(content)
        os.replace(unfinished, out / name)


def _show(findings: Findings, console: rich.console.Console) -> None:
    from pipeline.compare import report

    console.print(report.presets_table(findings))
    for table in report.task_tables(findings, console.width):
        console.print(table)
    console.print(report.method(findings), highlight=False, markup=False)
    for note in findings.notes:
        console.print(f"- {note}", highlight=False, markup=False)
