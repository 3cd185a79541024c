"""Reads and checks what is made of the past: the sections `trail`, `history`,
`histories`, `counters`, `statistics`, `quantiles` and, on top of them, `derived`.

Each section's expressions may read what exists where it is computed: `Past.scope` grows
from section to section, in the order of this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeVar

import polars as pl

from feature_specs.build import build
from feature_specs.histories_section import read_histories
from feature_specs.log_section import joined_columns, log_scope, row_scope
from feature_specs.past import (
    HISTORY,
    REQUEST_COLUMNS,
    TRAIL_COLUMNS,
    TRAIL_FUTURE,
    TRAIL_LAST,
    CounterSpec,
    HistorySpec,
    QuantileSpec,
    StatisticSpec,
    TrailSpec,
    history_column,
    with_readers,
)
from feature_specs.reading import (
    Reading,
    Scope,
    element_type,
    example_type,
    names_of,
    reads,
)
from feature_specs.sides import Sides, add_histories, add_made, sides_of_log
from feature_specs.spec import Dtype, LogHistorySpec, LogSpec

_Column = TypeVar("_Column", CounterSpec, StatisticSpec, QuantileSpec)
_MOST_BINS = 1_000_000  # of a quantile's histogram; each group has one, in memory
_MOST_GROUPED_BINS = 10_000_000  # of all groups: 80 MB of counts
_KEY_RULE = (
    "must be whole numbers or text, or a list of these; CAST(... AS BIGINT) makes "
    "whole numbers."
)


@dataclasses.dataclass
class Past:
    """The sections of this file, and the columns that now exist.

    Attributes:
        scope: Every column an expression of features and tasks may read.
        outcomes: Those known only after the impression (`Spec.outcomes`).
        future: Those known only when the trail is over (`Spec.future`).
        paired: Those that come of counters with a `match`.
        sides: Column -> whose it is, where that is known.
    """

    scope: Scope
    trail: TrailSpec | None = None
    history: HistorySpec | None = None
    histories: dict[str, LogHistorySpec] = dataclasses.field(default_factory=dict)
    counters: tuple[CounterSpec, ...] = ()
    statistics: tuple[StatisticSpec, ...] = ()
    quantiles: tuple[QuantileSpec, ...] = ()
    derived: dict[str, str] = dataclasses.field(default_factory=dict)
    outcomes: frozenset[str] = frozenset()
    future: frozenset[str] = frozenset()
    paired: frozenset[str] = frozenset()
    sides: Sides = dataclasses.field(default_factory=dict)

    def length_of(self, text: str) -> int:
        """The length of a sequence that an expression gives, if nothing is said."""
        names = names_of(text)
        lengths = [
            history.length
            for name, history in self.histories.items()
            if names & {history_column(name, column) for column in history.columns}
        ]
        return max(lengths) if lengths else self.history.length if self.history else 50

    @property
    def column_types(self) -> dict[str, Dtype]:
        """See `Spec.column_types`."""
        types = {name: example_type(found) for name, found in self.scope.types.items()}
        return {name: dtype for name, dtype in types.items() if dtype is not None}


def read_past(reading: Reading, log: LogSpec | None) -> Past:
    """All sections of this file, checked; `log` is None if its section is broken."""
    scope = row_scope(log)
    scope.what = "this spec"
    past = Past(scope=scope)
    past.trail = _read_trail(reading, log, scope)
    past.history = _read_history(reading, log, scope)
    past.histories = read_histories(reading, log, scope)
    requests = _add_requests(log, scope)
    past.counters = _read_counters(reading, log, scope)
    past.statistics = _read_statistics(reading, log, scope)
    past.quantiles = _read_quantiles(reading, log, scope)
    late = {*(log.late if log else ()), *(q.name for q in past.quantiles)}
    late |= requests
    past.derived = _read_derived(reading, scope)
    past.outcomes = with_readers(late, past.derived)
    past.future = with_readers(TRAIL_FUTURE, past.derived)
    matching = (counter.name for counter in past.counters if counter.match)
    past.paired = with_readers(matching, past.derived)
    if log is not None:
        past.sides = sides_of_log(log)
        add_histories(past.sides, past.histories)
        add_made(past.sides, past.counters, past.statistics, past.derived)
    return past


# --- trail and history ----------------------------------------------------------------


def _read_trail(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> TrailSpec | None:
    trail: TrailSpec | None = reading.section(TrailSpec, "trail")
    if log is None:
        return trail
    if trail is None and "trail" in reading.raw:
        lasts = (f"{TRAIL_LAST}{column}" for column in log.columns)
        scope.broken.update(TRAIL_COLUMNS, lasts)
    if trail is None:
        scope.absent.update(dict.fromkeys(TRAIL_COLUMNS, "Add a section trail."))
        return None
    _check_trail(reading, log, trail)
    for name, trail_column in TRAIL_COLUMNS.items():
        needs = trail_column.needs
        if all(getattr(log.time, key) is not None for key in needs):
            scope.add(name, trail_column.dtype)
        elif needs:
            keys = " and ".join(f"log.time.{key}_ms (or _s)" for key in needs)
            scope.absent[name] = f"It needs {keys}."
    for column in trail.last:
        scope.add(f"{TRAIL_LAST}{column}", scope.types.get(column))
    return trail


def _check_trail(reading: Reading, log: LogSpec, trail: TrailSpec) -> None:
    reading.columns("trail.scope", trail.scope, log.columns)
    for index, column in enumerate(trail.scope):
        if column in log.outcomes:
            rule = "is an outcome; a trail may not use one."
            reading.problems.add(f"trail.scope[{index}]", rule, column)
    if not trail.scope or trail.scope[0] != log.user:
        rule = f"must begin with the user's column {log.user!r}."
        reading.problems.add("trail.scope", rule, list(trail.scope))
    reading.columns("trail.last", trail.last, log.columns)


def _read_history(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> HistorySpec | None:
    history: HistorySpec | None = reading.section(HistorySpec, "history")
    if log is None:
        return history
    if history is None:
        if "history" in reading.raw:
            scope.broken.update(f"{HISTORY}{name}" for name in joined_columns(log))
        return None
    reading.columns("history.columns", history.columns, joined_columns(log))
    reading.condition("history.positive", history.positive, row_scope(log))
    for column in history.columns:
        inner = scope.types.get(column)
        scope.add(f"{HISTORY}{column}", None if inner is None else pl.List(inner))
    return history


def _add_requests(log: LogSpec | None, scope: Scope) -> set[str]:
    """The columns of requests, which no feature may read."""
    if log is None or log.request is None:
        told = "Say in log.request what tells requests apart."
        scope.absent.update(dict.fromkeys(REQUEST_COLUMNS, told))
        return set()
    for name in REQUEST_COLUMNS:
        if name not in scope.types:  # else told already
            scope.add(name, pl.Int64())
    return set(REQUEST_COLUMNS)


# --- counters, statistics, quantiles --------------------------------------------------


def _read_counters(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> tuple[CounterSpec, ...]:
    rows = row_scope(log)
    counters = []
    for path, counter in _named(reading, CounterSpec, "counters", scope):
        if counter.match:
            _check_match(reading, f"{path}.match", counter.match, rows, log)
        reading.condition(f"{path}.where", counter.where, rows)
        if counter.measure != "mean" and counter.value:
            rule = f"has no use for measure {counter.measure}; remove it."
            reading.problems.add(f"{path}.value", rule, counter.value)
        _check_measure(reading, path, counter, rows)
        scope.add(counter.name, _measure_type(counter))
        counters.append(counter)
    return tuple(counters)


def _check_match(
    reading: Reading, path: str, match: str, rows: Scope, log: LogSpec | None
) -> None:
    reading.typed(path, match, rows, _is_key, _KEY_RULE)
    leaks = reads(match, log.late if log else ())
    if leaks:
        rule = (
            f"reads {leaks}, an outcome (log.outcomes): this impression's own is not "
            "known yet. Ask for it of past ones in where."
        )
        reading.problems.add(path, rule, match)


def _is_key(found: pl.DataType) -> bool:
    """Whether values can be told equal or not: whole numbers, text, lists of these."""
    value = element_type(found)
    return value == pl.String or value.is_integer()


def _read_statistics(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> tuple[StatisticSpec, ...]:
    rows = log_scope(log)
    statistics = []
    for path, statistic in _named(reading, StatisticSpec, "statistics", scope):
        if log is not None:
            reading.column(f"{path}.by", statistic.by, log.columns)
            if statistic.by in log.outcomes:
                rule = "is an outcome, not known yet; take another column."
                reading.problems.add(f"{path}.by", rule, statistic.by)
            _check_day(reading, path, log)
        _check_measure(reading, path, statistic, rows)
        scope.add(statistic.name, _measure_type(statistic))
        statistics.append(statistic)
    return tuple(statistics)


def _check_day(reading: Reading, path: str, log: LogSpec) -> None:
    """Checks that it is known in time on which day an impression's outcome was."""
    watched = log.time.watched
    if watched is not None and watched.column not in log.columns:
        rule = (
            "counts an impression on the day on which it ended, and that is known only "
            f"once {watched.column!r} has come from its side file. Remove it, or have "
            "the time watched in the log."
        )
        reading.problems.add(path, rule)


