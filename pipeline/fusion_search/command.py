"""The command `trailrank fusion`: weights of the fused score, without training.

    trailrank fusion search --root RUN --out DIR \\
        --utility "watch_time + 20 * like + 60 * share - 30 * hate" \\
        --constraint "skip <= 1%" --constraint "like >= -2%"
    trailrank fusion search --root RUN --out DIR --pareto like share
    trailrank fusion estimate --root RUN --weights skip=-1 like=2
    trailrank fusion estimate --root RUN --fusion DIR/fusion.yaml --against default

`search`: the run's model scores its evaluation days once. An evolution strategy
(CMA-ES; MFH III-A) then tries weights on half of the users and the earlier days, and
the other half on the last day judges what it found against the weights that the run
has, with an interval over users. DIR gets
fusion.yaml (the section to paste), spec.yaml (the run's spec with it), report.md,
search.json and figures; `trailrank pipeline run --spec DIR/spec.yaml` exports with it,
and trains nothing.

`estimate`: what an order would have brought on the rows that were shown at random
(`log.random`), whatever users were shown else: replay and self-normalised inverse
propensities, with intervals over users and the effective sample size.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from pipeline.fusion_search.estimate import (
    DEFAULT,
    MIN_ESS,
    MIN_USERS,
    EstimateOptions,
    fusion_estimate,
)
from pipeline.fusion_search.run import fusion_search

if TYPE_CHECKING:
    from pipeline.fusion_search.result import FusionSearch


def run(argv: Sequence[str]) -> int:
    """`trailrank fusion ...`; returns the exit status."""
    args = parser().parse_args(argv)
    warnings.simplefilter("ignore")
    console = rich.console.Console()
    if args.command == "search":
        _search(args, console)
    else:
        _estimate(args, console)
    return 0


def _search(args: argparse.Namespace, console: rich.console.Console) -> None:
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
            by=args.by,
            days=args.days or (),
            evaluations=args.evaluations,
            seed=args.seed,
            report=lambda done: status.update(f"{done:,} weights tried ..."),
        )
    _show(found, console)
    console.print(f"The section to paste is in [bold]{escape(args.out)}[/].")


def _estimate(args: argparse.Namespace, console: rich.console.Console) -> None:
    with console.status("Scoring random impressions ..."):
        found = fusion_estimate(
            args.root,
            weights=dict(args.weights) if args.weights else None,
            fusion=args.fusion,
            against=args.against,
            days=args.days or (),
            options=EstimateOptions(
                utility=args.utility,
                candidates=args.candidates,
                min_ess=args.min_ess,
                min_users=args.min_users,
                seed=args.seed,
            ),
        )
    from pipeline.fusion_search import estimate_report

    console.print(estimate_report.table(found))
    _say(estimate_report.sentences(found), console)


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(prog="trailrank fusion", description=__doc__)
    commands = found.add_subparsers(dest="command", required=True)
    _add_search(commands.add_parser("search", help="weights of the fused score"))
    about = "what an order would have brought on rows that were shown at random"
    _add_estimate(commands.add_parser("estimate", help=about))
    return found


def _add_search(found: ArgumentParser) -> None:
    add = found.add_argument
    flags.add_root(add)
    add("--out", required=True, metavar="DIR", help="directory for the result")
    _add_utility(found)
    add("--k", type=int, default=10, help="places that count (10)")
    _add_space(found)
    add(
        "--pareto",
        nargs="+",
        default=[],
        metavar="TASK",
        help="two or three tasks: the front of their rates, and a figure",
    )
    add(
        "--by",
        default="",
        metavar="FACET",
        help="a facet of the user or the request, each of whose partitions with users "
        "enough gets weights of its own",
    )
    flags.add_days(add, "the run's evaluation days; the last one judges")
    add("--evaluations", type=int, default=600, help="weights to try (600)")
    flags.add_seed(add, "the search")


def _add_estimate(found: ArgumentParser) -> None:
    add = found.add_argument
    flags.add_root(add)
    asked = found.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--weights",
        nargs="+",
        type=_weight,
        metavar="TASK=WEIGHT",
        help="exponents in place of the run's, as a request gives them: skip=-1",
    )
    asked.add_argument(
        "--fusion", metavar="FILE", help="a YAML file with a section `fusion`"
    )
    add(
        "--against",
        default=DEFAULT,
        metavar="FILE",
        help="what it is compared with: `default`, the run's own section, or a file",
    )
    _add_utility(found)
    add(
        "--candidates",
        type=int,
        default=10,
        help="drawn for each impression, the first by the score is shown (10)",
    )
    flags.add_days(add, "the run's evaluation days")
    add(
        "--min_ess",
        type=float,
        default=MIN_ESS,
        help=f"least effective sample size in impressions ({MIN_ESS:g})",
    )
    add(
        "--min_users",
        type=float,
        default=MIN_USERS,
        help=f"the same in users ({MIN_USERS:g})",
    )
    flags.add_seed(add, "the draws")


def _weight(text: str) -> tuple[str, float]:
    """`like=2` -> its parts."""
    name, _, weight = text.partition("=")
    try:
        return name, float(weight)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be like skip=-0.5, a task and a number, got {text!r}"
        ) from None


def _add_utility(found: ArgumentParser) -> None:
    found.add_argument(
        "--utility",
        default="",
        metavar="SQL",
        help="what a row is worth, of labels by their tasks' names; by default the "
        "spec's evaluation.utility, or the gains that its fusion's weights make",
    )


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
    from pipeline.fusion_search import estimate_report, report

    console.print(*report.tables(found))
    _say(report.sentences(found), console)
    if found.estimate is not None:
        console.print(estimate_report.table(found.estimate))
        _say(estimate_report.sentences(found.estimate), console)
    elif found.no_estimate:
        _say([f"No estimate by random exposure. {found.no_estimate}"], console)


def _say(sentences: Sequence[str], console: rich.console.Console) -> None:
    for sentence in sentences:
        console.print(f"- {sentence}", highlight=False, markup=False)
