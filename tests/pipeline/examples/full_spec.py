"""`full_spec.yaml` once more, as Python functions of a row; written by hand."""

import math
import pathlib

from tests.pipeline.examples.reference import (
    Counter,
    Description,
    History,
    Quantile,
    Statistic,
    Task,
)

YAML = pathlib.Path(__file__).with_name("full_spec.yaml")

LOG_TYPES = {
    "user_id": int,
    "video_id": int,
    "time_ms": int,
    "is_click": int,
    "is_like": int,
    "is_follow": int,
    "is_comment": int,
    "is_forward": int,
    "is_hate": int,
    "long_view": int,
    "play_time_ms": int,
    "duration_ms": int,
    "profile_stay_time": int,
    "comment_stay_time": int,
    "is_profile_enter": int,
    "is_rand": int,
    "tab": int,
}
_OUTCOMES = (
    *("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate"),
    *("long_view", "play_time_ms", "profile_stay_time", "comment_stay_time"),
    "is_profile_enter",
)
SIDE_TYPES = {
    "users": {
        "user_id": int,
        "user_active_degree": str,
        "follow_user_num": int,
        "register_days": int,
        "onehot_feat1": float,
        "onehot_feat4": float,
    },
    "videos": {
        "video_id": int,
        "author_id": int,
        "video_type": str,
        "upload_type": str,
        "music_id": float,
        "tag": str,
    },
}
EVENT_TYPES = {
    "searches": {
        "searcher": int,
        "at": int,
        "query": str,
        "results": int,
        "server": str,
    },
    "follows": {"who": int, "when_s": int, "author": int},
}
LONGEST_MS = 72_000_000  # 20 hours
SIDE_KEYS = {"users": "user_id", "videos": "video_id"}
# Columns that look ahead, or at labels of the whole training time.
FUTURE = ("trail_length", "trail_relative", "late_in_trail", "slice_request_size")
QUANTILES = ("watch_quantile", "completion_quantile", "stay_quantile")


def yaml_text(timezone):
    """The YAML with a time zone."""
    return YAML.read_text().replace("TIMEZONE", timezone)


def column(name):
    return lambda r: r[name]


def number_of(name):
    """CAST(name AS BIGINT)"""
    return lambda r: None if r[name] is None else int(r[name])


def divided(name, by):
    """name / by"""
    return lambda r: None if r[name] is None else r[name] / by


def is_one(name):
    """name = 1"""
    return lambda r: None if r[name] is None else r[name] == 1


def tags(r):
    return r["tag"].split(",") if r["tag"] else None


def with_known(*names):
    """A function of rows that gives what is missing where one of the columns is."""

    def decorate(function):
        def of_known(r):
            return None if any(r[name] is None for name in names) else function(r)

        return of_known

    return decorate


@with_known("play_time_ms", "duration_ms")
def relative_watch(r):
    return r["play_time_ms"] / r["duration_ms"] if r["duration_ms"] > 0 else None


@with_known("duration_ms")
def watch_length(r):
    return 0 <= (r["play_time_ms"] or 0) <= 20 * r["duration_ms"]


@with_known("duration_ms")
def video_length(r):
    return 5000 <= r["duration_ms"] <= 10_800_000


@with_known("play_time_ms", "duration_ms")
def finish(r):
    return r["play_time_ms"] >= r["duration_ms"]


@with_known("play_time_ms", "duration_ms")
def skip(r):
    return r["play_time_ms"] < min(3000, r["duration_ms"])


@with_known("play_time_ms")
def log_watch_time(r):
    return math.log(1 + r["play_time_ms"] / 1000)


@with_known("duration_ms")
def is_longer(r):
    return r["duration_ms"] > 60_000


def capped_watch(r):
    """CASE WHEN duration_ms > 0 THEN LEAST(play_time_ms / duration_ms, 3) END"""
    relative = relative_watch(r)
    return None if relative is None else min(relative, 3)


def user_group(r):
    if r["user_minutes"] == 0:
        return "new"
    return "low" if r["user_minutes"] < 60 else "high"


def fresh_author(r):
    return None if r["author_views"] is None else r["author_views"] == 0


def completion(r):
    """LEAST(relative_watch, 3)"""
    return None if r["relative_watch"] is None else min(r["relative_watch"], 3)