def _check_measure(
    reading: Reading, path: str, spec: CounterSpec | StatisticSpec, rows: Scope
) -> None:
    """Checks `value`, `prior` and `strength`, which a mean has a use for."""
    value = spec.value
    found = reading.number(f"{path}.value", value, rows) if value else None
    if spec.measure != "mean":
        for key in ("prior", "strength"):
            if getattr(spec, key):
                rule = f"has no use for measure {spec.measure}; remove it."
                reading.problems.add(f"{path}.{key}", rule, getattr(spec, key))
        return
    if not value or (found is not None and not names_of(value)):
        rule = "is required for measure mean; name what is averaged."
        reading.problems.add(f"{path}.value", rule, value)
    if spec.prior and not spec.strength:
        rule = "has no use with strength 0; say how many impressions it weighs."
        reading.problems.add(f"{path}.prior", rule, spec.prior)


def _measure_type(spec: CounterSpec | StatisticSpec) -> pl.DataType:
    return pl.Int64() if spec.measure == "count" else pl.Float64()


def _read_quantiles(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> tuple[QuantileSpec, ...]:
    rows = log_scope(log)
    quantiles = []
    for path, quantile in _named(reading, QuantileSpec, "quantiles", scope):
        reading.number(f"{path}.value", quantile.value, rows)
        if quantile.by:
            reading.number(f"{path}.by", quantile.by, rows)
        _check_bins(reading, path, quantile)
        scope.add(quantile.name, pl.Float64())
        quantiles.append(quantile)
    return tuple(quantiles)


def _check_bins(reading: Reading, path: str, quantile: QuantileSpec) -> None:
    reading.increasing(f"{path}.boundaries", quantile.boundaries)
    if quantile.boundaries and not quantile.by:
        rule = "is required with boundaries; name what they cut."
        reading.problems.add(f"{path}.by", rule)
    if quantile.by and not quantile.boundaries:
        rule = "are required with by; without both there is one group."
        reading.problems.add(f"{path}.boundaries", rule)
    if quantile.step <= 0:
        return  # told already
    groups = len(quantile.boundaries) + 1
    if quantile.max <= quantile.step:
        rule = f"must be above step, {quantile.step:g}."
        reading.problems.add(f"{path}.max", rule, quantile.max)
    elif quantile.max / quantile.step > _MOST_BINS:
        rule = f"makes more than {_MOST_BINS:,} bins of max; take a larger one."
        reading.problems.add(f"{path}.step", rule, quantile.step)
    elif quantile.max / quantile.step * groups > _MOST_GROUPED_BINS:
        rule = (
            f"cut {groups:,} groups, each with its own bins (max / step): more than "
            f"{_MOST_GROUPED_BINS:,} in all. Take fewer, or a larger step."
        )
        reading.problems.add(f"{path}.boundaries", rule)


def _named(
    reading: Reading, cls: type[_Column], key: str, scope: Scope
) -> Iterator[tuple[str, _Column]]:
    """Key path and entry of each column of a section, its name checked.

    The caller adds the column to `scope` before it asks for the next entry.
    """
    entries = reading.entries(cls, key)
    whole = {entry.name for _, entry in entries}
    for path, entry in entries:
        _check_name(reading, f"{path}.name", entry.name, scope)
        yield path, entry
    scope.broken.update(set(reading.entry_names(key)) - whole - set(scope.types))


# --- derived --------------------------------------------------------------------------


def _read_derived(reading: Reading, scope: Scope) -> dict[str, str]:
    """Every derived column whose SQL can be parsed."""
    raw = reading.raw.get("derived", {})
    if not isinstance(raw, dict):
        reading.problems.add("derived", "must be a mapping.", raw)
        return {}
    texts = {
        str(name): build(str, value, f"derived.{name}", reading.problems)
        for name, value in raw.items()
    }
    derived, later = {}, set(texts) - set(scope.types)
    for name, text in texts.items():
        _check_name(reading, f"derived.{name}", name, scope)
        found = None
        if text is not None:
            found = _derived_type(reading, f"derived.{name}", text, scope, later)
        if text is not None and (found is not None or names_of(text)):
            derived[name] = text
        scope.add(name, found)
        later.discard(name)
    return derived


def _derived_type(
    reading: Reading, path: str, text: str, scope: Scope, later: set[str]
) -> pl.DataType | None:
    waiting = reads(text, later)
    if waiting:
        rule = f"reads {waiting}, but only derived columns above it are there yet."
        reading.problems.add(path, rule, text)
        return None
    rule = "must be a number, true/false or text, or a list of these."
    return reading.typed(path, text, scope, _is_value, rule)


def _is_value(found: pl.DataType) -> bool:
    return example_type(element_type(found)) is not None


def _check_name(reading: Reading, path: str, name: str, scope: Scope) -> None:
    """Checks the name of a new column."""
    reading.free_name(path, name)
    reading.unique(path, name, {*scope.types, *scope.broken, *TRAIL_COLUMNS})
