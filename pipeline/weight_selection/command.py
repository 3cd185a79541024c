"""The command `trailrank weights select`: a loss weight for a new sparse task.

    trailrank weights select --new_task share --root RUN --preset mmoe --out OUT
    trailrank weights select --new_task share --spec kuairand --examples DIR \\
        --encoding DIR --sample 0.1 --rivals uniform uncertainty gradnorm grid --out OUT

A meta learner (SFV sec. 5.3): on a share of the rows each other task that the spec
calls sparse plays the new one and is trained with some weights; what came of that, told
by gradients, label means and weights, is what a small network learns from, and it
predicts the best weight for the new task. OUT gets preset.yaml with the weight, for
--preset and --model, and weights.json, weights.md and weights.png. --rivals trains the
new task on all rows, with the weight and with what others would have done (SFV table
3). Stopped and started again with the same OUT, what is in OUT/results.jsonl is not
trained again.
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
from pipeline.compare.command import duration
from pipeline.compare.console import trainings
from pipeline.compare.errors import CompareError
from pipeline.compare.run import check_places
from pipeline.weight_selection.errors import WeightSelectionError
from pipeline.weight_selection.options import RIVALS, WeightOptions
from pipeline.weight_selection.run import Listener, select_weight
from tpu_configs import shipped_slices

if TYPE_CHECKING:
    from pipeline.compare.trials import Trial
    from pipeline.weight_selection.findings import Selection


def run(argv: Sequence[str]) -> int:
    """`trailrank weights ...`; returns the exit status."""
    found = parser()
    args = found.parse_args(argv)
    try:
        options = _options(args)
    except (CompareError, WeightSelectionError) as error:
        found.error(str(error))
    console = rich.console.Console()
    with trainings(console, args.out) as status:
        selected = _select(args, options, _Lines(console, status))
    _show(selected, console)
    console.print(
        f"The preset is [bold]{escape(args.out)}/preset.yaml[/]; tables and the figure "
        "lie beside it.",
        highlight=False,
    )
    return 0


def parser() -> ArgumentParser:
    """Of the command and its subcommands."""
    found = ArgumentParser(
        prog="trailrank weights", description="Weights of the tasks' losses."
    )
    commands = found.add_subparsers(required=True, metavar="select")
    _add_flags(
        commands.add_parser(
            "select",
            help="choose the weight of a new sparse task by a meta learner",
            description=__doc__,
        )
    )
    return found


def _add_flags(select: argparse.ArgumentParser) -> None:
    add = select.add_argument
    add("--new_task", required=True, metavar="TASK", help="whose weight is chosen")
    add("--root", metavar="RUN", help="a run, whose newest examples are taken")
    flags.add_spec(add, required=False)
    flags.add_examples(add, required=False)
    flags.add_preset(add)
    add("--out", required=True, help="directory for the preset, tables and the figure")
    add("--sample", type=float, default=0.2, help="share of the training rows (0.2)")
    add(
        "--weights",
        type=float,
        nargs="+",
        default=WeightOptions.weights,
        help="that existing tasks are trained with (1 10 100 1000)",
    )
    add(
        "--candidates",
        type=float,
        nargs="+",
        default=WeightOptions.candidates,
        help="of which one is chosen (1 2 5 10 20 50 100 200 500 1000)",
    )
    add(
        "--existing",
        nargs="+",
        default=(),
        metavar="TASK",
        help="that play the new one (all others that the spec calls sparse)",
    )
    flags.add_importance(add)
    add("--seeds", type=int, default=3, help="trainings with each weight (3)")
    add("--runs", type=int, default=10, help="of the meta learner, which vote (10)")
    add(
        "--rivals",
        nargs="*",
        default=(),
        choices=RIVALS,
        help="what it is compared with on all rows (none)",
    )
    flags.add_days(add, "all")
    add(
        "--eval_days",
        type=int,
        metavar="N",
        help="the last N of the days judge; by default as many as the run's, or 1",
    )
    add("--keep", action="store_true", help="keep the checkpoints")
    flags.add_workers(add, of="trainings")
    flags.add_slice(add, shipped_slices())


def _options(args: argparse.Namespace) -> WeightOptions:
    """CompareError, WeightSelectionError where flags do not go together."""
    check_places(args.out, args.root, args.spec, args.examples)
    return WeightOptions(
        sample=args.sample,
        weights=args.weights,
        candidates=args.candidates,
        existing=args.existing,
        importance=args.importance,
        seeds=args.seeds,
        runs=args.runs,
        rivals=args.rivals,
        days=args.days or (),
        eval_days=args.eval_days,
        keep=args.keep,
        workers=args.workers,
    )


def _select(
    args: argparse.Namespace, options: WeightOptions, lines: _Lines
) -> Selection:
    return select_weight(
        args.new_task,
        args.preset,
        args.out,
        root=args.root,
        spec=args.spec,
        examples=args.examples,
        encoding=args.encoding,
        options=options,
        slice=args.tpu_config,
        listener=lines,
    )


class _Lines(Listener):
    """Tells on the console how a selection goes."""

    def __init__(self, console: rich.console.Console, status: rich.status.Status):
        self._console, self._status = console, status

    def counting(self) -> None:
        self._status.update("Counting labels ...")

    def planned(self, trials: int, finished: int) -> None:
        done = f", of which {finished} are in results.jsonl" if finished else ""
        self._console.print(f"{trials} trainings{done}", highlight=False)

    def training(
        self, number: int, total: int, trial: Trial, left_s: float | None
    ) -> None:
        left = "" if left_s is None else f", about {duration(left_s)} to go"
        share = "all" if trial.sample == 1 else f"{100 * trial.sample:g} % of the"
        text = f"Training {number} of {total}: {trial.entrant.name}, seed {trial.seed}"
        self._status.update(f"{text}, on {share} rows ...")
        self._console.print(text + left, highlight=False, markup=False)

    def learned(self, weight: float) -> None:
        self._console.print(f"The meta learner chooses {weight:g}", highlight=False)


def _show(found: Selection, console: rich.console.Console) -> None:
    from pipeline.weight_selection import report

    for table in (
        report.votes_table(found),
        report.held_out_table(found),
        report.ways_table(found),
    ):
        if table is not None:
            console.print(table)
    console.print(report.method(found), highlight=False, markup=False)
    for note in found.notes:
        console.print(f"- {note}", highlight=False, markup=False)
