"""Reads and checks the section `log`: files, columns, times, joins."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import zoneinfo
from typing import Any

import polars as pl

from feature_specs.column_types import TYPES_RULE, parse_type
from feature_specs.past import HISTORY, TRAIL_COLUMNS, TRAIL_LAST
from feature_specs.reading import Reading, Scope, reads
from feature_specs.request_section import check_request, write_out_request
from feature_specs.spec import LogSpec

EVENT_TIME = "event_time"  # when the impression began, in the log's time zone
_LONGEST_GLOB = 1_000
_TFDS_KEYS = (
    (
        "name",
        r"[a-z]\w*(/[\w.\-]+)?",
        "a data set's name as TFDS has it, with its config: movielens/100k-ratings",
    ),
    (
        "split",
        r"[\w\-]+(\+[\w\-]+)*",
        "the name of a split such as train, or several: train+test; no parts of one",
    ),
    ("version", r"(\d+\.\d+\.\d+)?", "a version such as 0.1.1"),
)
_DAY_FORMAT = re.compile(r"\{day(?::([^{}]*))?\}")


def read_log(reading: Reading) -> LogSpec | None:
    """The log's section, checked; None if it is missing or broken."""
    _refuse_on(reading)
    write_out_request(reading)
    log: LogSpec | None = reading.section(LogSpec, "log", required=True)
    if log is None:
        return None
    log = _with_files(reading, _with_zones(reading, log))
    _check_columns(reading, log)
    _check_time(reading, log)
    _check_joins(reading, log)
    _check_files(reading, log)
    _check_values(reading, log)
    _check_random(reading, log)
    _check_duplicates(reading, log)
    check_request(reading, log, joined_columns(log))
    return log


def _refuse_on(reading: Reading) -> None:
    """Tells what became of `on`, and goes on with the key that it means."""
    log = reading.raw.get("log")
    joins = log.get("joins") if isinstance(log, dict) else None
    if not isinstance(log, dict) or not isinstance(joins, dict):
        return
    renamed = {name: _renamed(reading, name, join) for name, join in joins.items()}
    reading.raw = {**reading.raw, "log": {**log, "joins": renamed}}


def _renamed(reading: Reading, name: Any, join: Any) -> Any:
    """A raw join with `key` for its `on`."""
    if not isinstance(join, dict) or "on" not in join:
        return join
    rule = "is called `key`: programs that read YAML 1.1 take `on` for true."
    reading.problems.add(f"log.joins.{name}.on", rule, join["on"])
    return {"key": join["on"]} | {k: v for k, v in join.items() if k != "on"}


def _with_zones(reading: Reading, log: LogSpec) -> LogSpec:
    """The zones that follow from others: of wall clocks if the log's is written."""
    time = log.time
    if not time.timezone and "timezone" in reading.raw["log"]:
        time = dataclasses.replace(time, timezone=log.timezone)
    folders = log.folder_timezone or log.timezone
    return dataclasses.replace(log, time=time, folder_timezone=folders)


def _with_files(reading: Reading, log: LogSpec) -> LogSpec:
    """The files that follow from `tfds`, which is checked."""
    tfds, problems = log.tfds, reading.problems
    if tfds is None:
        if log.format == "tfds":
            rule = (
                "is required with format: tfds, such as {name: movielens/100k-ratings, "
                "split: train}."
            )
            problems.add("log.tfds", rule)
        elif not log.files:
            problems.add("log.files", "is required; add it.")
        return log
    if log.format != "tfds":
        problems.add("log.tfds", f"has no use with format: {log.format}; remove one.")
    if log.files:
        rule = "follows from log.tfds; remove it."
        problems.add("log.files", rule, log.files)
    for key, pattern, told in _TFDS_KEYS:
        value = getattr(tfds, key)
        if not re.fullmatch(pattern, value):
            problems.add(f"log.tfds.{key}", f"must be {told}.", value)
    for name, join in log.joins.items():
        if not join.format:
            rule = "is required where the log's is tfds; say how this side file is."
            problems.add(f"log.joins.{name}.format", rule)
    return dataclasses.replace(log, files=tfds.files)


def joined_columns(log: LogSpec) -> dict[str, str]:
    """Every column of the log and its joins -> declared type."""
    columns = dict(log.columns)
    for join in log.joins.values():
        for column, declared in join.columns.items():
            columns.setdefault(column, declared)
    return columns


def log_scope(log: LogSpec | None) -> Scope:
    """The log's own columns."""
    return _scope(log, log.columns if log else None, "the log")


def row_scope(log: LogSpec | None) -> Scope:
    """The log's and the joins' columns and `event_time`."""
    columns = joined_columns(log) if log else None
    scope = _scope(log, columns, "the log or its joins")
    if log is not None:
        scope.add(EVENT_TIME, pl.Datetime("ms", zone_of(log)))
    return scope


