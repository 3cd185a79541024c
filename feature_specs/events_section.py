"""Reads and checks the section `events`: files, keys, times, windows, aggregates."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from feature_specs import aggregates, durations
from feature_specs.build import build
from feature_specs.column_types import TYPES_RULE, parse_type
from feature_specs.events import SINCE, EventsSpec
from feature_specs.log_section import (
    check_files,
    check_format,
    has_day,
    joined_columns,
    row_scope,
    zone_of,
)
from feature_specs.moments_section import (
    check_moment,
    check_zone,
    with_time,
    with_zone,
)
from feature_specs.past import TRAIL_COLUMNS
from feature_specs.reading import Reading, Scope, example_type
from feature_specs.spec import LogSpec

Types = dict[str, pl.DataType | None]


@dataclasses.dataclass(frozen=True)
class Events:
    """The section, and the columns that it makes.

    Attributes:
        entries: By name; broken ones are left out.
        types: Column -> type, None where its definition is wrong.
    """

    entries: dict[str, EventsSpec] = dataclasses.field(default_factory=dict)
    types: Types = dataclasses.field(default_factory=dict)

    def add_to(self, scope: Scope) -> Scope:
        """The scope, with the columns that are made of events."""
        for column, found in self.types.items():
            scope.add(column, found)
        return scope


def read_events(reading: Reading, log: LogSpec | None) -> Events:
    """The section, checked; `log` is None if its section is broken."""
    raw = reading.raw.get("events", {})
    if not isinstance(raw, dict):
        reading.problems.add("events", "must be a mapping of name to files.", raw)
        return Events()
    found = Events()
    for name, value in raw.items():
        path = f"events.{name}"
        reading.name(path, name)
        entry = build(EventsSpec, _plain(str(name), value), path, reading.problems)
        if entry is None:
            found.types.update(dict.fromkeys(_names_of(value)))
            continue
        if log is not None:
            entry = _with_zones(entry, log)
            _check_entry(reading, path, value, entry, log)
        _read_columns(reading, path, entry, log, found)
        found.entries[entry.name] = entry
    return found


def _plain(name: str, value: Any) -> Any:
    """A raw entry with its name, and with the long forms of `key` and `time`."""
    if not isinstance(value, dict):
        return value
    value = {"name": name, **value}
    if isinstance(value.get("key"), str):
        value["key"] = [value["key"]]
    return with_time(value)


def _names_of(value: Any) -> list[str]:
    """The columns that a broken entry would make."""
    columns = value.get("columns") if isinstance(value, dict) else None
    return [str(name) for name in columns] if isinstance(columns, dict) else []


def _with_zones(entry: EventsSpec, log: LogSpec) -> EventsSpec:
    """The zones that follow from the log's."""
    return dataclasses.replace(
        entry,
        time=with_zone(entry.time, log),
        folder_timezone=entry.folder_timezone or log.folder_timezone,
    )


def _check_entry(
    reading: Reading, path: str, raw: Any, entry: EventsSpec, log: LogSpec
) -> None:
    """What is said of the files, their columns and times."""
    check_files(reading, f"{path}.files", entry.files)
    check_format(reading, path, entry.format, log)
    if entry.source in log.joins:
        rule = f"is the name of a join, {entry.source!r}; rename one."
        reading.problems.add(path, rule)
    _check_types(reading, path, entry)
    _check_key(reading, path, entry, log)
    rows = _scope(entry, path, log)
    check_moment(reading, path, entry.time, entry.types, rows)
    _check_folders(reading, path, raw, entry)
    if entry.id:
        reading.column(f"{path}.id", entry.id, entry.types)
    try:
        durations.seconds_of(entry.window)
    except ValueError as error:
        reading.problems.add(f"{path}.window", str(error), entry.window)


def _check_types(reading: Reading, path: str, entry: EventsSpec) -> None:
    for column, declared in entry.types.items():
        where = f"{path}.types.{column}"
        reading.foreign_name(where, column)
        if column.startswith("_") or column == SINCE:
            rule = f"may not begin with _, nor be {SINCE}: these are made here."
            reading.problems.add(where, rule)
        if parse_type(declared) is None:
            reading.problems.add(where, TYPES_RULE, declared)


