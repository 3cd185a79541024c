"""Reads and checks `time` of logs that are not the impressions': events, histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import polars as pl

from feature_specs.column_types import parse_type
from feature_specs.log_section import is_zone
from feature_specs.moments import MomentSpec
from feature_specs.reading import Reading, Scope
from feature_specs.spec import LogSpec

_RULE = (
    "must give a number in its unit, a timestamp, or with unit: iso a text; "
    "CAST(... AS TIMESTAMP) makes a timestamp."
)


def with_time(value: Any) -> Any:
    """What the file has, with `time: ts` as `time: {column: ts}`."""
    if isinstance(value, dict) and isinstance(value.get("time"), str):
        return {**value, "time": {"column": value["time"]}}
    return value


def with_zone(time: MomentSpec, log: LogSpec) -> MomentSpec:
    """The wall clock's zone, which is the log's if it is not said."""
    return dataclasses.replace(time, timezone=time.timezone or log.time.timezone)


def check_moment(
    reading: Reading, path: str, time: MomentSpec, types: Mapping[str, str], rows: Scope
) -> None:
    """Notes what is wrong with `time`.

    Args:
        reading: Takes the mistakes.
        path: Of the section that has `time` and `types`.
        time: As the file has it.
        types: Column of the files -> declared type.
        rows: The same columns, for expressions.
    """
    if bool(time.column) == bool(time.expr):
        rule = "must have either column or expr, which say when it happened."
        reading.problems.add(f"{path}.time", rule)
    elif time.expr:
        fits = _is_text_moment if time.unit == "iso" else _is_moment
        reading.typed(f"{path}.time.expr", time.expr, rows, fits, _RULE)
    else:
        _check_column(reading, path, time, types)
    if time.zone_column:
        reading.column(f"{path}.time.zone_column", time.zone_column, types)
    elif time.timezone:
        check_zone(reading, f"{path}.time.timezone", time.timezone)


def _check_column(
    reading: Reading, path: str, time: MomentSpec, types: Mapping[str, str]
) -> None:
    reading.column(f"{path}.time.column", time.column, types)
    found = parse_type(types.get(time.column, ""))
    where = f"{path}.types.{time.column}"
    if found and found.optional:
        rule = "may not be empty in any row, as the time; drop the ? of its type."
        reading.problems.add(where, rule)
    if found is None or found.has_clock:
        return
    if not found.is_time or found.is_text != (time.unit == "iso"):
        rule = (
            "must be a timestamp, string with time.unit iso, or a number with any "
            "other."
        )
        reading.problems.add(where, rule, found.name)


def check_zone(reading: Reading, path: str, zone: str) -> None:
    """Notes that a zone is none."""
    if not is_zone(zone):
        rule = "must be an IANA time zone such as Asia/Shanghai."
        reading.problems.add(path, rule, zone)


def _is_moment(found: pl.DataType) -> bool:
    return found.is_numeric() or isinstance(found, pl.Datetime)


def _is_text_moment(found: pl.DataType) -> bool:
    return found == pl.String or isinstance(found, pl.Datetime)