def files_scope(log: LogSpec, columns: dict[str, str], what: str) -> Scope:
    """The columns of other files, whose times are shown in the log's zone."""
    return _scope(log, columns, what)


def _scope(log: LogSpec | None, columns: dict[str, str] | None, what: str) -> Scope:
    scope = Scope(what, unknown=log is None)
    for column, declared in (columns or {}).items():
        found = parse_type(declared)
        dtype = found and log and found.in_zones(zone_of(log), "").polars
        scope.add(column, dtype or None)
    return scope


def zone_of(log: LogSpec) -> str:
    """The zone in which rows show their times; one that is told if there is none."""
    return log.timezone if is_zone(log.timezone) else "UTC"


def _check_columns(reading: Reading, log: LogSpec) -> None:
    joins = [(f"log.joins.{n}.columns", j.columns) for n, j in log.joins.items()]
    spelt: dict[str, str] = {}
    for path, columns in [("log.columns", log.columns), *joins]:
        for column, declared in columns.items():
            _check_column_name(reading, f"{path}.{column}", column)
            twin = spelt.setdefault(_folded(column), column)
            if twin != column:
                rule = f"is {twin!r} but for its spelling; rename one, or leave it out."
                reading.problems.add(f"{path}.{column}", rule)
            if parse_type(declared) is None:
                reading.problems.add(f"{path}.{column}", TYPES_RULE, declared)
    for index, column in enumerate(log.outcomes):
        reading.column(f"log.outcomes[{index}]", column, log.columns)
        found = parse_type(log.columns.get(column, ""))
        if found and not found.has_order:
            rule = "must be one value: of several rows the largest counts."
            reading.problems.add(f"log.outcomes[{index}]", rule, found.name)
    for role in ("user", "item"):
        _check_key(reading, f"log.{role}", getattr(log, role), log.columns)


def _check_key(
    reading: Reading, path: str, column: str, columns: dict[str, str]
) -> None:
    """Checks that a column can identify something."""
    found = parse_type(columns.get(column, ""))
    if found and not found.is_key:
        rule = "must be whole numbers or text, to tell one from another."
        reading.problems.add(path, rule, found.name)


