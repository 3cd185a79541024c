"""Gives logs of `trailrank simulate` ids, and events of a tenth of the impressions."""

from __future__ import annotations

import pathlib

import polars as pl
import yaml

EVENTS = "engagements.csv"
_SHARE = 10  # one event for so many impressions
_SECTION = {
    "engagements": {
        "files": EVENTS,
        "types": {
            "impression_id": "string",
            "event_id": "int64",
            "at": "int64",
            "action": "string",
        },
        "key": "impression_id",
        "id": "event_id",
        "time": "at",
        "window": "24h",
        "columns": {
            "saved": "COUNT(*) FILTER (WHERE action = 'save') > "
            "COUNT(*) FILTER (WHERE action = 'drop')",
            "saved_after_s": "MIN(seconds_since_impression) FILTER "
            "(WHERE action = 'save')",
        },
    }
}


def write_events(logs_dir: pathlib.Path) -> int:
    """Adds `impression_id` to the log files and writes `EVENTS`; returns how many."""
    found, number = [], 0
    for path in sorted(logs_dir.glob("log_*.csv")):
        rows = pl.read_csv(path, infer_schema=False)
        ids = [f"{number + n:012d}" for n in range(rows.height)]
        rows = rows.with_columns(pl.Series("impression_id", ids))
        rows.write_csv(path)
        number += rows.height
        found.append(rows.select("impression_id", "time_ms"))
    events = pl.concat(found).gather_every(_SHARE).with_row_index("event_id")
    # Half of the events come within minutes, the others within a day and a half.
    draw = pl.col("event_id").hash(1)
    after = pl.when(draw % 2 == 0).then(draw % 300_000).otherwise(draw % 129_600_000)
    at = pl.col("time_ms").cast(pl.Int64, strict=False) + after.cast(pl.Int64)
    action = pl.when(pl.col("event_id") % 7 == 0).then(pl.lit("drop"))
    events = events.with_columns(
        at.alias("at"), action.otherwise(pl.lit("save")).alias("action")
    )
    events = events.drop("time_ms").drop_nulls().sort("at")
    events.write_csv(logs_dir / EVENTS)
    return events.height


def with_events(text: str) -> str:
    """A spec of these logs, whose history, counters, statistics and tasks read events.

    Args:
        text: The shipped spec of the simulator's logs.
    """
    spec = yaml.safe_load(text)
    spec["log"]["columns"]["impression_id"] = "string"
    spec["events"] = _SECTION
    spec["history"]["positive"] = f"({spec['history']['positive']}) OR saved"
    spec["counters"] += [
        {"name": "saves", "where": "saved"},
        {"name": "since_save", "where": "saved", "measure": "seconds_since"},
    ]
    spec["statistics"] += [
        {"name": "video_save_rate", "by": "video_id", "value": "saved", "strength": 9}
    ]
    spec["tasks"] += [{"name": "save", "kind": "binary", "label": "saved"}]
    features = [("saves", "query"), ("since_save", "query")]
    features += [("video_save_rate", "candidate")]
    spec["features"] += [
        {"name": name, "group": group, "kind": "number"} for name, group in features
    ]
    return yaml.safe_dump(spec, sort_keys=False)
