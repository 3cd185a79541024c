"""The command `trailrank trail-bias`: how behaviour moves along a watch trail.

    trailrank trail-bias --spec kuairand --logs LOGS --out DIR
    trailrank trail-bias --spec kuairand --logs LOGS --out DIR \\
        --days 20220422:20220508 --bins 20 --min_length 40 --tasks long_view,like
    trailrank trail-bias ... --beam_arg=--runner=DataflowRunner --beam_arg=--region=...

It is the analysis of SFV fig. 2: the rate of each binary behaviour along the trail over
its rate at the start, on the rows of random exposure (`log.random`) and on the feed.
DIR gets trail_bias.png, trail_bias.csv (every point) and trail_bias.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from rich.markup import escape

from feature_specs import flags
from feature_specs.flags import ArgumentParser
from pipeline.trail_bias.run import trail_bias

if TYPE_CHECKING:
    from pipeline.trail_bias.findings import Findings


def run(argv: Sequence[str]) -> int:
    """`trailrank trail-bias ...`; returns the exit status."""
    args = parser().parse_args(argv)
    console = rich.console.Console()
    with console.status("Loading Beam, reading the logs, adding up trails ..."):
        findings = trail_bias(
            args.spec,
            args.logs,
            args.out,
            days=args.days,
            tasks=[name.strip() for name in args.tasks.split(",") if name.strip()],
            bins=args.bins,
            min_length=args.min_length,
            beam_args=args.beam_arg,
        )
    _show(findings, console)
    console.print(f"The figure and every point are in [bold]{escape(args.out)}[/].")
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(
        prog="trailrank trail-bias",
        description="How rates of behaviour move along a watch trail (SFV fig. 2).",
    )
    add = found.add_argument
    flags.add_spec(add)
    flags.add_logs(add)
    add("--out", required=True, help="directory for the figure and the CSV")
    flags.add_day_range(add)
    add("--bins", type=int, default=10, help="parts of a trail; default 10")
    add(
        "--min_length",
        type=int,
        default=10,
        help="fewest impressions of a trail, at least --bins; default 10",
    )
    add("--tasks", default="", help="binary tasks, separated by commas; default all")
    flags.add_beam_args(add)
    return found


def _show(findings: Findings, console: rich.console.Console) -> None:
    from pipeline.trail_bias.report import sentences, table

    console.print(
        f"{findings.trails:,} whole watch trails of {findings.study.min_length} "
        f"impressions or more ({findings.short:,} shorter ones, {findings.cut:,} that "
        f"may go on outside {findings.study.days}): {findings.impressions['random']:,} "
        f"impressions at random, {findings.impressions['feed']:,} of the feed.",
        highlight=False,
    )
    console.print(table(findings))
    for sentence in sentences(findings):
        console.print(f"- {sentence}", highlight=False, markup=False)
