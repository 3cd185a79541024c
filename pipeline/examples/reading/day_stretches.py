"""Days as stretches without a gap, and stray days far from the others."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping

from pipeline.examples.days import DayRange
from pipeline.examples.errors import LogsError

_MOST_STRAY_SHARE = 0.001
_MOST_SHOWN = 20


def stretches(days: Iterable[datetime.date], gap: int = 1) -> list[DayRange]:
    """The days in order, a new stretch after `gap` days or more without any."""
    found: list[DayRange] = []
    for day in sorted(set(days)):
        if found and (day - found[-1].last).days <= gap:
            found[-1] = DayRange(found[-1].first, day)
        else:
            found.append(DayRange(day, day))
    return found


def show(days: Iterable[datetime.date]) -> str:
    """Days for a message: 20220408:20220411, 20220413."""
    shown = [
        f"{part.first:%Y%m%d}" if len(part) == 1 else str(part)
        for part in stretches(days)
    ]
    more = len(shown) - _MOST_SHOWN
    return ", ".join(shown[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def range_without_strays(rows: Mapping[datetime.date, int], gap: int) -> DayRange:
    """The first to the last day of logs.

    Args:
        rows: Rows of each day that has any.
        gap: Days without a row that part a stray day from the others.

    Raises:
        ValueError: Some days before or after such a gap hold next to nothing: a clock
            was wrong, or a value is damaged. The message names them.
    """
    parts = stretches(rows, gap)
    counts = {part: sum(rows.get(day, 0) for day in part) for part in parts}
    left = _MOST_STRAY_SHARE * sum(rows.values())
    strays = []
    for part in sorted(parts, key=lambda part: counts[part]):
        left -= counts[part]
        if left <= 0:
            break
        strays.append(part)
    kept = [part for part in parts if part not in strays]
    days = DayRange(kept[0].first, kept[-1].last)
    outside = sorted(day for day in rows if not days.first <= day <= days.last)
    if outside:
        raise LogsError(_stray_message(rows, outside, days))
    return days


def _stray_message(
    rows: Mapping[datetime.date, int], outside: list[datetime.date], days: DayRange
) -> str:
    shown = ", ".join(f"{day:%Y%m%d} ({rows[day]})" for day in outside[:_MOST_SHOWN])
    more = len(outside) - _MOST_SHOWN
    share = sum(rows[day] for day in outside) / sum(rows.values())
    return (
        f"{share:.2g} of the rows lie on days far from all others: {shown}"
        f"{f' and {more} more' if more > 0 else ''} (rows). Repair these lines, or "
        f"leave their days out with --days {days}."
    )
