"""The command `trailrank examples`: raw logs -> tf.Examples, without the other steps.

    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES
    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES \\
        --days 20220408:20220421 --eval_days 2
    trailrank examples ... --replace 20220415          # late data of one day
    trailrank examples ... --beam_arg=--runner=DataflowRunner --beam_arg=--region=...

EXAMPLES gets one `Split-day-YYYYMMDD` a day, `report.json` and `rejects/`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from absl.flags import argparse_flags

from feature_specs.reader import load_spec, shipped_specs
from pipeline.quiet import load_beam

if TYPE_CHECKING:
    from pipeline.examples.request import ExamplesRequest


def run(argv: Sequence[str]) -> int:
    """`trailrank examples ...`; returns the exit status."""
    args = _parser().parse_args(argv)
    console = rich.console.Console()
    with console.status("Loading Beam ..."):
        load_beam()
        from pipeline.examples import tables
        from pipeline.examples.build import run_examples
    request = _request(args)
    plan = request.plan
    console.print(
        f"[bold]{request.spec.name}[/] {plan.days}, the last {plan.eval_days} for "
        "evaluation"
    )
    with console.status("Reading the logs, making examples ..."):
        report = run_examples(request, args.beam_arg)
    console.print(*tables.report_tables(report))
    console.print(tables.trails_line(report), highlight=False)
    console.print(f"Examples are in [bold]{args.out}[/], the figures in report.json.")
    return 0


def add_day_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which days become examples, for several commands."""
    parser.add_argument(
        "--eval_days", type=int, default=1, help="last days kept for evaluation"
    )
    parser.add_argument(
        "--context_days",
        type=int,
        help="days before --days that are read for trails, history and statistics; by "
        "default all that the logs have",
    )
    parser.add_argument(
        "--allow_small_days",
        action="store_true",
        help="go on with a day that has unusually few rows (log.min_day_share)",
    )


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = argparse_flags.ArgumentParser(
        prog="trailrank examples",
        description="Raw impression logs -> day-sequenced tf.Examples.",
    )
    parser.add_argument(
        "--spec",
        required=True,
        help=f"a spec's file, or one of {', '.join(shipped_specs())}",
    )
    parser.add_argument("--logs", required=True, help="directory of the raw logs")
    parser.add_argument("--out", required=True, help="directory to write, a new one")
    parser.add_argument(
        "--days",
        help="first and last day, 20220408:20220414; by default all in the logs",
    )
    add_day_arguments(parser)
    parser.add_argument(
        "--replace",
        metavar="DAYS",
        help="write only these days of finished examples anew, 20220415 or "
        "20220415:20220416; give the other arguments as for the whole",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order in a day")
    parser.add_argument("--shards", type=int, help="parts that users are hashed into")
    parser.add_argument(
        "--beam_arg",
        action="append",
        default=[],
        help="option of Beam, such as --beam_arg=--runner=DataflowRunner; repeatable",
    )
    return parser


def _request(args: argparse.Namespace) -> ExamplesRequest:
    from pipeline.examples.days import DayRange
    from pipeline.examples.reading.log_files import find_logs
    from pipeline.examples.reading.readers import discover_days
    from pipeline.examples.request import ExamplesRequest

    spec = load_spec(args.spec)
    logs = find_logs(spec, _absolute(args.logs))
    out = _absolute(args.out)
    days = DayRange.parse(args.days) if args.days else discover_days(spec, logs)
    return ExamplesRequest(
        spec=spec,
        logs_dir=logs,
        examples_dir=out,
        rejects_dir=os.path.join(out, "rejects"),
        report_path=os.path.join(out, "report.json"),
        days=days,
        eval_days=args.eval_days,
        context_days=args.context_days,
        only=DayRange.parse(args.replace) if args.replace else None,
        allow_small_days=args.allow_small_days,
        seed=args.seed,
        shards=args.shards,
    )


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