def log_comment_stay(r):
    stay = r["comment_stay_time"]
    if stay is None:
        return None
    if stay == 0:
        return -math.inf
    return math.log(stay / 1000) if stay > 0 else math.nan


def plain(kind, *names):
    """Features that are columns as they stand."""
    return {name: (kind, column(name)) for name in names}


def describe(timezone, *, min_count=5):
    """The description; `min_count` is both filters' count."""
    return Description(
        user="user_id",
        item="video_id",
        time="time_ms",
        watched="play_time_ms",
        length="duration_ms",
        longest_ms=LONGEST_MS,
        timezone=timezone,
        log_columns=tuple(LOG_TYPES),
        outcomes=_OUTCOMES,
        joins={
            name: (SIDE_KEYS[name], [c for c in types if c != SIDE_KEYS[name]])
            for name, types in SIDE_TYPES.items()
        },
        keep={
            "video_length": video_length,
            "watch_length": watch_length,
        },
        min_user_events=min_count,
        min_item_impressions=min_count,
        gap_ms=30 * 60_000,
        trail_scope=("tab",),
        trail_last=("is_click", "play_time_ms"),
        positive=lambda r: r["long_view"] == 1 or r["is_like"] == 1,
        history_columns=("video_id", "author_id"),
        history_length=8,
        histories=_HISTORIES,
        session="tab",
        pause_ms=90_000,
        counters=_COUNTERS,
        statistics=_STATISTICS,
        quantiles=_QUANTILES,
        derived={
            "user_group": user_group,
            "fresh_author": fresh_author,
            "relative_watch": relative_watch,
            "completion": completion,
            "late_in_trail": lambda r: r["trail_relative"] > 0.5,
        },
        features=_FEATURES,
        tasks=_TASKS,
        slices={
            "is_rand": "int64",
            "tab": "int64",
            "user_group": "string",
            "request_position": "int64",
            "request_size": "int64",
        },
    )


_HISTORIES = (
    History(
        name="searches",
        user="searcher",
        time=lambda e: e["at"],
        where=lambda e: e["query"],
        columns={
            "tokens": lambda e: e["query"].lower().split(" "),
            "results": lambda e: e["results"],
        },
        length=6,
    ),
    History(
        name="follows",
        user="who",
        time=lambda e: e["when_s"] * 1000,
        columns={"author": lambda e: e["author"]},
        length=3,
    ),
)

_COUNTERS = (
    Counter(name="user_plays"),
    Counter(name="author_views", match=column("author_id")),
    Counter(
        name="author_likes",
        match=column("author_id"),
        where=lambda r: r["is_like"] == 1 or r["is_follow"] == 1,
    ),
    Counter(name="hour_plays", match=lambda r: r["event_time"].hour),
    Counter(name="type_rand", match=column("video_type"), where=is_one("is_rand")),
    Counter(name="tag_views", match=tags),
    Counter(
        name="tag_since", match=tags, where=is_one("is_click"), measure="seconds_since"
    ),
    Counter(name="video_since", match=column("video_id"), measure="seconds_since"),
    Counter(name="like_since", where=is_one("is_like"), measure="seconds_since"),
    Counter(
        name="author_completion",
        match=column("author_id"),
        measure="mean",
        value=capped_watch,
        prior=0.5,
        strength=2,
    ),
    Counter(
        name="tag_long_view",
        match=tags,
        where=lambda r: r["is_rand"] == 0,
        measure="mean",
        value=column("long_view"),
    ),
    Counter(
        name="tab_profile_stay",
        match=column("tab"),
        measure="mean",
        value=column("profile_stay_time"),
    ),
)

_STATISTICS = (
    Statistic(
        name="video_long_view",
        by="video_id",
        value=column("long_view"),
        days=3,
        prior=0.3,
        strength=20,
    ),
    Statistic(name="video_shown", by="video_id", measure="count"),
    Statistic(
        name="video_watch_s",
        by="video_id",
        value=divided("play_time_ms", 1000),
        measure="sum",
    ),
    Statistic(
        name="video_stays",
        by="video_id",
        value=column("profile_stay_time"),
        measure="count",
        days=2,
    ),
    Statistic(
        name="user_minutes",
        by="user_id",
        value=divided("play_time_ms", 60_000),
        measure="sum",
    ),
    Statistic(name="user_like_rate", by="user_id", value=is_one("is_like")),
    Statistic(
        name="tab_completion",
        by="tab",
        days=2,
        prior=0.7,
        strength=1,
        value=capped_watch,
    ),
    Statistic(name="tab_shown", by="tab", measure="count", days=1),
)

