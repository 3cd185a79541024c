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
from feature_specs.spec import Duration, LogSpec, TimeSpec

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
    if bool(time.column) == bool(time.expr):
        rule = "must have either column or expr, which say when an impression began."
        reading.problems.add("log.time", rule)
    _check_roles(reading, log)
    _check_begin(reading, log)
    _check_zone_column(reading, log)
    for key in ("watched", "length"):
        _check_duration(reading, log, key)
    watched = time.watched
    is_log = watched is not None and watched.column in log.columns
    if watched and is_log and watched.column not in log.outcomes:
        rule = (
            f"must name {watched.column!r} too: it is log.time.{_key(time, 'watched')}."
        )
        reading.problems.add("log.outcomes", rule, list(log.outcomes))


def _check_roles(reading: Reading, log: LogSpec) -> None:
    """Checks that each role has a column of its own, with values in all rows."""
    named = {"user": log.user, "item": log.item}
    if log.time.column:
        named["time.column"] = log.time.column
    durations = {
        f"time.{_key(log.time, key)}": found.column
        for key, found in (("watched", log.time.watched), ("length", log.time.length))
        if found is not None
    }
    roles: dict[str, str] = {}
    for key, column in (named | durations).items():
        if roles.setdefault(column, key) != key:
            rule = f"is log.{roles[column]} already; name another column."
            reading.problems.add(f"log.{key}", rule, column)
        known = joined_columns(log) if key in durations else log.columns
        reading.column(f"log.{key}", column, known)
    for key, column in named.items():
        if log.columns.get(column, "").endswith("?"):
            rule = f"may not be empty in any row, as log.{key}; drop the ? of its type."
            reading.problems.add(f"log.columns.{column}", rule)


def _key(time: TimeSpec, key: str) -> str:
    """`watched_ms` or `watched_s`, whichever is written."""
    return f"{key}_ms" if getattr(time, f"{key}_ms") is not None else f"{key}_s"


def _check_begin(reading: Reading, log: LogSpec) -> None:
    """Checks that the begin's values fit its unit."""
    time = log.time
    if time.expr:
        _check_time_expr(reading, log)
        return
    kind = parse_type(log.columns.get(time.column, ""))
    if kind is None:
        return  # told already
    path = f"log.columns.{time.column}"
    if not kind.is_time:
        rule = "must be a number, a timestamp or a string: it is log.time.column."
        reading.problems.add(path, rule, kind.name)
    elif kind.is_text and time.unit != "iso":
        rule = "must be a number: it is log.time.column. Or say unit: iso."
        reading.problems.add(path, rule, kind.name)
    elif time.unit == "iso" and not kind.is_text and not kind.has_clock:
        rule = "must be string or timestamp: log.time.unit is iso."
        reading.problems.add(path, rule, kind.name)


def _check_time_expr(reading: Reading, log: LogSpec) -> None:
    time = log.time

    def fits(found: pl.DataType) -> bool:
        if found == pl.String:
            return time.unit == "iso"
        is_number = found.is_numeric() and time.unit != "iso"
        return is_number or isinstance(found, pl.Datetime)

    rule = (
        "must give a number in log.time.unit, a timestamp, or with unit: iso a text; "
        "CAST(... AS TIMESTAMP) makes a timestamp."
    )
    reading.typed("log.time.expr", time.expr, log_scope(log), fits, rule)
    leaks = reads(time.expr, log.outcomes)
    if leaks:
        rule = f"reads {leaks}, an outcome: when an impression began is known before."
        reading.problems.add("log.time.expr", rule, time.expr)


def _check_zone_column(reading: Reading, log: LogSpec) -> None:
    time = log.time
    if not time.zone_column:
        return
    path = "log.time.zone_column"
    reading.column(path, time.zone_column, log.columns)
    zone = parse_type(log.columns.get(time.zone_column, ""))
    if zone and not zone.is_text:
        rule = "must be a string: names such as Asia/Shanghai."
        reading.problems.add(path, rule, zone.name)
    if "timezone" in reading.raw["log"]["time"]:
        rule = "says whose clock showed the times; remove log.time.timezone, or it."
        reading.problems.add(path, rule, time.zone_column)
    kind = parse_type(log.columns.get(time.column, ""))
    if kind and not kind.is_text and not kind.has_clock:
        rule = "has no use for numbers since the epoch, which have no zone; remove it."
        reading.problems.add(path, rule, time.zone_column)


def _check_duration(reading: Reading, log: LogSpec, key: str) -> None:
    """Checks the column of `watched_ms` or `watched_s`, `length_ms` or `length_s`."""
    time = log.time
    if all(getattr(time, f"{key}_{unit}") is not None for unit in ("ms", "s")):
        rule = f"is log.time.{key}_ms already; keep the one that the column is in."
        reading.problems.add(f"log.time.{key}_s", rule)
    duration: Duration | None = getattr(time, key)
    column = duration.column if duration else ""
    kind = parse_type(joined_columns(log).get(column, ""))
    if kind and not kind.is_duration:
        rule = f"must be a number: it is log.time.{_key(time, key)}."
        reading.problems.add(f"log.columns.{column}", rule, kind.name)


def _check_joins(reading: Reading, log: LogSpec) -> None:
    seen = set(log.columns)
    for name, join in log.joins.items():
        path = f"log.joins.{name}"
        reading.foreign_name(path, name)
        reading.column(f"{path}.key", join.key, log.columns)
        reading.column(f"{path}.key", join.key, join.columns)
        _check_key(reading, f"{path}.key", join.key, log.columns)
        types = [parse_type(c.get(join.key, "")) for c in (log.columns, join.columns)]
        found = [kind for kind in types if kind is not None]
        if len({str(kind.polars) for kind in found}) > 1:
            names = [kind.name for kind in found]
            rule = f"must have one type in the log and the side file, not {names}."
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


def check_format(reading: Reading, path: str, form: str, log: LogSpec) -> None:
    """Files beside a data set of TFDS say what they are."""
    if log.format == "tfds" and not form:
        rule = "is required where the log's is tfds; say how these files are."
        reading.problems.add(f"{path}.format", rule)


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
    _check_headers(reading, log)
    if log.separator != "," and "csv" not in formats:
        rule = f"belongs to csv, not to {log.format}; remove it."
        reading.problems.add("log.separator", rule, log.separator)


def _check_headers(reading: Reading, log: LogSpec) -> None:
    """Checks the names of columns where files have no line that names them."""
    sources = {"log": (log.header, log.format, log.columns)} | {
        f"log.joins.{name}": (join.header, join.format or log.format, join.columns)
        for name, join in log.joins.items()
    }
    for path, (header, form, columns) in sources.items():
        if header and form != "csv":
            rule = f"is for csv without a line of names, not for {form}; remove it."
            reading.problems.add(f"{path}.header", rule)
            continue
        seen: set[str] = set()
        for index, name in enumerate(header):
            reading.foreign_name(f"{path}.header[{index}]", name)
            if name in seen:
                rule = "is named twice; name it once."
                reading.problems.add(f"{path}.header[{index}]", rule, name)
            seen.add(name)
        for column in columns if header else ():
            reading.column(f"{path}.columns.{column}", column, header)


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
