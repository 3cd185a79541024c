"""Reads and checks the section `histories`: what other logs tell of users' pasts."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from feature_specs.build import build
from feature_specs.column_types import TYPES_RULE, ColumnType, parse_type
from feature_specs.log_section import check_files, files_scope, has_day, is_zone
from feature_specs.past import TRAIL_COLUMNS, history_column
from feature_specs.reading import Reading, Scope, element_type, example_type
from feature_specs.spec import LogHistorySpec, LogSpec, TimeSpec

# The keys of `TimeSpec` that have a meaning for what happens at once.
_TIME_KEYS = ("column", "expr", "unit", "timezone", "zone_column")
_FILES = "this history"  # of whom columns are, in messages
_MOMENT_RULE = (
    "must give a number in time.unit, a timestamp, or with unit: iso a text; "
    "CAST(... AS TIMESTAMP) makes a timestamp."
)
_VALUE_RULE = "must be a number, true/false or text, or a list of these."


def read_histories(
    reading: Reading, log: LogSpec | None, scope: Scope
) -> dict[str, LogHistorySpec]:
    """The histories by name, checked; their columns are added to `scope`."""
    raw = reading.raw.get("histories", {})
    if not isinstance(raw, dict):
        reading.problems.add("histories", "must be a mapping of name to files.", raw)
        return {}
    found = {}
    for key, value in raw.items():
        name, path = str(key), f"histories.{key}"
        reading.name(path, key)
        history = build(LogHistorySpec, _with_time(value), path, reading.problems)
        if history is None or log is None:
            scope.broken.update(_columns_of_broken(name, value))
            continue
        history = _with_zone(history, log)
        _check(reading, path, history, log)
        if f"histories.{name}" in log.joins:
            reading.problems.add(path, "is a join's name; rename one of them.")
        _add_columns(reading, path, name, history, log, scope)
        found[name] = history
    return found


def _with_time(value: Any) -> Any:
    """What the file has, with `time: ts` as `time: {column: ts}`."""
    if isinstance(value, dict) and isinstance(value.get("time"), str):
        return {**value, "time": {"column": value["time"]}}
    return value


def _with_zone(history: LogHistorySpec, log: LogSpec) -> LogHistorySpec:
    """The wall clock's zone, which is the log's if it is not said."""
    zone = history.time.timezone or log.time.timezone
    time = dataclasses.replace(history.time, timezone=zone)
    return dataclasses.replace(history, time=time)


def _columns_of_broken(name: str, value: Any) -> set[str]:
    """The columns that a history would give if it could be read."""
    columns = value.get("columns") if isinstance(value, dict) else None
    names = columns if isinstance(columns, dict) else ()
    return {history_column(name, str(column)) for column in names}


def _check(reading: Reading, path: str, history: LogHistorySpec, log: LogSpec) -> None:
    check_files(reading, f"{path}.files", history.files)
    if history.folder_timezone:
        _check_zone(reading, f"{path}.folder_timezone", history.folder_timezone)
        if not has_day(history.files):
            rule = "is of the days in files, which has no {day}; remove it."
            reading.problems.add(
                f"{path}.folder_timezone", rule, history.folder_timezone
            )
    for column, declared in history.types.items():
        _check_column(reading, f"{path}.types.{column}", column, declared)
    _check_user(reading, path, history, log)
    rows = files_scope(log, history.types, _FILES)
    _check_time(reading, path, history, rows)
    _check_header(reading, path, history)
    reading.condition(f"{path}.where", history.where, rows)


def _check_column(reading: Reading, path: str, column: str, declared: str) -> None:
    reading.foreign_name(path, column)
    if column.startswith("_"):
        rule = "may not begin with _: such columns are made here. Leave it out."
        reading.problems.add(path, rule)
    if parse_type(declared) is None:
        reading.problems.add(path, TYPES_RULE, declared)


def _check_user(
    reading: Reading, path: str, history: LogHistorySpec, log: LogSpec
) -> None:
    """Users meet by their ids, so both logs must write them alike."""
    reading.column(f"{path}.user", history.user, history.types)
    own = _needed(reading, path, history, history.user, "the user")
    other = parse_type(log.columns.get(log.user, ""))
    if own and other and own.polars != other.polars:
        rule = f"must be {other.name}, as log.user {log.user!r} is."
        reading.problems.add(f"{path}.types.{history.user}", rule, own.name)


def _needed(
    reading: Reading, path: str, history: LogHistorySpec, column: str, role: str
) -> ColumnType | None:
    """The type of a column that every row must have; None if it is none."""
    found = parse_type(history.types.get(column, ""))
    if found and found.optional:
        rule = f"may not be empty in any row, as {role}; drop the ? of its type."
        reading.problems.add(f"{path}.types.{column}", rule)
    return found


def _check_time(
    reading: Reading, path: str, history: LogHistorySpec, rows: Scope
) -> None:
    time, path = history.time, f"{path}.time"
    if bool(time.column) == bool(time.expr):
        rule = "must have either column or expr, which say when it happened."
        reading.problems.add(path, rule)
    elif time.expr:
        fits = _is_text_moment if time.unit == "iso" else _is_moment
        reading.typed(f"{path}.expr", time.expr, rows, fits, _MOMENT_RULE)
    else:
        _check_time_column(reading, path, history)
    if time.zone_column:
        reading.column(f"{path}.zone_column", time.zone_column, history.types)
    elif time.timezone:
        _check_zone(reading, f"{path}.timezone", time.timezone)
    for field in dataclasses.fields(TimeSpec):
        value = getattr(time, field.name)
        if field.name not in _TIME_KEYS and value != field.default:
            rule = "has no use here: what it tells of happened at once. Remove it."
            reading.problems.add(f"{path}.{field.name}", rule, value)


def _check_time_column(reading: Reading, path: str, history: LogHistorySpec) -> None:
    time = history.time
    reading.column(f"{path}.column", time.column, history.types)
    path = path.removesuffix(".time")
    found = _needed(reading, path, history, time.column, "the time")
    if found is None or found.has_clock:
        return
    if not found.is_time or found.is_text != (time.unit == "iso"):
        rule = (
            "must be a timestamp, string with time.unit iso, or a number with any "
            "other."
        )
        reading.problems.add(f"{path}.types.{time.column}", rule, found.name)


def _check_header(reading: Reading, path: str, history: LogHistorySpec) -> None:
    """The names of the columns of files that do not have them."""
    seen: set[str] = set()
    for index, name in enumerate(history.header):
        reading.foreign_name(f"{path}.header[{index}]", name)
        if name in seen:
            rule = "is named twice; name it once."
            reading.problems.add(f"{path}.header[{index}]", rule, name)
        seen.add(name)
    for column in history.types if history.header else ():
        reading.column(f"{path}.types.{column}", column, history.header)


def _check_zone(reading: Reading, path: str, zone: str) -> None:
    if not is_zone(zone):
        rule = "must be an IANA time zone such as Asia/Shanghai."
        reading.problems.add(path, rule, zone)


def _add_columns(
    reading: Reading,
    path: str,
    name: str,
    history: LogHistorySpec,
    log: LogSpec,
    scope: Scope,
) -> None:
    if not history.columns:
        rule = "must name one column at least; without one nothing is read of it."
        reading.problems.add(f"{path}.columns", rule)
    rows = files_scope(log, history.types, _FILES)
    for column, text in history.columns.items():
        place = f"{path}.columns.{column}"
        reading.name(place, column)
        made = history_column(name, column)
        reading.unique(place, made, {*scope.types, *scope.broken, *TRAIL_COLUMNS})
        found = reading.typed(place, text, rows, _is_value, _VALUE_RULE)
        scope.add(made, None if found is None else pl.List(element_type(found)))


def _is_moment(found: pl.DataType) -> bool:
    return found.is_numeric() or isinstance(found, pl.Datetime)


def _is_text_moment(found: pl.DataType) -> bool:
    return found == pl.String or isinstance(found, pl.Datetime)


def _is_value(found: pl.DataType) -> bool:
    return example_type(element_type(found)) is not None
