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
from feature_specs.log_section import EVENT_TIME
from feature_specs.past import (
    HISTORY,
    TRAIL_COLUMNS,
    TRAIL_FUTURE,
    TRAIL_LAST,
    CounterSpec,
    StatisticSpec,
    history_column,
)
from feature_specs.spec import LogHistorySpec, LogSpec, Spec

Side = Literal["user", "video", "request"]
Sides = dict[str, frozenset[Side]]
_USER: frozenset[Side] = frozenset({"user"})
_VIDEO: frozenset[Side] = frozenset({"video"})
_REQUEST: frozenset[Side] = frozenset({"request"})
_PAIR = _USER | _VIDEO
REQUEST_SIDE = _USER | _REQUEST


def sides_of(spec: Spec) -> Sides:
    """Every column of which it is known -> whose it is."""
    sides = sides_of_log(spec.log)
    add_histories(sides, spec.histories)
    add_made(sides, spec.counters, spec.statistics, spec.derived)
    return sides


def sides_of_log(log: LogSpec) -> Sides:
    """Columns of the log, its joins, the trail and the history -> whose they are."""
    sides: Sides = {log.user: _USER, log.item: _VIDEO}
    trail = set(TRAIL_COLUMNS) - TRAIL_FUTURE  # that no served feature may read
    for column in (*log.time.columns, EVENT_TIME, *sorted(trail)):
        sides[column] = _REQUEST
    if log.time.length:
        sides[log.time.length.column] = _VIDEO
    for join in log.joins.values():
        for column in join.columns:
            sides.setdefault(column, sides.get(join.key, frozenset()))
    for column in [*log.columns, *sides]:
        sides[f"{TRAIL_LAST}{column}"] = _REQUEST
        sides[f"{HISTORY}{column}"] = _USER
    return sides


def add_histories(sides: Sides, histories: Mapping[str, LogHistorySpec]) -> None:
    """Adds the columns of other logs' histories."""
    for name, history in histories.items():
        for column in history.columns:
            sides[history_column(name, column)] = _USER


def add_made(
    sides: Sides,
    counters: Iterable[CounterSpec],
    statistics: Iterable[StatisticSpec],
    derived: Mapping[str, str],
) -> None:
    """Adds the columns that a spec makes, in the order in which they may be read."""
    for counter in counters:
        sides[counter.name] = _PAIR if counter.match else _USER
    for statistic in statistics:
        sides[statistic.name] = sides.get(statistic.by, frozenset())
    for name, text in derived.items():
        sides[name] = frozenset(
            side
            for column in expressions.columns_of(text)
            for side in sides.get(column, frozenset())
        )
