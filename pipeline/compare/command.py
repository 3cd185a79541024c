"""The command `trailrank compare`: which sharing structure is best on these examples?

    trailrank compare --root RUN --presets single mmoe ple my.yaml --seeds 5 --out OUT
    trailrank compare --spec kuairand --examples DIR --encoding DIR \\
        --presets single ple --days 20220408:20220414 --eval_days 2 --out OUT

Every preset is trained with every seed on the same days and scored on the last ones, as
it would be served. Sizes are matched: the widths of the sharing part are scaled until a
preset has as many weights as the first one that shares (--reference, --no-match).
OUT gets compare.csv (every metric), compare.json, compare.md (the tables, to paste),
seesaw.png (PLE fig. 3) and gains.png. --vary "loss_weights.share=[1, 10, 100]" trains a
preset with each value of a key instead, and draws each task's metric over them
(vary.loss_weights.share.png). What takes no network stands beside (--yardsticks means
trees). Stopped and started again with the same OUT, what
is in OUT/results.jsonl is not trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
import rich.status
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from feature_specs.preset import shipped_presets
from pipeline.compare.console import trainings
from pipeline.compare.errors import CompareError
from pipeline.compare.run import (
    CompareOptions,
    Listener,
    check_places,
    compare,
)
from pipeline.compare.variants import parse_varied
from pipeline.compare.yardsticks import KINDS
from tpu_configs import shipped_slices

if TYPE_CHECKING:
    from pipeline.compare.comparison import Comparison
    from pipeline.compare.findings import Findings
    from pipeline.compare.trials import Trial


def run(argv: Sequence[str]) -> int:
    """`trailrank compare ...`; returns the exit status: 1 if a training diverged."""
    found = parser()
    args = found.parse_args(argv)
    try:
        options = _options(args)
    except CompareError as error:
        found.error(str(error))
    console = rich.console.Console()
    with trainings(console, args.out) as status:
        findings = _compare(args, options, _Lines(console, status))
    _show(findings, console)
    console.print(
        f"Tables and figures are in [bold]{escape(args.out)}[/].", highlight=False
    )
    return 1 if findings.diverged else 0


def _options(args: argparse.Namespace) -> CompareOptions:
    """CompareError where flags do not go together."""
    check_places(args.out, args.root, args.spec, args.examples)
    return CompareOptions(
        seeds=args.seeds,
        days=args.days,
        eval_days=args.eval_days,
        baseline=args.baseline,
        match=args.match,
        reference=args.reference,
        seesaw=args.seesaw,
        keep=args.keep,
        vary=parse_varied(args.vary),
        yardsticks=args.yardsticks,
        workers=args.workers,
    )


def _compare(
    args: argparse.Namespace, options: CompareOptions, lines: _Lines
) -> Findings:
    return compare(
        args.presets,
        args.out,
        root=args.root,
        spec=args.spec,
        examples=args.examples,
        encoding=args.encoding,
        options=options,
        slice=args.tpu_config,
        listener=lines,
    )


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank compare", description=__doc__)
    add = found.add_argument
    add("--root", metavar="RUN", help="a run, whose newest examples are taken")
    flags.add_spec(add, required=False)
    flags.add_examples(add, required=False)
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
    add(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=[VALUE, ...]",
        help="train every preset but the baseline with each value; repeatable",
    )
    add(
        "--yardsticks",
        nargs="*",
        default=["means"],
        choices=KINDS,
        help="what takes no network, told beside: smoothed means of users and items, "
        "gradient-boosted trees of the newest million rows (means)",
    )
    flags.add_workers(add, of="trainings")
    flags.add_slice(add, shipped_slices())
    return found


class _Lines(Listener):
    """Tells on the console how a comparison goes."""

    def __init__(self, console: rich.console.Console, status: rich.status.Status):
        self._console, self._status = console, status

    def sizing(self, preset: str) -> None:
        self._status.update(f"Building the presets: {preset} ...")

    def planned(self, comparison: Comparison, trials: int, finished: int) -> None:
        done = f", of which {finished} are in results.jsonl" if finished else ""
        name = comparison.examples.spec.name
        self._console.print(
            f"[bold]{name}[/]: {trials} trainings{done}", highlight=False
        )

    def training(
        self, number: int, total: int, trial: Trial, left_s: float | None
    ) -> None:
        left = "" if left_s is None else f", about {duration(left_s)} to go"
        text = f"Training {number} of {total}: {trial.entrant.name}, seed {trial.seed}"
        self._status.update(f"{text} ...")
        self._console.print(text + left, highlight=False, markup=False)

    def measuring(self, yardstick: str) -> None:
        self._status.update(f"Without a network: {yardstick} ...")


def duration(seconds: float) -> str:
    """`80 s`, `12 min` or `1.6 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _show(findings: Findings, console: rich.console.Console) -> None:
    from pipeline.compare import report

    console.print(report.presets_table(findings))
    for table in report.task_tables(findings, console.width):
        console.print(table)
    for table in report.yardstick_tables(findings, console.width):
        console.print(table)
    console.print(report.method(findings), highlight=False, markup=False)
    for note in findings.notes:
        console.print(f"- {note}", highlight=False, markup=False)
