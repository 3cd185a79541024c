"""The spec's classes for events that are logged apart from impressions: likes, shares,
purchases in files of their own.

    events:
      engagements:
        files: "engagements/dt={day:%Y-%m-%d}/*.parquet"
        types: {impression_id: string, ts: int64, action: string}
        key: impression_id
        time: ts
        window: 24h
        columns: {share: "BOOL_OR(action = 'share')"}

An event belongs to the last impression of its key that began no later than it. What an
impression is known for changes with each event, from the event's time on.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal

from feature_specs.aggregates import Aggregated, take_apart
from feature_specs.durations import seconds_of
from feature_specs.expressions import columns_of
from feature_specs.moments import MomentSpec

SINCE = "seconds_since_impression"  # a column of every event, float64
EVENTS = "events"  # the section's key


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventsSpec:
    """Events of one kind of file, joined to impressions.

    Attributes:
        name: Unique; the entry's key.
        files: Glob inside the log directory; it may hold `{day}` as `log.files` may.
        types: Column of the files -> type, as in `log.columns`.
        key: Columns of the files and of the log that say which impression an event is
            of: the impression's id, or user and item.
        time: See `MomentSpec`.
        window: How long after its impression's begin an event counts; later ones are
            counted in the report.
        columns: Column -> SQL aggregate over an impression's events.
        id: Column with the event's own id: events that come again count once. By
            default rows that are equal count once.
        user: Column with the user, of the log's type: then an event finds its
            impression among that user's. Without it, and without the user in `key`,
            all impressions are looked through by the key's hash.
        format: How the files are written; the log's format by default.
        folder_timezone: IANA name: whose days those in `files` are; the log's by
            default.
    """

    name: str
    files: str
    types: dict[str, str]
    key: tuple[str, ...]
    time: MomentSpec
    window: str
    columns: dict[str, str]
    id: str = ""
    user: str = ""
    format: Literal["", "csv", "jsonl", "parquet", "tfrecord"] = ""
    folder_timezone: str = ""

    @property
    def window_ms(self) -> int:
        """The window in milliseconds."""
        return seconds_of(self.window) * 1_000

    @property
    def window_days(self) -> int:
        """The window in days, a part of one as a whole."""
        return -(-self.window_ms // 86_400_000)

    @property
    def source(self) -> str:
        """Where the spec names these files, and what they are called in reports."""
        return f"{EVENTS}.{self.name}"

    @functools.cached_property
    def aggregated(self) -> dict[str, Aggregated]:
        """Column -> its SQL, taken apart."""
        return {name: take_apart(text) for name, text in self.columns.items()}

    def owner(self, user: str) -> str:
        """The event column that names the user; "" if none does.

        Args:
            user: The log's column of users.
        """
        return self.user or (user if user in self.key else "")


def event_columns(events: Mapping[str, EventsSpec]) -> dict[str, str]:
    """Every column made of events -> its SQL aggregate."""
    found: dict[str, str] = {}
    for entry in events.values():
        found |= entry.columns
    return found


def reads_events(texts: list[str], events: Mapping[str, EventsSpec]) -> bool:
    """Whether one of some expressions reads a column made of events."""
    if not events:
        return False
    made = event_columns(events).keys()
    return any(columns_of(text) & made for text in texts if text)
