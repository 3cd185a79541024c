"""The command `trailrank simulate`.

    trailrank simulate --out LOGS --users 60 --days 7

writes KuaiRand-like logs to LOGS/data and their truth to LOGS/truth, and shows the
rate of every signal beside KuaiRand's.
"""

from __future__ import annotations

import argparse
import datetime

import rich.console
import rich.progress
import rich.table
from rich.markup import escape

from feature_specs.flags import ArgumentParser
from pipeline.simulator import calibration
from pipeline.simulator.errors import SimulationError
from pipeline.simulator.logs import simulate
from pipeline.simulator.summary import RATES, SimulationSummary

_ASSUMED = ("is_follow", "is_comment", "is_forward")  # KuaiRand tells "around 0.1 %"


def run(argv: list[str]) -> int:
    """`trailrank simulate ...`; returns the exit status."""
    found = parser()
    args = vars(found.parse_args(argv))
    console = rich.console.Console()
    out_dir = args.pop("out")
    try:
        with rich.progress.Progress(console=console) as progress:
            task = progress.add_task(f"simulating to {out_dir}", total=None)
            summary = simulate(
                out_dir,
                **args,
                on_progress=lambda done, total: progress.update(
                    task, completed=done, total=total
                ),
            )
    except SimulationError as error:
        found.error(str(error))
    _print_summary(summary, out_dir, console)
    return 0


def parser() -> ArgumentParser:
    """Of the command's flags."""
    found = ArgumentParser(
        prog="trailrank simulate",
        description="Writes KuaiRand-like logs with known truth.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = found.add_argument
    add("--out", required=True, help="directory, empty or of an earlier simulation")
    add("--users", type=int, required=True, help="users")
    add("--days", type=int, required=True, help="calendar days (China time)")
    add("--seed", type=int, default=0, help="same seed, same bytes")
    add("--start", type=_day, default=datetime.date(2022, 4, 8), help="first day")
    add("--rows_per_user_day", type=float, default=381.0, help="mean impressions")
    add("--videos", type=int, help="videos; by default one for 14 expected rows")
    add("--random_share", type=float, default=0.05, help="share of random exposures")
    add("--dirty_share", type=float, default=0.001, help="share of dirty values")
    add("--trail_effect", type=float, default=1.0, help="times the usual trail effect")
    return found


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a day like 2022-04-08, got {text!r}"
        ) from None


def _print_summary(
    summary: SimulationSummary, out_dir: str, console: rich.console.Console
) -> None:
    console.print(
        f"{summary.rows:,} impressions ({summary.random_rows:,} at random) of "
        f"{summary.users:,} users on {summary.videos:,} videos, {summary.first_day} to "
        f"{summary.last_day}, {summary.dirty_rows:,} dirty"
    )
    console.print(_rates_table(summary))
    out = escape(out_dir)
    console.print(f"logs: {out}/data   truth: {out}/truth", soft_wrap=True)


def _rates_table(summary: SimulationSummary) -> rich.table.Table:
    table = rich.table.Table(caption="KuaiRand's rates as published; * assumed")
    table.add_column("signal")
    for title in ("feed", "KuaiRand", "random", "KuaiRand"):
        table.add_column(title, justify="right")
    for name in RATES:
        table.add_row(
            name,
            _percent(summary.standard_rates.get(name)),
            _published(calibration.FEED_RATES, name),
            _percent(summary.random_rates.get(name)),
            _published(calibration.RANDOM_RATES, name),
        )
    return table


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.3f} %"


def _published(rates: dict[str, float], name: str) -> str:
    return _percent(rates.get(name)) + ("*" if name in _ASSUMED else "")
