"""Rows, frames and a past in plain loops, for the tests of all that looks back."""

import datetime
import random
import zoneinfo

import polars as pl

from feature_specs.spec import FusionSpec, LogSpec, Spec, TimeSpec

TYPES = {
    "user": pl.Int64, "item": pl.String, "ts": pl.Int64, "watched": pl.Int64,
    "length": pl.Int64, "tab": pl.Int64, "author": pl.Int64, "liked": pl.Int64,
    "share": pl.Float64, "tags": pl.List(pl.String),
}  # fmt: skip
NOON = 1_649_390_400_000  # 2022-04-08 12:00 in Shanghai


def make_spec(timezone="Asia/Shanghai", watched="watched", length="length", **sections):
    log = LogSpec(
        files="*.csv",
        user="user",
        item="item",
        time=TimeSpec(column="ts", watched_ms=watched, length_ms=length),
        timezone=timezone,
        columns={},
        outcomes=("watched", "liked", "share"),
    )
    fusion = FusionSpec(weights={})
    return Spec(name="past", log=log, features=(), tasks=(), fusion=fusion, **sections)


def row(ts=0, item="v", user=1, **values):
    """A row that begins `ts` ms after noon."""
    rest = dict.fromkeys(TYPES, None) | {"watched": 0, "length": 10_000, "liked": 0}
    return {**rest, "user": user, "item": item, "ts": NOON + ts, **values}


def make_frame(rows, timezone="Asia/Shanghai"):
    """The frame of rows in the order in which a shard has them."""
    ordered = sorted(rows, key=lambda r: (r["user"], r["ts"], r["item"]))
    frame = pl.DataFrame(ordered, schema=TYPES)
    utc = pl.from_epoch(pl.col("ts"), "ms").dt.replace_time_zone("UTC")
    frame = frame.with_columns(
        pl.col("ts").alias("_time_ms"),
        utc.dt.convert_time_zone(timezone).alias("event_time"),
    )
    return frame.with_columns(pl.col("event_time").dt.date().alias("_day"))


def known_from(e):
    return max(e["ts"] + max(e["watched"], 0), e["ts"] + 1)


def past_of(r, rows):
    """The rows of the same user that are known when `r` begins, last known last."""
    past = [
        e for e in rows if e["user"] == r["user"] and known_from(e) <= r["ts"]
    ]  # in the order of rows
    return sorted(past, key=known_from)


def local_day(time_ms, timezone):
    utc = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc)
    return utc.astimezone(zoneinfo.ZoneInfo(timezone)).date()


def random_rows(seed, count=400, users=6, step_ms=(0, 0, 1, 2_000, 60_000, 1_900_000)):
    """Ties, watches that overlap or have no length, nulls, tags that repeat."""
    draw = random.Random(seed)
    rows = {}
    for user in range(users):
        ts = draw.randrange(100_000)
        for _ in range(count // users):
            ts += draw.choice(step_ms)
            new = row(
                ts,
                f"v{draw.randrange(12)}",
                user,
                watched=draw.choice([-5, 0, 0, 1, 1_999, 2_000, 62_000, 4_000_000]),
                length=draw.choice([0, 0, 2_000, 70_000]),
                tab=draw.choice([0, 0, 0, 1, None]),
                author=draw.choice([None, 1, 2, 3, 4]),
                liked=draw.choice([0, 0, 1]),
                share=draw.choice([None, 0.1, 0.2, 0.7, 1 / 3]),
                tags=draw.choice([None, [], ["a"], ["b", "a", "b"], [None, "c", "a"]]),
            )
            rows[user, new["ts"], new["item"]] = new
    return [rows[key] for key in sorted(rows)]
