"""Logs that are not KuaiRand's: what a company may have.

Hourly Parquet folders by days of UTC, ids as texts, times as ISO texts of two zones,
tags as lists, embeddings of 16 floats in a side table, engagements apart.
"""

import datetime
import pathlib
import random

import polars as pl

_BEGIN = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)
_ZONES = {
    "Europe/Berlin": datetime.timezone(datetime.timedelta(hours=1)),
    "America/New_York": datetime.timezone(datetime.timedelta(hours=-5)),
}
_TAGS = ["cats", "cooking", "music", "sport", "travel", "news"]


def write_own_logs(folder: pathlib.Path, days: int = 3, users: int = 40) -> None:
    """Some thousand impressions, a tenth of them liked, in sittings hours apart."""
    draw = random.Random(7)
    rows, events = [], []
    for user in range(users):
        zone = draw.choice(list(_ZONES))
        for sitting in range(days * 3):
            begin = _BEGIN + datetime.timedelta(hours=8 * sitting + 7.8 * draw.random())
            for _ in range(draw.randrange(5, 15)):
                length = 5 + draw.randrange(55)
                watched = min(length, draw.expovariate(1 / 12))
                row = _row(draw, len(rows), user, begin, zone, length, watched)
                rows.append(row)
                events += _events(draw, row, begin)
                begin += datetime.timedelta(seconds=watched + draw.randrange(1, 20))
    _write_hourly(pl.DataFrame(rows), folder / "impressions")
    _write_hourly(pl.DataFrame(events), folder / "engagements")
    (folder / "videos").mkdir()
    _videos(draw).write_parquet(folder / "videos" / "videos.parquet")


def _row(draw, number, user, begin, zone, length, watched):
    return {
        "_hour": begin,
        "impression_id": f"imp-{number:06d}",
        "user_id": f"u{user:05x}",
        "video_id": f"v{draw.randrange(120):05x}",
        "ts": begin.astimezone(_ZONES[zone]).isoformat(timespec="milliseconds"),
        "surface": draw.choice(["home", "home", "home", "search"]),
        "watch_seconds": round(watched, 3),
        "finished": watched >= length,
    }


def _events(draw, row, begin):
    """Likes, some of them taken back, shares; minutes after the impression."""
    made = []
    for action, share in (("like", 0.1), ("unlike", 0.01), ("share", 0.03)):
        if draw.random() < share:
            at = begin + datetime.timedelta(seconds=draw.randrange(5, 4000))
            made.append(
                {
                    "_hour": at,
                    "impression_id": row["impression_id"],
                    "ts": at.isoformat(timespec="milliseconds"),
                    "action": action,
                }
            )
    return made


def _videos(draw):
    return pl.DataFrame(
        [
            {
                "video_id": f"v{number:05x}",
                "creator_id": f"c{number % 30:04x}",
                "tags": draw.sample(_TAGS, draw.randrange(1, 4)),
                "embedding": [draw.gauss(0, 1) for _ in range(16)],
                "length_s": float(5 + draw.randrange(55)),
            }
            for number in range(120)
        ],
        schema_overrides={"embedding": pl.List(pl.Float32)},
    )


def _write_hourly(frame: pl.DataFrame, folder: pathlib.Path) -> None:
    hours = frame["_hour"].dt.strftime("dt=%Y-%m-%d/hour=%H")
    for (hour,), part in frame.with_columns(hours.alias("_hour")).group_by(["_hour"]):
        (folder / str(hour)).mkdir(parents=True)
        part.drop("_hour").write_parquet(folder / str(hour) / "part-00000.parquet")
