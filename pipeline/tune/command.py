"""The command `trailrank tune`: which settings of a preset are best on these examples?

    trailrank tune --root RUN --preset mmoe --trials 30 --out OUT
    trailrank tune --spec kuairand --examples DIR --encoding DIR \\
        --preset mine.yaml --space space.yaml --metric like.auc long_view.auc --out OUT

Every trial is the preset with other values of some keys, trained day after day. Each
day judges it before it is trained on, and a trial that is not in the better half after
some days is given up. Trial 0 is the preset as it is. The last days are kept from the
search (--holdout_days), and there the best trial and the preset are trained with other
seeds, in pairs: the report says whether it is better.
OUT gets best.yaml (a preset for --preset), report.md, trials.csv, tune.json,
history.png and importance.png. Stopped and started again with the same OUT, what is
over is not trained again; a larger --trials goes on.

A space names keys of the preset, by file (--space) or by flag (--search):
    optimizer.learning_rate: {low: 0.001, high: 0.05, log: true}
    epochs_per_day: {low: 1, high: 3}
    bottom: [[64], [128], [256, 128]]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich.console
import rich.status
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from pipeline.compare.console import trainings
from pipeline.compare.errors import CompareError
from pipeline.compare.run import check_places
from pipeline.tune.errors import TuneError
from pipeline.tune.run import Listener, TuneOptions, read_space, tune
from pipeline.tune.space import parse_searched
from tpu_configs import shipped_slices

if TYPE_CHECKING:
    from pipeline.tune.plan import Plan
    from pipeline.tune.search import Tried
    from pipeline.tune.tuned import Tuned


def run(argv: Sequence[str]) -> int:
    """`trailrank tune ...`; returns the exit status."""
    found = parser()
    args = found.parse_args(argv)
    try:
        options = _options(args)
    except (CompareError, TuneError) as error:
        found.error(str(error))
    console = rich.console.Console()
    with trainings(console, args.out) as status:
        tuned = _tune(args, options, _Lines(console, status))
    _show(tuned, console)
    console.print(
        f"The preset and the report are in [bold]{escape(args.out)}[/].",
        highlight=False,
    )
    return 0


def _options(args: argparse.Namespace) -> TuneOptions:
    """TrailrankError where flags do not go together."""
    check_places(args.out, args.root, args.spec, args.examples)
    parse_searched(args.search)
    return TuneOptions(
        trials=args.trials,
        seconds=args.seconds,
        metrics=args.metric,
        days=args.days,
        holdout_days=args.holdout_days,
        seeds=args.seeds,
        seed=args.seed,
        workers=args.workers,
    )


def _tune(args: argparse.Namespace, options: TuneOptions, lines: _Lines) -> Tuned:
    return tune(
        args.preset,
        args.out,
        root=args.root,
        spec=args.spec,
        examples=args.examples,
        encoding=args.encoding,
        space=_space(args),
        options=options,
        slice=args.tpu_config,
        listener=lines,
    )


def _space(args: argparse.Namespace) -> dict[str, Any] | None:
    """The file's keys and the flags', which go first; None if neither says one."""
    found = {**read_space(args.space), **parse_searched(args.search)}
    return found or None


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank tune", description=__doc__)
    add = found.add_argument
    add("--root", metavar="RUN", help="a run, whose newest examples are taken")
    flags.add_spec(add, required=False)
    flags.add_examples(add, required=False)
    flags.add_preset(add)
    add("--out", required=True, help="directory for the preset and the report")
    add("--trials", type=int, default=30, help="so many at most (30)")
    add("--seconds", type=float, help="no trial begins after so many seconds of trials")
    add(
        "--metric",
        nargs="+",
        default=[],
        metavar="TASK.METRIC",
        help="auc or log_loss of a binary task, r2 of a regression; their mean is "
        "searched (auc or r2 of every task)",
    )
    add("--space", metavar="FILE", help="keys and where they are searched, in YAML")
    add(
        "--search",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="one key, as in the file of --space; repeatable",
    )
    add("--days", nargs="+", default=(), help="YYYYMMDD or FIRST:LAST, by default all")
    add(
        "--holdout_days",
        type=int,
        metavar="N",
        help="the last N of the days are kept from the search and judge its best; by "
        "default as many as the run's evaluation days, or 1",
    )
    add(
        "--seeds",
        type=int,
        default=5,
        help="pairs of trainings that judge it (5); 0: none",
    )
    flags.add_seed(add, "the values drawn and of every trial's training")
    flags.add_workers(add, of="trainings that judge")
    flags.add_slice(add, shipped_slices())
    return found


class _Lines(Listener):
    """Tells on the console how a search goes."""

    def __init__(self, console: rich.console.Console, status: rich.status.Status):
        self._console, self._status = console, status
        self._told = 0

    def planned(self, plan: Plan, finished: int) -> None:
        done = f"; {finished} trials are over already" if finished else ""
        self._console.print(
            f"[bold]{plan.examples.spec.name}[/]: {len(plan.space)} keys of "
            f"{escape(plan.name)}, by the {escape(str(plan.objective))}{done}",
            highlight=False,
        )
        self._told = finished

    def trying(self, number: int, tried: Sequence[Tried]) -> None:
        for trial in tried[self._told :]:
            value = f" {trial.days[-1]:.4f}" if trial.days else ""
            self._print(f"Trial {trial.number}: {trial.state}{value}")
        self._told = len(tried)
        self._status.update(f"Trial {number} ...")

    def judging(self, number: int, total: int, seconds_left: float | None) -> None:
        self._status.update(f"Judging the best: training {number} of {total} ...")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)


def _show(tuned: Tuned, console: rich.console.Console) -> None:
    from pipeline.reporting.tables import new_table
    from pipeline.tune import report

    for title, (heads, rows) in (
        ("The best trials", report.trial_rows(tuned, 0)),
        ("Settings", report.setting_rows(tuned)),
    ):
        table = new_table(title, heads)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for said in (report.method(tuned), report.chosen(tuned), report.verdict(tuned)):
        console.print(said, highlight=False, markup=False)
