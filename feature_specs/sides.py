"""Whose a column is: the user's, the video's or the request's, as far as a spec tells.

A request is sent once for all candidates, and a video's values may be kept from one
request to the next. So what reads the video cannot be a feature of the request, and
what reads the user or the request is none of the video alone.

Nothing is known of a log column that has no role in `log`: it may be anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from feature_specs import expressions
from feature_specs.past import (
    HISTORY,
    TRAIL_COLUMNS,
    TRAIL_FUTURE,
    TRAIL_LAST,
    CounterSpec,
    StatisticSpec,
)
from feature_specs.spec import LogSpec

Side = Literal["user", "video", "request"]
Sides = dict[str, frozenset[Side]]
REQUEST_SIDE: frozenset[Side] = frozenset({"user", "request"})


def sides_of_log(log: LogSpec, event_time: str) -> Sides:
    """Columns of the log, its joins, the trail and the history -> whose they are."""
    sides: Sides = {log.user: frozenset({"user"}), log.item: frozenset({"video"})}
    trail = set(TRAIL_COLUMNS) - TRAIL_FUTURE  # that no served feature may read
    for column in (log.time.column, event_time, *sorted(trail)):
        sides[column] = frozenset({"request"})
    if log.time.length_ms:
        sides[log.time.length_ms] = frozenset({"video"})
    for join in log.joins.values():
        for column in join.columns:
            sides.setdefault(column, sides.get(join.on, frozenset()))
    for column in [*log.columns, *sides]:
        sides[f"{TRAIL_LAST}{column}"] = frozenset({"request"})
        sides[f"{HISTORY}{column}"] = frozenset({"user"})
    return sides


def add_made(
    sides: Sides,
    counters: Iterable[CounterSpec],
    statistics: Iterable[StatisticSpec],
    derived: Mapping[str, str],
) -> None:
    """Adds the columns that a spec makes, in the order in which they may be read."""
    for counter in counters:
        pair = frozenset({"user", "video"}) if counter.match else frozenset({"user"})
        sides[counter.name] = pair
    for statistic in statistics:
        sides[statistic.name] = sides.get(statistic.by, frozenset())
    for name, text in derived.items():
        read = (sides.get(c, frozenset()) for c in expressions.columns_of(text))
        sides[name] = frozenset().union(*read)