_QUANTILES = (
    Quantile(
        name="watch_quantile",
        value=column("play_time_ms"),
        by=column("duration_ms"),
        boundaries=(10_000, 20_000, 60_000),
        step=250,
        max=60_000,
    ),
    Quantile(name="completion_quantile", value=relative_watch, step=0.125, max=3),
    Quantile(
        name="stay_quantile",
        value=column("comment_stay_time"),
        by=column("tab"),
        boundaries=(1, 4),
        step=1000,
        max=30_000,
    ),
)

_FEATURES = {
    **plain("int64", "user_id", "video_id", "author_id", "tab", "author_likes"),
    **plain("int64", "fresh_author", "late_in_trail", "trail_last_is_click"),
    **plain("string", "user_active_degree", "user_group", "video_type", "upload_type"),
    **plain("float32", "follow_user_num", "register_days", "user_plays", "like_since"),
    **plain("float32", "user_minutes", "user_like_rate", "author_views", "type_rand"),
    **plain("float32", "tag_views", "tag_since", "video_since", "author_completion"),
    **plain("float32", "tag_long_view", "video_long_view", "video_shown"),
    **plain("float32", "video_watch_s", "video_stays", "hour_plays"),
    **plain("float32", "tab_profile_stay", "tab_completion", "tab_shown"),
    **plain("float32", "trail_position", "trail_seconds", "trail_length"),
    **plain("float32", "trail_relative", "trail_watched_share"),
    **plain(["int64"], "history_video_id", "history_author_id"),
    **plain(["int64"], "history_searches_results", "history_follows_author"),
    **plain(["string"], "history_searches_tokens"),
    "onehot_feat1": ("int64", number_of("onehot_feat1")),
    "onehot_feat4": ("int64", number_of("onehot_feat4")),
    "history_size": ("float32", lambda r: len(r["history_video_id"])),
    "tags": (["string"], tags),
    "music": ("int64", number_of("music_id")),
    "duration_s": ("float32", divided("duration_ms", 1000)),
    "is_longer": ("int64", is_longer),
    "hour": ("int64", lambda r: r["event_time"].hour),
    "minute": ("int64", lambda r: r["event_time"].minute),
    "weekday": ("int64", lambda r: r["event_time"].isoweekday()),
    "trail_last_play_s": ("float32", divided("trail_last_play_time_ms", 1000)),
}

_TASKS = {
    "valid_play": Task(label=is_one("is_click")),
    "long_view": Task(label=is_one("long_view")),
    "finish": Task(label=finish),
    "skip": Task(label=skip),
    "completion": Task(label=column("completion")),
    "watch_time": Task(label=divided("play_time_ms", 1000)),
    "log_watch_time": Task(label=log_watch_time),
    "watch_quantile": Task(label=column("watch_quantile")),
    "completion_quantile": Task(
        label=column("completion_quantile"), space=is_one("is_click")
    ),
    "stay_quantile": Task(label=column("stay_quantile")),
    "like": Task(label=is_one("is_like")),
    "follow": Task(label=is_one("is_follow")),
    "comment": Task(label=is_one("is_comment")),
    "share": Task(label=is_one("is_forward")),
    "hate": Task(label=is_one("is_hate")),
    "profile_enter": Task(label=is_one("is_profile_enter")),
    "comment_stay": Task(label=log_comment_stay),
    "like_after_view": Task(
        label=is_one("is_like"),
        space=lambda r: r["is_click"] == 1 and r["tab"] is not None and r["tab"] > 0,
    ),
}
# Tasks whose label no row lacks and whose sample space is everything.
ALWAYS_KNOWN = tuple(
    name
    for name in _TASKS
    if name
    not in (
        "finish",
        "skip",
        "completion",
        "watch_time",
        "log_watch_time",
        "watch_quantile",
        "completion_quantile",
        "stay_quantile",
        "hate",
        "comment_stay",
        "like_after_view",
    )
)
