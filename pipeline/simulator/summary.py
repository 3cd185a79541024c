"""What a simulation wrote, in numbers: rates of both logs, counters of every video."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from pipeline.simulator import behaviour, calibration, features, world

RATES = (*behaviour.SIGNALS, "any_positive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What `simulate` wrote.

    Attributes:
        files: Paths of all files, logs first.
        first_day, last_day: Calendar days (China time) of the logs.
        rows: Log lines, `standard_rows` + `random_rows`.
        dirty_rows: Lines among them with an absurd value, or duplicated.
        users, videos: Sizes of the feature files.
        standard_rates, random_rates: Mean of each signal in each log, with
            `any_positive` (like, follow, comment or forward) added; empty where the
            log has no line.
    """

    files: tuple[str, ...]
    first_day: datetime.date
    last_day: datetime.date
    rows: int
    standard_rows: int
    random_rows: int
    dirty_rows: int
    users: int
    videos: int
    standard_rates: dict[str, float]
    random_rates: dict[str, float]


class Totals:
    """Running sums over blocks: rates of both logs, counters of every video."""

    def __init__(self, videos: int) -> None:
        self.videos = videos
        self.dirty_rows = 0
        self.rows = {0: 0, 1: 0}  # by is_rand
        self.signals = {0: dict.fromkeys(RATES, 0), 1: dict.fromkeys(RATES, 0)}
        self.counters = {name: np.zeros(videos, np.int64) for name in features.COUNTERS}

    def add(self, log: pl.DataFrame, truth: pl.DataFrame) -> None:
        """Adds the frames of one block."""
        self.dirty_rows += int((truth["dirty"] != "").sum())
        signals = log.with_columns(**_rate_columns(log))
        for (kind,), part in signals.group_by("is_rand"):
            self.rows[kind] += len(part)
            for name in RATES:
                self.signals[kind][name] += int(part[name].sum())
        video = log["video"].to_numpy()
        for name, values in features.count_columns(log).items():
            sums = np.bincount(video, values, minlength=self.videos)
            self.counters[name] += sums.astype(np.int64)

    def _rates(self, kind: int) -> dict[str, float]:
        """Mean of each signal; is_rand = `kind`."""
        rows = self.rows[kind]
        return {name: n / rows for name, n in self.signals[kind].items() if rows}

    def summary(
        self, settings: world.Settings, files: tuple[str, ...]
    ) -> SimulationSummary:
        """The totals as the caller of `simulate` gets them."""
        return SimulationSummary(
            files=files,
            first_day=settings.start,
            last_day=settings.last_day,
            rows=self.rows[0] + self.rows[1],
            standard_rows=self.rows[0],
            random_rows=self.rows[1],
            dirty_rows=self.dirty_rows,
            users=settings.users,
            videos=self.videos,
            standard_rates=self._rates(0),
            random_rates=self._rates(1),
        )


def _rate_columns(log: pl.DataFrame) -> dict[str, pl.Series]:
    """The signals that are no column of the log."""
    labels = behaviour.play_labels(
        log["play_time_ms"].to_numpy(), log["duration_ms"].to_numpy()
    )
    positive = log.select(pl.max_horizontal(*calibration.POSITIVE)).to_series()
    return {
        "complete": pl.Series(labels["complete"]),
        "skip": pl.Series(labels["skip"]),
        "any_positive": positive,
    }