def _check_key(reading: Reading, path: str, entry: EventsSpec, log: LogSpec) -> None:
    """The key's columns are in both files, and of one type; so is the user."""
    if not entry.key:
        rule = "must name a column, such as the impression's id, or several."
        reading.problems.add(f"{path}.key", rule, list(entry.key))
    reading.columns(f"{path}.key", entry.key, entry.types)
    for column in entry.key:
        if column not in log.columns:
            reading.column(f"{path}.key", column, log.columns)
        if column in log.outcomes:
            rule = "is an outcome (log.outcomes); take a column known from the begin."
            reading.problems.add(f"{path}.key", rule, column)
        _check_same(reading, f"{path}.types.{column}", entry, column, log, column)
    if entry.user:
        reading.column(f"{path}.user", entry.user, entry.types)
        where = f"{path}.types.{entry.user}"
        _check_same(reading, where, entry, entry.user, log, log.user)


def _check_same(
    reading: Reading,
    path: str,
    entry: EventsSpec,
    column: str,
    log: LogSpec,
    of_log: str,
) -> None:
    """A column of the files that is compared with one of the log."""
    own = entry.types.get(column, "").removesuffix("?")
    others = log.columns.get(of_log, "").removesuffix("?")
    if own and others and own != others:
        rule = (
            f"must be of the type that {of_log!r} has in log.columns, {others}: both "
            "are compared."
        )
        reading.problems.add(path, rule, own)
        return
    found = parse_type(own)
    if found is not None and not found.is_key:
        rule = "must be whole numbers or text: it is a key, and compared."
        reading.problems.add(path, rule, own)


def _check_folders(reading: Reading, path: str, raw: Any, entry: EventsSpec) -> None:
    if "folder_timezone" not in raw:
        return
    where, zone = f"{path}.folder_timezone", entry.folder_timezone
    check_zone(reading, where, zone)
    if not has_day(entry.files):
        rule = "is of the days in files, which have no {day}; remove it."
        reading.problems.add(where, rule, zone)


def _scope(entry: EventsSpec, path: str, log: LogSpec | None) -> Scope:
    """The columns of the files."""
    scope = Scope(f"these events ({path}.types)", unknown=log is None)
    for column, declared in entry.types.items():
        found = parse_type(declared)
        dtype = found and log and found.in_zones(zone_of(log), "").polars
        scope.add(column, dtype or None)
    return scope


def _read_columns(
    reading: Reading,
    path: str,
    entry: EventsSpec,
    log: LogSpec | None,
    found: Events,
) -> None:
    """Adds the types of the aggregates to `found`."""
    if not entry.columns:
        reading.problems.add(f"{path}.columns", "must make one column at least.")
    scope = _scope(entry, path, log)
    scope.add(SINCE, pl.Float64())
    taken = {*row_scope(log).types, *joined_columns(log)} if log else set()
    for column, text in entry.columns.items():
        where = f"{path}.columns.{column}"
        reading.free_name(where, column)
        reading.unique(where, column, {*taken, *TRAIL_COLUMNS, *found.types})
        found.types[column] = _column_type(reading, where, text, scope)


def _column_type(
    reading: Reading, path: str, text: str, scope: Scope
) -> pl.DataType | None:
    """The type of an aggregate; None, and a noted problem, if it has none."""
    before = len(reading.problems.found)
    try:
        parts = aggregates.take_apart(text)
        for part in parts.parts:
            if part.where:
                reading.condition(path, part.where, scope)
        argument = {
            part.argument: reading.type_of(path, part.argument, scope)
            for part in parts.parts
            if part.argument
        }
        if scope.unknown or len(reading.problems.found) > before:
            return None
        found = aggregates.type_of(parts, lambda text: argument[text])
    except ValueError as error:
        reading.problems.add(path, f"{error}.", text)
        return None
    if found is not None and example_type(found) is None:
        rule = "must be a number, true/false or text."
        reading.problems.add(path, f"{rule} It is of type {found}.", text)
        return None
    return found
