"""The logs of a spec's `histories`: how they are read, where rows go, what is told.

    blocks of typed rows -> those that count -> by user, beside the user's impressions

A row is used, or it is counted as one of these: unreadable, outside the days that are
read, filtered by `where`, a repeated one, one of a user without an impression.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from feature_specs import Spec
from feature_specs.missing import evaluate_all
from feature_specs.spec import LogHistorySpec
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


class SettledHistories(NamedTuple):
    """The events of a shard's users, by history.

    Attributes:
        known: In order, each once, of users with impressions; those of earlier days
            too. None if there are none.
        counts: What was counted of the rows that were read.
        all: Those that were read of all users, with those of earlier days.
    """

    known: dict[str, pl.DataFrame | None]
    counts: Counts
    all: dict[str, pl.DataFrame | None]


def settle_histories(
    events: Mapping[str, pl.DataFrame | None],
    users: pl.Series | None,
    spec: Spec,
    carried: Mapping[str, pl.DataFrame | None] | None = None,
) -> SettledHistories:
    """The events of a shard, settled.

    Args:
        events: History -> all rows of a shard's users, as `rows_that_count` gives them.
        users: The users of the shard's impressions; None if there are none.
        spec: Of the run.
        carried: History -> what earlier days left, settled.
    """
    found: dict[str, pl.DataFrame | None] = {}
    every: dict[str, pl.DataFrame | None] = {}
    counts: Counts = {}
    for name, rows in events.items():
        history = spec.histories[name]
        before = (carried or {}).get(name)
        found[name], every[name] = _of_users(before, users, history), before
        if rows is None:
            continue
        settled = settle_events(rows, history)
        known = _of_users(settled, users, history)
        assert known is not None
        found[name] = _in_order(found[name], known, history)
        every[name] = _in_order(before, settled, history)
        counts |= {
            ("history", name, REPEATED): rows.height - settled.height,
            ("history", name, STRANGERS): settled.height - known.height,
            ("history", name, USED): known.height,
        }
    return SettledHistories(found, counts, every)


def newest_events(
    events: pl.DataFrame | None, history: LogHistorySpec
) -> pl.DataFrame | None:
    """The settled events that later impressions may still see.

    Of each user, those among whose values are the newest `length` of a column.
    """
    if events is None or not events.height:
        return None
    values = evaluate_all(events, history.columns).select(*history.columns)
    sizes = values.select(
        pl.col(name).list.len().fill_null(0).cast(pl.Int64).alias(name)
        if isinstance(dtype, pl.List)
        else (pl.col(name).is_null() | True).cast(pl.Int64)
        for name, dtype in values.schema.items()
    )
    sized = sizes.with_columns(events[history.user].alias("_user"))
    keep = sized.select(
        pl.any_horizontal(
            (pl.col(name) > 0)
            & (
                pl.col(name).cum_sum(reverse=True).over("_user") - pl.col(name)
                < history.length
            )
            for name in history.columns
        )
    )
    return events.filter(keep.to_series())


def _of_users(
    events: pl.DataFrame | None, users: pl.Series | None, history: LogHistorySpec
) -> pl.DataFrame | None:
    """Those of some users, in order."""
    if events is None:
        return None
    if users is None:
        return events.clear()
    asked = users.unique().alias(history.user).to_frame()
    return events.join(asked, on=history.user, how="semi", maintain_order="left")


def _in_order(
    before: pl.DataFrame | None, events: pl.DataFrame, history: LogHistorySpec
) -> pl.DataFrame:
    """Events of earlier days, and those after them, by user and time."""
    if before is None:
        return events
    both = pl.concat([before.select(events.columns), events])
    return both.sort(history.user, TIME_MS, maintain_order=True)


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
