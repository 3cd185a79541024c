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

import argparse
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import rich.console
from absl.flags import argparse_flags

from feature_specs.reader import load_spec, shipped_specs
from pipeline.quiet import load_beam
from pipeline.reporting.figures import require_matplotlib
from pipeline.trail_bias.study import Study, plan_study, require_trail

if TYPE_CHECKING:
    from feature_specs import Spec
    from pipeline.trail_bias.findings import Findings

_NAME = "trail_bias"


def run(argv: Sequence[str]) -> int:
    """`trailrank trail-bias ...`; returns the exit status."""
    args = _parser().parse_args(argv)
    require_matplotlib()
    spec, out = load_spec(args.spec), _absolute(args.out)
    require_trail(spec)
    console = rich.console.Console()
    with console.status("Loading Beam ..."):
        load_beam()
        from pipeline.trail_bias.collect import collect
        from pipeline.trail_bias.findings import find
    study, logs = _study(args, spec)
    with console.status("Reading the logs, adding up trails ..."):
        sums = collect(study, logs, out, args.beam_arg)
    findings = find(sums, study)
    _write(findings, out)
    _show(findings, console)
    console.print(f"The figure and every point are in [bold]{args.out}[/].")
    return 0


def _study(args: argparse.Namespace, spec: Spec) -> tuple[Study, str]:
    """(what is asked, directory of the logs)."""
    from pipeline.examples.days import DayRange
    from pipeline.examples.reading.log_files import find_logs
    from pipeline.examples.reading.readers import discover_days

    logs = find_logs(spec, _absolute(args.logs))
    days = DayRange.parse(args.days) if args.days else discover_days(spec, logs)
    names = [name.strip() for name in args.tasks.split(",") if name.strip()]
    study = plan_study(spec, days, names, bins=args.bins, min_length=args.min_length)
    return study, logs


def _parser() -> argparse.ArgumentParser:
    parser = argparse_flags.ArgumentParser(
        prog="trailrank trail-bias",
        description="How rates of behaviour move along a watch trail (SFV fig. 2).",
    )
    add = parser.add_argument
    specs = ", ".join(shipped_specs())
    add("--spec", required=True, help=f"a spec's file, or one of {specs}")
    add("--logs", required=True, help="directory of the raw logs")
    add("--out", required=True, help="directory for the figure and the CSV")
    add("--days", help="first and last day, 20220408:20220414; by default all")
    add("--bins", type=int, default=10, help="parts of a trail; default 10")
    add(
        "--min_length",
        type=int,
        default=10,
        help="fewest impressions of a trail, at least --bins; default 10",
    )
    add("--tasks", default="", help="binary tasks, separated by commas; default all")
    add(
        "--beam_arg",
        action="append",
        default=[],
        help="option of Beam, such as --beam_arg=--runner=DataflowRunner; repeatable",
    )
    return parser


def _write(findings: Findings, out: str) -> None:
    from pipeline.examples.tfrecords import write_whole
    from pipeline.reporting.figures import png
    from pipeline.trail_bias.plot import draw
    from pipeline.trail_bias.report import curves_csv, summary

    contents = {
        "csv": curves_csv(findings).encode(),
        "json": json.dumps(summary(findings), indent=2).encode() + b"\n",
        "png": png(draw(findings)),
    }
    for suffix, content in contents.items():
        write_whole(f"{out.rstrip('/')}/{_NAME}.{suffix}", iter([content]))


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


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
