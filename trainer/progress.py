"""What a training shows while it runs: a bar on a terminal, a log line a day."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from absl import logging
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

# (position among the days, its name, rows so far, rows a second, loss so far)
Report = Callable[[int, str, int, float, float], None]


@contextlib.contextmanager
def progress_bar(days: int) -> Iterator[Report]:
    """A bar over `days` days on stderr; yields what moves it. Silent off a terminal."""
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f} days"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    task = bar.add_task("starting", total=days)

    def report(day: int, name: str, rows: int, speed: float, loss: float) -> None:
        what = f"{name}: {rows:,} rows, {speed:,.0f} rows/s, loss {loss:.4f}"
        bar.update(task, completed=day, description=what)

    with bar:
        yield report


def log_day(day: int, days: int, record: dict) -> None:
    """One line a finished day."""
    logging.info(
        "Trained day %d of %d, %s: %s rows, %s rows/s, loss %.4f",
        day + 1,
        days,
        record["day"],
        f"{record['rows']:,}",
        f"{record['rows_per_s']:,.0f}",
        record["loss"],
    )
