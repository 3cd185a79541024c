"""The command `trailrank experiment`: rankers tried on simulated users, side by side.

    trailrank experiment --out DIR --control feed --treatment oracle --users 1000
    trailrank simulate --out LOGS --users 500 --days 28
    trailrank pipeline run --spec kuairand --logs LOGS/data --root RUN \\
        --days 20220408:20220414
    trailrank experiment --out DIR --logs LOGS --control feed --treatment RUN \\
        --treatment searched=RUN@fusion.yaml --workers 2

An arm is a reference ranker (oracle, feed, popular, random, antioracle), a run, or an
exported model; NAME= before it names it, @FILE behind it gives it the fusion weights of
a file. The control serves everybody on the days before; then each arm serves its own
users, chosen by a hash. What users do, how they tire and whether they come back is the
simulator's. DIR gets report.md, report.html, experiment.json and the logs of each arm.
The same command goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
import rich.progress
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from pipeline.compare.console import goes_on, quiet_trainings
from pipeline.experiment.run import Progress, experiment

if TYPE_CHECKING:
    from pipeline.experiment.result import Experiment


def run(argv: Sequence[str]) -> int:
    """`trailrank experiment ...`; returns the exit status."""
    args = vars(parser().parse_args(argv))
    out, control, treatments = (args.pop(n) for n in ("out", "control", "treatment"))
    console = rich.console.Console()
    quiet_trainings()
    columns = rich.progress.Progress.get_default_columns()
    served = rich.progress.TextColumn("{task.fields[served]}")
    bar = rich.progress.Progress(*columns, served, console=console)
    with goes_on(console, out), bar as shown:
        task = shown.add_task("serving", total=None, served="")

        def tell(now: Progress) -> None:
            served = f"{now.impressions:,} impressions"
            shown.update(task, completed=now.done, total=now.total, served=served)

        found = experiment(out, control, treatments, report=tell, **args)
    _show(found, console)
    console.print(f"Tables, curves and logs: {escape(out)}", soft_wrap=True)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank experiment", description=__doc__)
    add = found.add_argument
    add("--out", required=True, metavar="DIR", help="directory for the result")
    add("--control", required=True, metavar="ARM", help="what serves now")
    add(
        "--treatment",
        required=True,
        action="append",
        metavar="ARM",
        help="what is tried; repeatable; the control again is an A/A test",
    )
    add("--days", type=int, default=14, help="days of the treatments (14)")
    add("--pre_days", type=int, default=7, help="days of the control before (7)")
    add("--users", type=int, help="users of a world of its own (1000)")
    add("--logs", metavar="LOGS", help="go on in the world of what `simulate` wrote")
    add("--spec", help="spec of the models; by default the first run's, or kuairand")
    add("--candidates", type=int, default=200, help="most a request (200)")
    add(
        "--rows_per_user_day",
        type=float,
        default=60.0,
        help="impressions that the mean user has time for on a day (60)",
    )
    add("--videos", type=int, help="of a world of its own (4000, or more for many)")
    add("--trail_effect", type=float, help="as of `simulate`, of its own world (1)")
    add(
        "--retrain",
        action="store_true",
        help="train the runs' models each night on what their own arm showed",
    )
    flags.add_seed(add, "all draws, and of the split of users")
    add("--workers", type=int, default=1, help="processes (1)")
    return found


def _show(found: Experiment, console: rich.console.Console) -> None:
    from pipeline.experiment import page

    console.print(page.console_table(found))
    for sentence in page.sentences(found):
        console.print(f"- {sentence}", highlight=False, markup=False)
    if found.fresh:
        rate = f"{found.impressions_per_s:,.0f} impressions served a second"
        console.print(f"- {found.fresh:,} served now, {rate}.", highlight=False)
