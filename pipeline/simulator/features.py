"""KuaiRand's user and video files, written from the latent state.

Observed values are noisy functions of the latent ones. One-hot features 1, 4 and 7
carry behaviour, 2 and 8 the persona; the others are noise, as far as anybody can tell.
"""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import polars as pl

from pipeline.arrays import Array
from pipeline.simulator import behaviour, population

# Published cardinalities of onehot_feat0..17.
ONEHOT_CARDINALITY = (2, 7, 50, 1471, 15, 34, 3, 118, 454, 7, 5, 5) + (2,) * 6
ONEHOT_WITH_GAPS = (4, 12, 13, 14, 15, 16, 17)  # missing for some users
MISSING_SHARE = 0.04
# Columns of a log day that the statistic file averages, in the file's order.
COUNTERS = (
    "show_cnt",
    "play_cnt",
    "play_duration",
    "complete_play_cnt",
    "valid_play_cnt",
    "long_time_play_cnt",
    "short_time_play_cnt",
    "like_cnt",
    "comment_cnt",
    "follow_cnt",
    "share_cnt",
    "reduce_similar_cnt",
)
FOLLOW_EDGES = ([0, 10, 50, 100, 150, 250, 500], "(]")
FANS_EDGES = ([0, 1, 10, 100, 1_000, 5_000, 10_000], "[)")
FRIEND_EDGES = ([0, 1, 5, 30, 60, 120, 250], "[)")
REGISTER_EDGES = ([15, 31, 61, 91, 181, 366, 731], "days")


def _range_label(low: int, high: int, style: str) -> str:
    if style == "days":
        return f"{low}-{high - 1}"
    return f"{style[0]}{low},{high}{style[1]}"


def _ranges(values: Array, edges: list[int], style: str) -> Array:
    """Bins written as KuaiRand does: "0", "(10,50]", "[1,5)", "61-90", "730+"."""
    inner = [_range_label(a, b, style) for a, b in itertools.pairwise(edges)]
    below = f"below {edges[0]}" if style == "days" else "0"
    last = edges[-1] - 1 if style == "days" else edges[-1]
    labels = np.array([below, *inner, f"{last}+"])
    if style == "(]":
        return labels[np.searchsorted(edges, values, side="left")]
    return labels[np.searchsorted(edges, values, side="right")]


def _bins(rng: np.random.Generator, cause: Array, bins: int) -> Array:
    """Quantile bin 0..bins-1 of a cause seen through noise."""
    noisy = cause / max(float(cause.std()), 1e-9) + rng.normal(0, 0.5, len(cause))
    rank = np.argsort(np.argsort(noisy))
    return rank * bins // len(cause)


def _onehot_column(
    rng: np.random.Generator, users: population.Users, index: int
) -> pl.Series:
    size, count = ONEHOT_CARDINALITY[index], len(users)
    causes = {1: users.baseline, 4: users.taste[:, 0], 7: users.depth}
    if index in causes:
        values = _bins(rng, causes[index], size)
    elif index in (2, 8):
        copies = size // population.PERSONAS
        values = users.persona * copies + rng.integers(copies, size=count)
    else:
        values = (size * rng.random(count) ** 2).astype(np.int64)
    missing = (rng.random(count) < MISSING_SHARE) & (index in ONEHOT_WITH_GAPS)
    return pl.Series(f"onehot_feat{index}", values).set(pl.Series(missing), None)


def _activity_degree(rng: np.random.Generator, users: population.Users) -> Array:
    seen = np.log(users.activity) + rng.normal(0, 0.4, len(users))
    degree = np.array(["middle_active", "high_active", "full_active"])
    label = degree[np.digitize(seen, np.quantile(seen, [0.15, 0.4]))]
    return np.where(rng.random(len(users)) < 0.02, "UNKNOWN", label)


def _register_days(rng: np.random.Generator, group: Array) -> Array:
    """New users registered in the last two months."""
    old = 61 + rng.exponential(500, len(group)).astype(np.int64)
    return np.where(group == 0, rng.integers(8, 61, len(group)), np.minimum(old, 3000))


def user_features(rng: np.random.Generator, users: population.Users) -> pl.DataFrame:
    """The rows of user_features_pure.csv."""
    count = len(users)
    follow = np.exp(3.5 + 0.7 * users.taste[:, 1] + rng.normal(0, 0.8, count))
    fans = np.exp(2.0 + 0.5 * users.taste[:, 0] + rng.normal(0, 1.5, count))
    friend = np.exp(1.5 + 0.6 * users.taste[:, 2] + rng.normal(0, 1.0, count))
    columns: dict[str, Array | pl.Series] = {
        "user_id": np.arange(count),
        "user_active_degree": _activity_degree(rng, users),
        "is_lowactive_period": ((users.group == 1) & (rng.random(count) < 0.8)) * 1,
        "is_live_streamer": (rng.random(count) < 0.02) * 1,
        "is_video_author": (fans > np.exp(rng.normal(3.0, 1.0, count))) * 1,
    }
    for name, values, (edges, style) in (
        ("follow_user_num", follow, FOLLOW_EDGES),
        ("fans_user_num", fans, FANS_EDGES),
        ("friend_user_num", friend, FRIEND_EDGES),
        ("register_days", _register_days(rng, users.group), REGISTER_EDGES),
    ):
        columns[name] = values.astype(np.int64)
        columns[f"{name}_range"] = _ranges(values.astype(np.int64), edges, style)
    for index in range(len(ONEHOT_CARDINALITY)):
        columns[f"onehot_feat{index}"] = _onehot_column(rng, users, index)
    return pl.DataFrame(columns)


