"""Logs of a made-up short-video feed, as a company might have them.

    python examples/feed_logs.py LOGS [--impressions 200000] [--days 8] [--seed 0]

    members.parquet                                   who watches
    videos.parquet                                    tags, author.id, a vector
    impressions/dt=2026-03-01/hour=00/part-0.parquet  what was shown, folders in UTC
    engagements/dt=2026-03-01/hour=00/part-0.parquet  likes, unlikes and shares, later

docs/own_logs.md goes from these files to a ranked answer.

Nothing is named or written as in KuaiRand: ids are texts, times are ISO 8601 with the
offset of the member's home, watch times are seconds and sometimes missing, and what a
member did stands in a log of its own, where some events come twice and some too late.

A member has a taste, a direction in 16 dimensions, and a video a content, another one.
Whether a video is liked depends on how well the two fit, and `videos.embedding` is the
content with some noise. Each day brings new videos, of which nothing else is known.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import pathlib
import zoneinfo

import numpy as np
import numpy.typing as npt
import polars as pl

FIRST_DAY = datetime.date(2026, 3, 1)
WIDTH = 16  # of a vector
HOMES = {"DE": "Europe/Berlin", "BR": "America/Sao_Paulo"}
TAGS = ("cats", "cooking", "dance", "diy", "football", "games", "music", "travel")
HOUR_S, DAY_S = 3_600, 86_400

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class World:
    """Who watches what.

    Attributes:
        homes: Country of each member [M].
        tastes: Of members [M, WIDTH], of length 1.
        contents: Of videos [V, WIDTH], of length 1.
        lengths_s: Of videos [V].
        born: Day on which each video appears [V]; 0 is before the first.
    """

    homes: npt.NDArray[np.str_]
    tastes: Floats
    contents: Floats
    lengths_s: Floats
    born: Ints


def main() -> None:
    """Writes the logs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=pathlib.Path)
    parser.add_argument("--impressions", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_logs(args.logs, args.impressions, args.days, args.seed)


def write_logs(
    logs: pathlib.Path, impressions: int = 200_000, days: int = 8, seed: int = 0
) -> None:
    """Writes all files of the docstring above into a new directory."""
    draw = np.random.default_rng(seed)
    world = make_world(draw, max(20, impressions // 100), days)
    logs.mkdir(parents=True)
    _members(world, draw).write_parquet(logs / "members.parquet")
    _videos(world, draw).write_parquet(logs / "videos.parquet")
    shown = show(world, draw, impressions, days)
    _write_by_hour(shown.drop("_member", "_video"), "shown_s", logs / "impressions")
    _write_by_hour(engage(shown, world, draw), "at_s", logs / "engagements")


def make_world(draw: np.random.Generator, members: int, days: int) -> World:
    """Members and videos; half of the videos appear on one of the days."""
    videos = members
    old = draw.random(videos) < 0.5
    return World(
        homes=draw.choice(list(HOMES), members, p=[0.6, 0.4]),
        tastes=_directions(draw, members),
        contents=_directions(draw, videos),
        lengths_s=np.round(np.exp(draw.normal(3.0, 0.7, videos)).clip(5, 600), 1),
        born=np.where(old, 0, draw.integers(0, days, videos)),
    )


def show(
    world: World, draw: np.random.Generator, impressions: int, days: int
) -> pl.DataFrame:
    """Impressions in order of time, with the numbers of their members and videos."""
    visits = -(-impressions // 8)  # of eight videos each
    member = np.repeat(draw.integers(0, len(world.homes), visits), 8)[:impressions]
    begin = np.sort(draw.random(visits)) * days * DAY_S
    place = np.arange(impressions) % 8
    visit = np.arange(impressions) // 8
    second = begin[visit] + place * 45 + draw.random(impressions) * 5
    second = np.minimum(second, days * DAY_S - 1)
    video = _videos_of_the_day(world, draw, (second // DAY_S).astype(np.int64))
    fit = (world.tastes[member] * world.contents[video]).sum(1) * np.sqrt(WIDTH)
    length = world.lengths_s[video]
    share = 1 / (1 + np.exp(-(0.6 * fit - 0.6 + draw.normal(0, 0.8, impressions))))
    watched = np.round(length * share * 1.2, 1)
    watched[draw.random(impressions) < 0.01] = np.nan  # the player did not tell
    homes = world.homes[member]
    return pl.DataFrame(
        {
            "impression_id": [f"i-{n:08d}" for n in range(impressions)],
            "visit": [f"s-{n:07d}" for n in visit],
            "member": _named("m", member),
            "video": _named("v", video),
            "shown_at": _local_texts(second, homes),
            "surface": draw.choice(["home", "friends", "search"], impressions),
            "watched_seconds": pl.Series(watched).fill_nan(None),
            "shown_s": second,
            "_member": member,
            "_video": video,
        }
    )


def engage(
    shown: pl.DataFrame, world: World, draw: np.random.Generator
) -> pl.DataFrame:
    """What members did after impressions: most at once, some hours or days later."""
    member, video = shown["_member"].to_numpy(), shown["_video"].to_numpy()
    fit = (world.tastes[member] * world.contents[video]).sum(1) * np.sqrt(WIDTH)
    like = draw.random(len(fit)) < 1 / (1 + np.exp(-(1.6 * fit - 3.0)))
    share = like & (draw.random(len(fit)) < 0.15)
    unlike = like & (draw.random(len(fit)) < 0.05)
    parts = []
    for action, chosen, pause in (
        ("like", like, 20.0),
        ("share", share, 60.0),
        ("unlike", unlike, 4_000.0),
    ):
        events = shown.filter(pl.Series(chosen)).select("impression_id", "shown_s")
        wait = draw.exponential(pause, events.height)
        late = draw.random(events.height) < 0.02
        wait[late] += draw.random(int(late.sum())) * 2 * DAY_S
        parts.append(
            events.select(
                "impression_id",
                pl.lit(action).alias("action"),
                (pl.col("shown_s") + pl.Series(wait) + 1).alias("at_s"),
            )
        )
    events = pl.concat(parts).sort("at_s", "impression_id", "action")
    events = events.with_columns(
        _named("e", np.arange(events.height)).alias("event_id")
    )
    twice = events.filter(pl.Series(draw.random(events.height) < 0.01))
    lost = events.head(5).with_columns(
        pl.lit("i-lost").alias("impression_id"),
        ("x" + pl.col("event_id")).alias("event_id"),
    )
    moment = pl.from_epoch((pl.col("at_s") * 1000).cast(pl.Int64), time_unit="ms")
    at = (moment + _since_epoch()).dt.replace_time_zone("UTC").alias("at")
    return pl.concat([events, twice, lost]).with_columns(at)


def _members(world: World, draw: np.random.Generator) -> pl.DataFrame:
    count = len(world.homes)
    return pl.DataFrame(
        {
            "member": _named("m", np.arange(count)),
            "country": world.homes,
            "age": draw.integers(14, 70, count),
            "joined": pl.Series(draw.integers(0, 2_000, count)).map_elements(
                lambda days: FIRST_DAY - datetime.timedelta(days=int(days) + 1),
                return_dtype=pl.Date,
            ),
        }
    )


def _videos(world: World, draw: np.random.Generator) -> pl.DataFrame:
    count = len(world.lengths_s)
    noisy = world.contents + draw.normal(0, 0.1, world.contents.shape)
    tags = np.argsort(-world.contents[:, : len(TAGS)], axis=1)[:, :3]
    known = draw.random(count) >= 0.02
    vectors = [
        list(row) if there else None for row, there in zip(noisy, known, strict=True)
    ]
    return pl.DataFrame(
        {
            "video": _named("v", np.arange(count)),
            "author": [
                {"id": f"a-{n:04d}", "verified": bool(n % 7 == 0)}
                for n in draw.integers(0, max(5, count // 10), count)
            ],
            "tags": [
                [TAGS[tag] for tag in row[: 1 + i % 3]] for i, row in enumerate(tags)
            ],
            "length_seconds": world.lengths_s,
            "embedding": pl.Series(vectors, dtype=pl.List(pl.Float32)),
        }
    )


def _videos_of_the_day(world: World, draw: np.random.Generator, days: Ints) -> Ints:
    """A video that is there for each impression; new ones are shown more often."""
    chosen = np.zeros(len(days), np.int64)
    for day in np.unique(days):
        there = np.flatnonzero(world.born <= day)
        weight = np.where((world.born[there] == day) & (day > 0), 6.0, 1.0)
        rows = np.flatnonzero(days == day)
        chosen[rows] = draw.choice(there, len(rows), p=weight / weight.sum())
    return chosen


def _directions(draw: np.random.Generator, count: int) -> Floats:
    values = draw.normal(size=(count, WIDTH))
    directions: Floats = values / np.linalg.norm(values, axis=1, keepdims=True)
    return directions


def _named(letter: str, numbers: Ints) -> pl.Series:
    return pl.Series([f"{letter}-{number:06d}" for number in numbers])


def _since_epoch() -> datetime.timedelta:
    return FIRST_DAY - datetime.date(1970, 1, 1)


def _local_texts(seconds: Floats, homes: npt.NDArray[np.str_]) -> pl.Series:
    """Each time as an ISO 8601 text with the offset of a country's clocks."""
    begin = datetime.datetime.combine(FIRST_DAY, datetime.time(), datetime.timezone.utc)
    zones = {home: zoneinfo.ZoneInfo(name) for home, name in HOMES.items()}
    return pl.Series(
        [
            (begin + datetime.timedelta(milliseconds=int(second * 1000)))
            .astimezone(zones[home])
            .isoformat(timespec="milliseconds")
            for second, home in zip(seconds, homes, strict=True)
        ]
    )


def _write_by_hour(rows: pl.DataFrame, second: str, folder: pathlib.Path) -> None:
    """One Parquet file an hour of UTC, of the time in `second`."""
    hours = rows.with_columns((pl.col(second) // HOUR_S).cast(pl.Int64).alias("_hour"))
    for (hour,), part in hours.partition_by("_hour", as_dict=True).items():
        day = FIRST_DAY + datetime.timedelta(days=int(hour) // 24)
        place = folder / f"dt={day}" / f"hour={int(hour) % 24:02d}"
        place.mkdir(parents=True)
        part.drop("_hour", second).write_parquet(place / "part-0.parquet")


if __name__ == "__main__":
    main()
