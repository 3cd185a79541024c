"""The logs of a spec's `histories`: how they are read, where rows go, what is told.

    blocks of typed rows -> those that count -> by user, beside the user's impressions

A row is used, or it is counted as one of these: unreadable, outside the days that are
read, filtered by `where`, a repeated one, one of a user without an impression.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import polars as pl

from feature_specs import Spec
from pipeline.examples.columns.evaluate import holds
from pipeline.examples.columns.histories import settle_events
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import local_time
from pipeline.examples.errors import ExamplesError
from pipeline.examples.log_counts import Counts, count_folder, report_folders
from pipeline.examples.reading.sources import (
    FileRange,
    Source,
    history_of,
    source_name,
)

OUTSIDE, FILTERED = "outside_days", "filtered"
REPEATED, STRANGERS, USED = "repeated", "users_without_impressions", "used"
BUCKETS = (USED, FILTERED, OUTSIDE, REPEATED, STRANGERS)  # of rows that can be read
REJECTED = "rejected"


def rows_that_count(
    rows: pl.DataFrame,
    part: FileRange,
    source: Source,
    spec: Spec,
    first: datetime.date,
    last: datetime.date,
) -> tuple[pl.DataFrame, Counts]:
    """(declared columns and `TIME_MS` of what `where` leaves of the days, counts).

    Args:
        rows: Of a block, with `TIME_MS`.
        part: Where they are from.
        source: Of the history.
        spec: Of the run.
        first: Day that is read, in the log's zone.
        last: Day that is read.
    """
    name = history_of(source.name, spec)
    assert name is not None
    history = spec.histories[name]
    timed = rows.select(*history.types, TIME_MS)
    inside = timed.filter(local_time(spec).dt.date().is_between(first, last))
    counted = inside.filter(pl.Series(holds(inside, history.where)))
    counts: Counts = {
        ("history", name, OUTSIDE): timed.height - inside.height,
        ("history", name, FILTERED): inside.height - counted.height,
    }
    for key, count in count_folder(timed, part, source).items():
        _, day, what = key
        counts["history_folder", name, day, what] = count
    return counted, counts


def settle_histories(
    events: Mapping[str, pl.DataFrame | None], users: pl.Series | None, spec: Spec
) -> tuple[dict[str, pl.DataFrame | None], Counts]:
    """(each history's events in order, each once, of users with impressions; counts).

    Args:
        events: History -> all rows of a shard's users, as `rows_that_count` gives them.
        users: The users of the shard's impressions; None if there are none.
        spec: Of the run.
    """
    found: dict[str, pl.DataFrame | None] = {}
    counts: Counts = {}
    for name, rows in events.items():
        found[name] = None
        if rows is None:
            continue
        history = spec.histories[name]
        settled = settle_events(rows, history)
        known = settled.clear()
        if users is not None:
            known = settled.join(
                users.unique().alias(history.user).to_frame(),
                on=history.user,
                how="semi",
                maintain_order="left",
            )
        found[name] = known
        counts |= {
            ("history", name, REPEATED): rows.height - settled.height,
            ("history", name, STRANGERS): settled.height - known.height,
            ("history", name, USED): known.height,
        }
    return found, counts


def report_history(counts: Counts, name: str) -> dict[str, Any]:
    """What the report says of a history: its rows, and where they went."""
    source = source_name(name)
    buckets = {b: int(counts.get(("history", name, b), 0)) for b in BUCKETS}
    rejected = sum(n for key, n in counts.items() if key[:2] == ("reject", source))
    folders = {
        ("folder", *key[2:]): count
        for key, count in counts.items()
        if key[:2] == ("history_folder", name)
    }
    return {
        "rows_in": int(counts.get(("rows", source), 0)),
        "buckets": {**buckets, REJECTED: int(rejected)},
        "folders": report_folders(folders),
    }


def check_histories(report: Mapping[str, Any]) -> None:
    """That no row of a history is lost; ExamplesError if one is."""
    for name, found in report["histories"].items():
        parts = found["buckets"]
        if sum(parts.values()) != found["rows_in"]:
            shown = " + ".join(f"{count} {part}" for part, count in parts.items())
            raise ExamplesError(
                f"{found['rows_in']} rows of history {name!r} came in, but {shown} = "
                f"{sum(parts.values())}. This is a fault of Trailrank; please report "
                "it with this line."
            )
