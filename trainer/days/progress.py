"""What a training shows while it runs: a bar on a terminal, a log line a day."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging
from rich import progress
from rich.console import Console

from trainer import strategy as strategies
from trainer.days.means import DayMeans

_ASKED_AT_ONCE = 32


class Progress:
    """A bar over the bytes of all days, for a console that is a terminal; log lines.

    How many rows a day has is not known before it is read. Days before it tell how many
    bytes a row takes, and so how far the day is and when the last one will end.

    Args:
        files: Day -> its files.
        todo: The days that will be trained, in order.
        console: Shows the bar; without one there is none.
    """

    def __init__(
        self,
        files: Mapping[str, Sequence[str]],
        todo: Sequence[str],
        console: Console | None = None,
    ):
        self._sizes = _sizes({day: files[day] for day in todo})
        self._days, self._done, self._bytes = list(todo), 0, 0
        self._rows = 0
        self._started = time.perf_counter()
        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[days]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("ETA"),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not (console and console.is_terminal and strategies.is_chief()),
            transient=True,
        )
        # A day may come more than once, in passes over all days.
        self._total = sum(self._sizes[day] for day in self._days)
        self._task = self._bar.add_task(
            "starting", total=self._total, days=self._counted()
        )

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, day: str) -> None:
        """A day is next: it is judged before it is trained."""
        self._bar.update(self._task, description=f"{day}: begins")

    def report(self, day: str, means: DayMeans) -> None:
        """After every call of the step function."""
        what = f"{day}: {means.rows:,} rows, {means.rows_per_s:,.0f} rows/s, "
        what += f"loss {means.loss:.4f}"
        part = 0.0
        if self._rows:
            part = min(means.rows * self._bytes / self._rows, self._sizes[day])
        done = self._bytes + part
        self._bar.update(self._task, completed=done, description=what)

    def finish(self, day: str, record: Mapping[str, Any]) -> None:
        """After every day: a line, off a terminal too."""
        self._done += 1
        self._bytes += self._sizes[day]
        self._rows += record["rows"]
        self._bar.update(self._task, completed=self._bytes, days=self._counted())
        if strategies.is_chief():
            logging.info("%s%s", _line(self._counted(), record), self._left())

    def _counted(self) -> str:
        return f"{self._done}/{len(self._days)} days"

    def _left(self) -> str:
        left = self._total - self._bytes
        if not left or not self._bytes:
            return ""
        seconds = (time.perf_counter() - self._started) * left / self._bytes
        return f"; about {_duration(seconds)} left"


def _line(counted: str, record: Mapping[str, Any]) -> str:
    line = f"Trained {counted}, {record['day']}: {record['rows']:,} rows, "
    line += f"{record['rows_per_s']:,.0f} rows/s, loss {record['loss']:.4f}"
    found = record.get("validation", {}).get("auc", {})
    first = next(iter(found.items()), None)
    if first and first[1] is not None:
        line += f", {first[0]} AUC before training {first[1]:.4f}"
    return line


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _sizes(files: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Bytes of each day; at least 1, as an empty day is one of the days, too.

    Many files at once: a bucket takes its time to answer for each.
    """
    with concurrent.futures.ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        lengths = {day: pool.map(_length, own) for day, own in files.items()}
        return {day: max(1, sum(own)) for day, own in lengths.items()}


def _length(file: str) -> int:
    return tf.io.gfile.stat(file).length
