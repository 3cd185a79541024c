"""The command `trailrank examples`: raw logs -> tf.Examples, without the other steps.

    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES
    trailrank examples --spec kuairand --logs LOGS --out EXAMPLES \\
        --days 20220408:20220421 --eval_days 2
    trailrank examples ... --replace 20220415          # late data of one day
    trailrank examples ... --days 20220415 --state_from STATES/20220414 \\
        --state_to STATES/20220415                     # one more day
    trailrank examples ... --label_delay 1d            # wait for the newest day's likes
    trailrank examples ... --beam_arg=--runner=DataflowRunner --beam_arg=--region=...

EXAMPLES gets one `Split-day-YYYYMMDD` and one summary a day, `report.json`, `rejects/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import rich.console
from rich.markup import escape

from feature_specs import Spec, flags, load_spec
from feature_specs.flags import ArgumentParser
from pipeline.examples import tables
from pipeline.examples.make import check_places, plan_request, run_request
from pipeline.examples.ownership import sole_making


def run(argv: Sequence[str]) -> int:
    """`trailrank examples ...`; returns the exit status."""
    return make(parser().parse_args(argv))


def make(args: argparse.Namespace) -> int:
    """Makes the examples that are asked for."""
    spec = load_spec(args.spec)
    check_places(spec, args.logs, args.out)
    with sole_making(args.out):
        _make(spec, args, rich.console.Console())
    return 0


def _make(spec: Spec, args: argparse.Namespace, console: rich.console.Console) -> None:
    with console.status("Loading Beam, looking at the logs ..."):
        request = plan_request(
            spec,
            args.logs,
            args.out,
            days=args.days,
            eval_days=args.eval_days,
            context_days=args.context_days,
            label_delay=args.label_delay,
            replace=args.replace,
            allow_small_days=args.allow_small_days,
            seed=args.seed,
            shards=args.shards,
            state_from=args.state_from,
            state_to=args.state_to,
            learned_through=args.learned_through,
            empty_days=[d for d in args.empty_days.split(",") if d],
        )
        plan = request.plan
    console.print(
        f"[bold]{spec.name}[/] {plan.days}, the last {plan.eval_days} for evaluation"
    )
    with console.status("Reading the logs, making examples ..."):
        report = run_request(request, args.beam_arg)
    console.print(*tables.report_tables(report.figures))
    console.print("\n".join(tables.told_lines(report.figures)), highlight=False)
    for line in tables.labels_lines(report.figures, spec):
        console.print(line, style="yellow", highlight=False)
    console.print(
        f"Examples are in [bold]{escape(args.out)}[/], the figures in report.json."
    )


def parser(*, out_required: bool = True) -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(
        prog="trailrank examples",
        description="Raw impression logs -> day-sequenced tf.Examples.",
    )
    add = found.add_argument
    flags.add_spec(add)
    flags.add_logs(add)
    add("--out", required=out_required, help="directory to write, a new one")
    flags.add_day_range(add)
    flags.add_day_settings(add)
    add(
        "--replace",
        metavar="DAYS",
        help="write only these days of finished examples anew, 20220415 or "
        "20220415:20220416; give the other arguments as for the whole",
    )
    flags.add_seed(add, of="the order in a day")
    add(
        "--state_from",
        metavar="STATE",
        help="go on from the state at the end of the day before --days: no earlier log "
        "is read, and --eval_days may be 0",
    )
    add(
        "--state_to",
        metavar="STATE",
        help="directory that gets the state at the end of --days, a new one",
    )
    add(
        "--learned_through",
        metavar="DAY",
        help="last day that quantiles are learned on (that of --state_from, or the "
        "last training day)",
    )
    add(
        "--empty_days",
        metavar="DAYS",
        default="",
        help="days between --state_from and --days that have no logs, "
        "20220415,20220416",
    )
    add("--shards", type=int, help="parts that users are hashed into")
    flags.add_beam_args(add)
    return found
