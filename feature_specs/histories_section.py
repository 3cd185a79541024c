"""Reads and checks the section `histories`: what other logs tell of users' pasts."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from feature_specs.build import build
from feature_specs.column_types import TYPES_RULE, ColumnType, parse_type
from feature_specs.log_section import (
    check_files,
    check_format,
    files_scope,
    has_day,
)
from feature_specs.moments_section import (
    check_moment,
    check_zone,
    with_time,
    with_zone,
)
from feature_specs.past import TRAIL_COLUMNS, history_column
from feature_specs.reading import Reading, Scope, element_type, example_type
from feature_specs.spec import LogHistorySpec, LogSpec

_FILES = "this history"  # of whom columns are, in messages
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
        history = build(LogHistorySpec, with_time(value), path, reading.problems)
        if history is None or log is None:
            scope.broken.update(_columns_of_broken(name, value))
            continue
        time = with_zone(history.time, log)
        history = dataclasses.replace(history, time=time)
        _check(reading, path, history, log)
        if f"histories.{name}" in log.joins:
            reading.problems.add(path, "is a join's name; rename one of them.")
        _add_columns(reading, path, name, history, log, scope)
        found[name] = history
    return found


def _columns_of_broken(name: str, value: Any) -> set[str]:
    """The columns that a history would give if it could be read."""
    columns = value.get("columns") if isinstance(value, dict) else None
    names = columns if isinstance(columns, dict) else ()
    return {history_column(name, str(column)) for column in names}


def _check(reading: Reading, path: str, history: LogHistorySpec, log: LogSpec) -> None:
    check_files(reading, f"{path}.files", history.files)
    check_format(reading, path, history.format, log)
    if history.folder_timezone:
        check_zone(reading, f"{path}.folder_timezone", history.folder_timezone)
        if not has_day(history.files):
            rule = "is of the days in files, which has no {day}; remove it."
            reading.problems.add(
                f"{path}.folder_timezone", rule, history.folder_timezone
            )
    for column, declared in history.types.items():
        _check_column(reading, f"{path}.types.{column}", column, declared)
    _check_user(reading, path, history, log)
    rows = files_scope(log, history.types, _FILES)
    check_moment(reading, path, history.time, history.types, rows)
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


def _is_value(found: pl.DataType) -> bool:
    return example_type(element_type(found)) is not None