def _tags(rng: np.random.Generator, videos: population.Videos) -> Array:
    """ "12,65": a tag of the main topic, for some one of the second; "" for few."""
    count = len(videos)
    per_topic = population.TAGS_PER_TOPIC
    first, second = (
        (topic * per_topic + rng.integers(per_topic, size=count)).astype(np.str_)
        for topic in (videos.topic, videos.second_topic)
    )
    both = np.char.add(np.char.add(first, ","), second)
    tags = np.where((rng.random(count) < 0.3) & (first != second), both, first)
    return np.where(rng.random(count) < 0.03, "", tags)


def video_features_basic(
    rng: np.random.Generator, videos: population.Videos, start: datetime.date
) -> pl.DataFrame:
    """The rows of video_features_basic_pure.csv, sorted by video_id."""
    count = len(videos)
    portrait = rng.random(count) < 0.85
    musics = max(1, count // 3)
    upload_types = ["ShortImport", "LongImport", "ShortCamera", "PhotoCopy", "Web"]
    table = pl.DataFrame(
        {
            "video_id": videos.video_id,
            "author_id": videos.author_id,
            "video_type": np.where(videos.is_ad, "AD", "NORMAL"),
            "upload_dt": np.datetime64(start) + videos.upload_day,
            "upload_type": rng.choice(
                upload_types, count, p=[0.4, 0.25, 0.2, 0.1, 0.05]
            ),
            "visible_status": np.ones(count, np.int64),
            "video_duration": videos.duration_ms,
            "server_width": np.where(portrait, 720, 1280),
            "server_height": np.where(portrait, 1280, 720),
            "music_id": (musics * rng.random(count) ** 2).astype(np.int64),
            "music_type": rng.choice([4, 8, 9, 11], count, p=[0.2, 0.1, 0.65, 0.05]),
            "tag": _tags(rng, videos),
        }
    )
    return table.with_columns(pl.col("tag").replace("", None)).sort("video_id")


def count_columns(log: pl.DataFrame) -> dict[str, Array]:
    """What each row of a log adds to the counters of its video; COUNTERS -> [N]."""
    play = log["play_time_ms"].to_numpy()
    labels = behaviour.play_labels(play, log["duration_ms"].to_numpy())
    return {
        "show_cnt": np.ones(len(log), np.int64),
        "play_cnt": (play > 0) * 1,
        "play_duration": play,
        "complete_play_cnt": labels["complete"],
        "valid_play_cnt": labels["is_click"],
        "long_time_play_cnt": labels["long_view"],
        "short_time_play_cnt": labels["skip"],
        "like_cnt": log["is_like"].to_numpy(),
        "comment_cnt": log["is_comment"].to_numpy(),
        "follow_cnt": log["is_follow"].to_numpy(),
        "share_cnt": log["is_forward"].to_numpy(),
        "reduce_similar_cnt": log["is_hate"].to_numpy(),
    }


def video_features_statistic(
    rng: np.random.Generator,
    videos: population.Videos,
    totals: dict[str, Array],
    days: int,
) -> pl.DataFrame:
    """The rows of video_features_statistic_pure.csv: daily means over all days.

    `totals` [V] are the sums of `count_columns` by row of Videos. Like the real file
    it leaks the future of every day but the last. Of the real 56 columns it has those
    that the project's facts name; downloads, reports and collects are not in the logs
    and follow likes and hates.
    """
    mean = {name: total / days for name, total in totals.items()}
    plays = np.maximum(totals["show_cnt"] * videos.duration_ms, 1)
    table = {
        "video_id": videos.video_id,
        "counts": np.full(len(videos), float(days)),
        **{name: mean[name] for name in COUNTERS[:7]},
        "play_progress": np.minimum(totals["play_duration"] / plays, 1.0),
        **{name: mean[name] for name in COUNTERS[7:11]},
        "download_cnt": rng.binomial(totals["like_cnt"], 0.2) / days,
        "report_cnt": rng.binomial(totals["reduce_similar_cnt"], 0.2) / days,
        "reduce_similar_cnt": mean["reduce_similar_cnt"],
        "collect_cnt": rng.binomial(totals["like_cnt"], 0.3) / days,
    }
    return pl.DataFrame(table).sort("video_id")
