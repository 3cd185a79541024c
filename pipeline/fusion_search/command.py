"""The command `trailrank fusion search`: weights of the fused score, without training.

    trailrank fusion search --root RUN --out DIR \\
        --utility "watch_time + 20 * like + 60 * share - 30 * hate" \\
        --constraint "skip <= 1%" --constraint "like >= -2%"
    trailrank fusion search --root RUN --out DIR --pareto like share

The run's model scores its evaluation days once. An evolution strategy (CMA-ES; MFH
III-A) then tries weights on the earlier days, and the last day judges what it found
against the weights that the run has, with an interval over users. DIR gets fusion.yaml
(the section to paste), spec.yaml (the run's spec with it), report.md, search.json and
figures; `trailrank pipeline run --spec DIR/spec.yaml` exports with it, and trains
nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from pipeline.fusion_search.run import fusion_search

if TYPE_CHECKING:
    from pipeline.fusion_search.result import FusionSearch


def run(argv: Sequence[str]) -> int:
    """`trailrank fusion ...`; returns the exit status."""
    args = parser().parse_args(argv)
    warnings.simplefilter("ignore")
    console = rich.console.Console()
    with console.status("Scoring the evaluation days ...") as status:
        found = fusion_search(
            args.root,
            args.out,
            utility=args.utility,
            k=args.k,
            tasks=args.tasks,
            length=args.length,
            constraints=args.constraint,
            keep_signs=args.keep_signs,
            pareto=args.pareto,
            days=args.days or (),
            evaluations=args.evaluations,
            seed=args.seed,
            report=lambda done: status.update(f"{done:,} weights tried ..."),
        )
    _show(found, console)
    console.print(f"The section to paste is in [bold]{escape(args.out)}[/].")
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank fusion", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    _add_search(commands.add_parser("search", help="weights of the fused score"))
    return found


def _add_search(found: ArgumentParser) -> None:
    add = found.add_argument
    flags.add_root(add)
    add("--out", required=True, metavar="DIR", help="directory for the result")
    add(
        "--utility",
        default="",
        metavar="SQL",
        help="what a row is worth, of labels by their tasks' names; by default the "
        "spec's evaluation.utility, or the gains that its fusion's weights make",
    )
    add("--k", type=int, default=10, help="places that count (10)")
    _add_space(found)
    add(
        "--pareto",
        nargs="+",
        default=[],
        metavar="TASK",
        help="two or three tasks: the front of their rates, and a figure",
    )
    flags.add_days(add, "the run's evaluation days; the last one judges")
    add("--evaluations", type=int, default=600, help="weights to try (600)")
    flags.add_seed(add, "the search")


def _add_space(found: ArgumentParser) -> None:
    """Which weights may be tried."""
    add = found.add_argument
    add(
        "--tasks",
        nargs="+",
        default=[],
        metavar="TASK",
        help="whose weights are searched; by default of all that have one",
    )
    add("--length", action="store_true", help="search the length's exponent, too")
    add(
        "--keep_signs",
        action="store_true",
        help="no weight passes 0: what lowers the score goes on to do so",
    )
    add(
        "--constraint",
        action="append",
        default=[],
        metavar="TEXT",
        help="'skip <= 1%%': its rate among the first k rises by 1 %% at most; "
        "'like >= -2%%': it falls by 2 %% at most; repeatable",
    )


def _show(found: FusionSearch, console: rich.console.Console) -> None:
    from pipeline.fusion_search import report

    console.print(*report.tables(found))
    for sentence in report.sentences(found):
        console.print(f"- {sentence}", highlight=False, markup=False)
