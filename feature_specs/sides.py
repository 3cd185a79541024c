"""Whose a column is: the user's, the video's or the request's, as far as a spec tells.

A request is sent once for all candidates, and a video's values may be kept from one
request to the next. So what reads the video cannot be a feature of the request, and
what reads the user or the request is none of the video alone.

The section `log` tells it of columns with a role and of side files; a feature tells it
of all others: what a `query` feature reads is the user's, and so on. What no feature of
one side reads may be anybody's. Whatever is made of a column is whose the column is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from feature_specs import expressions
from feature_specs.log_section import EVENT_TIME
from feature_specs.past import (
    HISTORY,
    TRAIL_COLUMNS,
    TRAIL_FUTURE,
    TRAIL_LAST,
    CounterSpec,
    StatisticSpec,
)
from feature_specs.spec import FeatureSpec, LogSpec, Spec

Side = Literal["user", "video", "request"]
_NOBODY: frozenset[Side] = frozenset()
_USER: frozenset[Side] = frozenset({"user"})
_VIDEO: frozenset[Side] = frozenset({"video"})
_REQUEST: frozenset[Side] = frozenset({"request"})
REQUEST_SIDE = _USER | _REQUEST
_SAID_BY: dict[str, frozenset[Side]] = {
    "query": _USER,
    "context": _REQUEST,
    "candidate": _VIDEO,
}


class _Origin(NamedTuple):
    """Where a column comes from.

    Attributes:
        sides: Whose it is by the section `log`.
        roots: Log columns without a role that it follows from.
        matched: Those that a counter matches: the video's, unless it is said.
    """

    sides: frozenset[Side] = _NOBODY
    roots: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()


_NONE = _Origin()


class Whose:
    """Whose each column of a spec is, and which feature has said so.

    Args:
        log: Roles and side files.
        counters: In the order in which they may be read, like all others.
        statistics: Likewise.
        derived: Likewise.
        features: With their expressions filled in.
    """

    def __init__(
        self,
        log: LogSpec,
        counters: Iterable[CounterSpec],
        statistics: Iterable[StatisticSpec],
        derived: Mapping[str, str],
        features: Iterable[FeatureSpec],
    ):
        self._origins = _origins_of_log(log)
        _add_made(self._origins, counters, statistics, derived)
        self._said: dict[str, FeatureSpec] = {}
        own = [f for f in features if f.group in _SAID_BY and not f.paired]
        read = [(self._reads(_names(f.expr)).roots, f) for f in own]
        for roots, feature in sorted(read, key=lambda pair: len(pair[0])):
            for root in roots:  # first of what reads one column only: that is plainest
                self._said.setdefault(root, feature)

    def of(self, column: str) -> frozenset[Side]:
        """Whose a column is; empty where nothing tells it."""
        return self._sides(_origin(self._origins, column))

    def said_by(self, column: str) -> list[FeatureSpec]:
        """The features that say whose a column is; none if the log does."""
        origin = _origin(self._origins, column)
        roots = origin.roots | origin.matched
        return [f for root, f in self._said.items() if root in roots]

    def _reads(self, columns: Iterable[str]) -> _Origin:
        return _union(_origin(self._origins, column) for column in columns)

    def _sides(self, origin: _Origin) -> frozenset[Side]:
        roots = (*origin.roots, *origin.matched)
        said = [_SAID_BY[self._said[r].group] for r in roots if r in self._said]
        doubtful = any(root not in self._said for root in origin.matched)
        return origin.sides.union(*said, _VIDEO if doubtful else _NOBODY)


def whose(spec: Spec) -> Whose:
    """Whose the columns of a spec are."""
    made = (spec.counters, spec.statistics, spec.derived)
    return Whose(spec.log, *made, spec.features)


def _origins_of_log(log: LogSpec) -> dict[str, _Origin]:
    """Columns of the log, its joins and the trail."""
    origins = {column: _Origin(roots=frozenset({column})) for column in log.columns}
    origins[log.user], origins[log.item] = _Origin(_USER), _Origin(_VIDEO)
    trail = set(TRAIL_COLUMNS) - TRAIL_FUTURE  # that no served feature may read
    for column in (*log.time.columns, EVENT_TIME, *sorted(trail)):
        origins[column] = _Origin(_REQUEST)
    if log.time.length:
        origins[log.time.length.column] = _Origin(_VIDEO)
    for join in log.joins.values():
        for column in join.columns:
            origins.setdefault(column, _origin(origins, join.key))
    return origins


def _origin(origins: Mapping[str, _Origin], column: str) -> _Origin:
    """Where a column comes from: what was last in a trail is the request's, and any
    history the user's, of whatever column and log they are."""
    if column in origins:
        return origins[column]
    if column.startswith(HISTORY):
        return _Origin(_USER)
    return _Origin(_REQUEST) if column.startswith(TRAIL_LAST) else _NONE


def _add_made(
    origins: dict[str, _Origin],
    counters: Iterable[CounterSpec],
    statistics: Iterable[StatisticSpec],
    derived: Mapping[str, str],
) -> None:
    """Adds the columns that a spec makes, in the order in which they may be read."""
    for counter in counters:
        match = _union(_origin(origins, c) for c in _names(counter.match))
        matched = match.roots | match.matched
        origins[counter.name] = _Origin(_USER | match.sides, matched=matched)
    for statistic in statistics:
        origins[statistic.name] = _origin(origins, statistic.by)
    for name, text in derived.items():
        origins[name] = _union(_origin(origins, c) for c in _names(text))


def _union(found: Iterable[_Origin]) -> _Origin:
    several = tuple(found)
    return _Origin(
        _NOBODY.union(*(o.sides for o in several)),
        frozenset[str]().union(*(o.roots for o in several)),
        frozenset[str]().union(*(o.matched for o in several)),
    )


def _names(text: str) -> set[str]:
    """The columns of an expression; none if it is broken, which is told elsewhere."""
    try:
        return expressions.columns_of(text) if text else set()
    except ValueError:
        return set()
