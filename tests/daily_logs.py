"""Small logs, a file a day, of users with known tastes; and what may go wrong with one.

    write_day(folder, 20220408, seed=0)
    write_day(folder, 20220412, seed=0, fault="in seconds")

A category is clicked by each user with his own probability, so that every model that
learns at all beats 0.5 by far; watch times are in milliseconds.
"""

import datetime
import pathlib
from collections.abc import Callable

import numpy as np
import polars as pl

USERS, VIDEOS, CATEGORIES = 60, 80, 6
ROWS_PER_DAY = 1_500

DAILY_SPEC = """
name: daily
log:
  files: "log_{day}.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  timezone: UTC
  columns: {user_id: int64, video_id: int64, time_ms: int64, category: "string?",
            duration_ms: int64, play_time_ms: "int64?", is_click: int64, is_like: int64}
  outcomes: [play_time_ms, is_click, is_like]
trail: {gap_minutes: 30, scope: [user_id]}
history: {positive: "is_click = 1", columns: [video_id], length: 4}
counters:
  - {name: user_clicks, measure: count, where: "is_click = 1"}
statistics:
  - {name: category_click_rate, by: category, value: is_click, strength: 20, prior: 0.4}
tables: {user: {buckets: 200, dim: 4}, video: {buckets: 200, dim: 4}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: user_clicks, group: query, kind: number, transform: log1p}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: category, group: candidate, kind: category, size: 12}
  - {name: duration, group: candidate, kind: number, expr: "duration_ms / 1000.0",
     transform: log1p}
  - {name: category_click_rate, group: candidate, kind: number}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4, 8]}
tasks:
  - {name: click, kind: binary, label: "is_click = 1"}
  - {name: like, kind: binary, label: "is_like = 1"}
  - {name: watch, kind: regression, label: "play_time_ms / 1000.0"}
fusion: {weights: {click: 1.0, like: 0.5, watch: 0.2}}
evaluation: {min_auc: {click: 0.52}}
"""

Fault = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def _in_seconds(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return frame.with_columns((pl.col("play_time_ms") / 1000).cast(pl.Int64))


def _flipped(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return frame.with_columns((1 - pl.col("is_like")).alias("is_like"))


def _null(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return frame.with_columns(pl.lit(None, pl.String).alias("category"))


def _drifted(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return frame.with_columns((pl.col("duration_ms") * 3).alias("duration_ms"))


def _poisoned(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    clicks = rng.permutation(frame["is_click"].to_numpy())
    return frame.with_columns(pl.Series("is_click", clicks))


def _new_value(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    is_new = pl.Series(rng.random(frame.height) < 0.03)
    category = pl.when(is_new).then(pl.lit("brand_new")).otherwise("category")
    return frame.with_columns(category.alias("category"))


FAULTS: dict[str, Fault] = {
    "in seconds": _in_seconds,
    "flipped likes": _flipped,
    "all null": _null,
    "drifted": _drifted,
    "poisoned": _poisoned,
    "new value": _new_value,
}


def write_day(
    folder: pathlib.Path, day: int, seed: int = 0, fault: str | None = None
) -> pathlib.Path:
    """`folder/log_20220408.csv`; the same arguments give the same file.

    Args:
        folder: Is made if it is not there.
        day: As `20220408`.
        seed: Of tastes and days.
        fault: One of `FAULTS`, or none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, day])
    frame = _rows(day, seed, rng)
    if fault:
        frame = FAULTS[fault](frame, rng)
    path = folder / f"log_{day}.csv"
    frame.write_csv(path)
    return path


def _rows(day: int, seed: int, rng: np.random.Generator) -> pl.DataFrame:
    """A day's impressions in sessions of some minutes, of which some cross midnight."""
    tastes = np.random.default_rng(seed).uniform(0.05, 0.9, (USERS, CATEGORIES))
    midnight = datetime.datetime.strptime(str(day), "%Y%m%d")
    begin_ms = int(midnight.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
    users = rng.integers(0, USERS, ROWS_PER_DAY)
    videos = rng.integers(0, VIDEOS, ROWS_PER_DAY)
    category = videos % CATEGORIES
    times = begin_ms + rng.choice(86_400_000, ROWS_PER_DAY, replace=False)
    duration = rng.integers(8_000, 60_000, ROWS_PER_DAY)
    clicks = rng.random(ROWS_PER_DAY) < tastes[users, category]
    likes = rng.random(ROWS_PER_DAY) < np.where(clicks, 0.12, 0.02)
    share = np.clip(np.where(clicks, 0.7, 0.2) + rng.normal(0, 0.1, ROWS_PER_DAY), 0, 1)
    return pl.DataFrame(
        {
            "user_id": users + 1,
            "video_id": videos + 1000,
            "time_ms": times,
            "category": [f"c{number}" for number in category],
            "duration_ms": duration,
            "play_time_ms": (duration * share).astype(np.int64),
            "is_click": clicks.astype(np.int64),
            "is_like": likes.astype(np.int64),
        }
    ).sort("time_ms")
