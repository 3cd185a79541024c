"""What the report tells of events: where each went, and which days' labels may change.

A day is open while its last impression's window reaches beyond what was read of the
events: an event that has not arrived yet may still change its labels.
"""

from __future__ import annotations

import collections
import datetime
import zoneinfo
from collections.abc import Iterator, Mapping
from typing import Any

from feature_specs import Spec, expressions
from feature_specs.events import EventsSpec
from feature_specs.past import with_readers
from pipeline.examples.days import DayRange, SplitPlan, midnight_ms
from pipeline.examples.errors import ExamplesError
from pipeline.examples.events import (
    EARLY,
    JOINED,
    LATE,
    OUTSIDE,
    REPEATED,
    SHARED,
    UNMATCHED,
)
from pipeline.examples.reading.log_files import day_of, has_days
from pipeline.examples.reading.readers import event_sources
from pipeline.examples.reading.sources import Source

Counts = Mapping[tuple[Any, ...], float]

WENT = (JOINED, LATE, UNMATCHED, REPEATED)
HOUR_MS = 3_600_000
_A_DAY = datetime.timedelta(days=1)
# Events with a time beyond all others': damage, that says nothing of how far was read.
_FEW, _FEW_SHARE = 9, 1e-4


def report_events(counts: Counts, spec: Spec, plan: SplitPlan) -> dict[str, Any]:
    """Section -> the report's lines.

    Args:
        counts: The sum of what all steps counted.
        spec: Of the run.
        plan: Its days.
    """
    sources = event_sources(spec)
    return {
        name: _report(counts, spec, plan, section, sources[section.source])
        for name, section in spec.events.items()
    }


def check_events(report: Mapping[str, Any]) -> None:
    """Whether every event went somewhere; ExamplesError if one was lost."""
    for name, found in report.get("events", {}).items():
        parts = {what: found[what] for what in (*WENT, "rejected")}
        if sum(parts.values()) != found["rows"]:
            shown = " + ".join(f"{count} {what}" for what, count in parts.items())
            raise ExamplesError(
                f"{found['rows']} events of {name} came in, but {shown} = "
                f"{sum(parts.values())}. This is a fault of Trailrank; please report "
                "it with this line."
            )


def _report(
    counts: Counts, spec: Spec, plan: SplitPlan, section: EventsSpec, source: Source
) -> dict[str, Any]:
    rows, rejected = (_total(counts, w, section.source) for w in ("rows", "reject"))
    until = _read_until(counts, plan.days, section, source)
    days = {k[2]: int(n) for k, n in _keys(counts, "event_day", section.name)}
    return {
        "rows": rows,
        "rejected": rejected,
        "reject_share": rejected / rows if rows else 0.0,
        **{
            what: _total(counts, "event", section.name, what)
            for what in (*WENT, EARLY, OUTSIDE, SHARED)
        },
        "window": section.window,
        "days": days,
        "read_until": _local(until, spec),
        "incomplete_days": [
            f"{day:%Y%m%d}"
            for day in plan.days
            if midnight_ms(day + _A_DAY, spec.log.timezone) + section.window_ms > until
        ],
        "labels": _labels(spec, section),
        "folders": _folders(counts, section),
    }


def _read_until(
    counts: Counts, days: DayRange, section: EventsSpec, source: Source
) -> int:
    """Unix milliseconds up to which events were read, to a full hour.

    The end of the newest hour with events; no later than the last day that files are
    named by, where they are.
    """
    hours = collections.Counter(
        {key[2]: n for key, n in _keys(counts, "event_hour", section.name)}
    )
    left = min(_FEW, sum(hours.values()) * _FEW_SHARE)
    until = 0
    for hour in sorted(hours, reverse=True):
        until, left = (hour + 1) * HOUR_MS, left - hours[hour]
        if left < 0:
            break
    if not has_days(source):
        return until
    paths = [key[2] for key, _ in _keys(counts, "file", section.source)]
    folders = {day_of(path, source) for path in paths}
    day = source.folders(days).first
    while day in folders:
        day += _A_DAY
    return min(until, midnight_ms(day, source.folder_zone))


def _labels(spec: Spec, section: EventsSpec) -> list[str]:
    """The tasks whose labels or sample spaces read a section's columns."""
    made = set(section.columns)
    for quantile in spec.quantiles:
        texts = [text for text in (quantile.value, quantile.by) if text]
        if any(expressions.columns_of(text) & made for text in texts):
            made.add(quantile.name)
    made = set(with_readers(made, spec.derived))
    return [
        task.name
        for task in spec.tasks
        if expressions.columns_of(task.label) & made
        or (task.sample_space and expressions.columns_of(task.sample_space) & made)
    ]


def _folders(counts: Counts, section: EventsSpec) -> dict[str, dict[str, int]]:
    folders: dict[str, dict[str, int]] = {}
    for key, count in _keys(counts, "event_folder", section.name):
        folders.setdefault(key[2], {})[key[3]] = int(count)
    return folders


def _local(ms: int, spec: Spec) -> str:
    """A moment as the log's zone shows it; "" for none."""
    if not ms:
        return ""
    utc = datetime.datetime.fromtimestamp(ms / 1_000, datetime.timezone.utc)
    local = utc.astimezone(zoneinfo.ZoneInfo(spec.log.timezone))
    return local.isoformat(sep=" ", timespec="minutes")


def _total(counts: Counts, *head: str) -> int:
    return int(sum(n for _, n in _keys(counts, *head)))


def _keys(counts: Counts, *head: str) -> Iterator[tuple[tuple[Any, ...], float]]:
    """The counts whose keys begin with some words, in the order of their keys."""
    found = ((k, n) for k, n in counts.items() if k[: len(head)] == head)
    yield from sorted(found, key=lambda item: repr(item[0]))