def _folded(name: str) -> str:
    """What names have in common that people, or some file formats, take for one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _check_column_name(reading: Reading, path: str, column: str) -> None:
    reading.foreign_name(path, column)
    made = column in (EVENT_TIME, *TRAIL_COLUMNS)
    if made or column.startswith(("_", HISTORY, TRAIL_LAST)):
        rule = (
            f"may not be called {EVENT_TIME}, {', '.join(TRAIL_COLUMNS)}, nor begin "
            f"with _, {HISTORY} or {TRAIL_LAST}: such columns are made here. Rename "
            "it in the files, or leave it out."
        )
        reading.problems.add(path, rule)


def _check_time(reading: Reading, log: LogSpec) -> None:
    time = log.time
    durations = {
        f"time.{key}": column
        for key, column in (
            ("watched_ms", time.watched_ms),
            ("length_ms", time.length_ms),
        )
        if column is not None
    }
    named = {"user": log.user, "item": log.item, "time.column": time.column}
    roles: dict[str, str] = {}
    for key, column in (named | durations).items():
        if roles.setdefault(column, key) != key:
            rule = f"is log.{roles[column]} already; name another column."
            reading.problems.add(f"log.{key}", rule, column)
        reading.column(f"log.{key}", column, log.columns)
        if log.columns.get(column, "").endswith("?"):
            rule = f"may not be empty in any row, as log.{key}; drop the ? of its type."
            reading.problems.add(f"log.columns.{column}", rule)
    is_text = _declared(log, time.column) == "string"
    if is_text and time.unit != "iso":
        rule = "must be a number: it is log.time.column. Or say unit: iso."
        reading.problems.add(f"log.columns.{time.column}", rule, "string")
    if time.unit == "iso" and not is_text and time.column in log.columns:
        rule = "must be string: log.time.unit is iso."
        got = _declared(log, time.column)
        reading.problems.add(f"log.columns.{time.column}", rule, got)
    for key, column in durations.items():
        if _declared(log, column) in ("float64", "string"):
            rule = f"must be int64: log.{key} counts whole milliseconds."
            got = _declared(log, column)
            reading.problems.add(f"log.columns.{column}", rule, got)
    if time.watched_ms and time.watched_ms not in log.outcomes:
        rule = f"must name {time.watched_ms!r} too: it is log.time.watched_ms."
        reading.problems.add("log.outcomes", rule, list(log.outcomes))


def _declared(log: LogSpec, column: str) -> str:
    return log.columns.get(column, "").removesuffix("?")


def _check_joins(reading: Reading, log: LogSpec) -> None:
    seen = set(log.columns)
    for name, join in log.joins.items():
        path = f"log.joins.{name}"
        reading.foreign_name(path, name)
        reading.column(f"{path}.key", join.key, log.columns)
        reading.column(f"{path}.key", join.key, join.columns)
        _check_key(reading, f"{path}.key", join.key, log.columns)
        types = [c.get(join.key, "").rstrip("?") for c in (log.columns, join.columns)]
        if all(types) and types[0] != types[1]:
            rule = f"must have one type in the log and the side file, not {types}."
            reading.problems.add(f"{path}.columns.{join.key}", rule)
        for column in join.columns:
            if column != join.key and column in seen:
                rule = "is a column already; name it once."
                reading.problems.add(f"{path}.columns.{column}", rule)
            seen.add(column)


def _check_inside(reading: Reading, path: str, files: str) -> None:
    """Checks that a glob stays below the logs: a spec may come from anyone."""
    outside = files.startswith(("/", "~")) or ".." in files.split("/")
    if outside or "://" in files or "\\" in files:
        rule = (
            "must stay inside the log directory: a glob below it, without .., ~, \\ or "
            "a / at its beginning. Give the directory by --logs, or a link in it."
        )
        reading.problems.add(path, rule, files)
    if not files.strip() or not files.isprintable() or len(files) > _LONGEST_GLOB:
        rule = f"must be from 1 to {_LONGEST_GLOB:,} characters, none of them unseen."
        reading.problems.add(path, rule, files)


def check_files(reading: Reading, path: str, files: str) -> None:
    """Checks a glob that may hold a day."""
    _check_inside(reading, path, files)
    days = list(_DAY_FORMAT.finditer(files))
    if len(days) > 1:
        reading.problems.add(path, "may hold {day} once only.", files)
    if set("{}") & set(_DAY_FORMAT.sub("", files)):
        rule = "may hold {day} or {day:%Y-%m-%d}, and no other braces."
        reading.problems.add(path, rule, files)
    for day in days:
        if day.group(1) is not None and not _is_day_format(day.group(1)):
            rule = "must write a day with %Y, %m and %d, each once: {day:%Y-%m-%d}."
            reading.problems.add(path, rule, files)


def has_day(files: str) -> bool:
    """Whether a glob names the day of each of its files."""
    return _DAY_FORMAT.search(files) is not None


def _check_files(reading: Reading, log: LogSpec) -> None:
    check_files(reading, "log.files", log.files)
    for name, join in log.joins.items():
        _check_inside(reading, f"log.joins.{name}.files", join.files)
        if "{" in join.files:
            rule = "may hold no {...}: only log.files has one file a day."
            reading.problems.add(f"log.joins.{name}.files", rule, join.files)


def _is_day_format(text: str) -> bool:
    """Whether year, month and day, and they alone, are in a strftime format."""
    directives = re.findall(r"%(.|$)", text)
    return sorted(directives) == ["Y", "d", "m"] and not set("*?[]") & set(text)


def _check_values(reading: Reading, log: LogSpec) -> None:
    raw = reading.raw["log"]
    zones = {"timezone": log.timezone}
    if "folder_timezone" in raw:
        zones["folder_timezone"] = log.folder_timezone
    if "timezone" in raw["time"]:
        zones["time.timezone"] = log.time.timezone
    for key, zone in zones.items():
        if not is_zone(zone):
            rule = "must be an IANA time zone such as Asia/Shanghai."
            reading.problems.add(f"log.{key}", rule, zone)
    if "folder_timezone" in raw and not has_day(log.files):
        rule = "is of the days in log.files, which has no {day}; remove it."
        reading.problems.add("log.folder_timezone", rule, log.folder_timezone)
    formats = {log.format, *(join.format or log.format for join in log.joins.values())}
    if log.separator in ("\n", "\r", '"') or not log.separator.isascii():
        rule = "must be an ASCII character, no line break and no quotation mark."
        reading.problems.add("log.separator", rule, log.separator)
    if log.separator != "," and "csv" not in formats:
        rule = f"belongs to csv, not to {log.format}; remove it."
        reading.problems.add("log.separator", rule, log.separator)


def _check_random(reading: Reading, log: LogSpec) -> None:
    if not log.random:
        return
    reading.condition("log.random", log.random, log_scope(log))
    leaks = reads(log.random, log.outcomes)
    if leaks:
        rule = (
            f"reads {leaks}, an outcome (log.outcomes): whether a row was drawn at "
            "random is known before it is shown. Name a column that says so."
        )
        reading.problems.add("log.random", rule, log.random)


def _check_duplicates(reading: Reading, log: LogSpec) -> None:
    rule = log.duplicates
    if rule is None:
        return
    if rule.by:
        reading.column("log.duplicates.by", rule.by, log.columns)
    elif rule.keep == "last":
        told = "is required with keep: last; name the column that says which is last."
        reading.problems.add("log.duplicates.by", told)
    if rule.by in (log.user, log.item):
        told = "is the same in all rows of an impression; name another column."
        reading.problems.add("log.duplicates.by", told, rule.by)


def is_zone(name: str) -> bool:
    """Whether it is the name of a time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
        return False
    return True
