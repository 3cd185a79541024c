"""Which files a pattern of the spec names: globs, days in paths, where the logs lie.

A pattern may hold days: `dt={day:%Y-%m-%d}/log_*.csv`, or `{day}` for YYYYMMDD. Only
the files of the days asked for are read: where files are named by the days of another
zone (`log.folder_timezone`), all that hold a part of those days.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence

from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec
from pipeline.examples import file_systems
from pipeline.examples.days import DayRange
from pipeline.examples.errors import LogsError, NoLogsError
from pipeline.examples.reading.day_stretches import show
from pipeline.examples.reading.sources import LOG, Source

_PLACEHOLDER = re.compile(r"\{day(?::([^{}]*))?\}")
_DIGITS = {"%Y": 4, "%m": 2, "%d": 2}
_MOST_SHOWN = 20
# Where a data set's files lie in the directory that it unpacks to, or in its parent.
_NESTED = (("data",), ("*/data", "*"))


def match_files(
    source: Source,
    logs_dir: str,
    days: DayRange | None = None,
    context: int | None = None,
    after: int = 0,
) -> list[FileMetadata]:
    """The files of a source in the order of their paths.

    Args:
        source: Whose pattern is matched.
        logs_dir: What the pattern is relative to.
        days: Where the pattern holds days, the files with these are required and those
            of later ones left out; None takes all.
        context: How many days before `days` are taken too, if they have files; None
            for all.
        after: How many days after `days` are taken too, if they have files.

    Raises:
        FileNotFoundError: Nothing matches, or a required day has no file.
        ValueError: The pattern's days cannot be read, or a path's day is none.
    """
    found = file_systems.match(logs_dir, _as_glob(source.pattern))
    if not found:
        raise NoLogsError(_no_match(source, logs_dir))
    if days is None or not has_days(source):
        return found
    by_path = {file.path: day_of(file.path, source) for file in found}
    needed = source.folders(days)
    missing = sorted(set(needed) - set(by_path.values()))
    if missing:
        raise NoLogsError(
            _missing_days(source, logs_dir, days, missing, by_path.values())
        )
    first = datetime.date.min
    if context is not None:
        earliest = days.first - datetime.timedelta(days=context)
        first = source.folders(DayRange(earliest, days.last)).first
    latest = days.last + datetime.timedelta(days=after)
    last = source.folders(DayRange(days.first, latest)).last
    return [file for file in found if first <= by_path[file.path] <= last]


def has_days(source: Source) -> bool:
    """Whether the paths of a source say which day a file is of."""
    return _PLACEHOLDER.search(source.pattern) is not None


def day_of(path: str, source: Source) -> datetime.date:
    """The day in a path of a source; ValueError if it is none of the calendar."""
    parts = [part for part in _parts(source.pattern) if part in _DIGITS]
    match = re.search(_as_regex(source.pattern), path)
    numbers = map(int, match.groups()) if match else ()
    found = dict(zip(parts, numbers, strict=False))
    try:
        return datetime.date(found["%Y"], found["%m"], found["%d"])
    except (KeyError, ValueError):
        raise LogsError(
            f"{path} matches {source.pattern}, but holds no day of the calendar. "
            f"Rename the file, or change {source.key}.files of the spec."
        ) from None


def find_logs(spec: Spec, logs_dir: str) -> str:
    """The directory that holds the spec's logs: `logs_dir`, or one inside it.

    Data sets unpack to a directory with the files in `data/`; either may be named, or
    the directory that they were unpacked in.

    Raises:
        FileNotFoundError: No log is there; the message lists what is.
        ValueError: Several directories hold logs; the message names them.
    """
    log = spec.log
    source = Source(LOG, log.files, log.columns, tfds=log.tfds)
    pattern = _as_glob(source.pattern)
    if file_systems.match(logs_dir, pattern):
        return logs_dir
    depth = pattern.count("/") + 1
    for places in _NESTED:
        files = [
            file
            for place in places
            for file in file_systems.match(logs_dir, place, pattern)
        ]
        found = sorted({file.path.rsplit("/", depth)[0] for file in files})
        if len(found) > 1:
            raise LogsError(
                f"{logs_dir} holds several directories with logs: {_list(found)}. Give "
                "one of them."
            )
        if found:
            folder: str = found[0]
            return folder
    raise NoLogsError(_no_match(source, logs_dir))


def _parts(pattern: str) -> Iterator[str]:
    """A pattern cut into `%Y`, `%m`, `%d`, and globs between them."""
    for number, piece in enumerate(_PLACEHOLDER.split(pattern)):
        if number % 2:
            yield from re.split("(%[Ymd])", piece or "%Y%m%d")
        else:
            yield piece


def _as_glob(pattern: str) -> str:
    return "".join("[0-9]" * _DIGITS.get(part, 0) or part for part in _parts(pattern))


def _as_regex(pattern: str) -> str:
    """The end of every path that a pattern matches, a group for each part of a day."""
    marks = {directive: chr(number) for number, directive in enumerate(_DIGITS, 1)}
    marked = "".join(marks.get(part, part) for part in _parts(pattern))
    regex: str = FileSystem.translate_pattern(marked)
    for directive, mark in marks.items():
        regex = regex.replace(mark, rf"(\d{{{_DIGITS[directive]}}})")
    return regex


def _no_match(source: Source, logs_dir: str) -> str:
    pattern = FileSystems.join(logs_dir, source.pattern)
    deep = [
        file
        for glob in ("*", "*/*", "*/*/*")
        for file in file_systems.match(logs_dir, glob)
    ]
    paths = sorted({file.path.removeprefix(logs_dir).lstrip("/") for file in deep})
    names = [p for p in paths if not any(o.startswith(f"{p}/") for o in paths)]
    if names:
        what = f"It holds {_list(names)}."
    elif FileSystems.exists(logs_dir):
        what = f"{logs_dir} is empty, or no directory."
    else:
        what = f"{logs_dir} does not exist."
    if source.tfds:
        key = f"{source.key}.tfds of the spec"
        return f"No file matches {pattern} ({key}). {what} {source.tfds.advice}"
    return (
        f"No file matches {pattern} ({source.key}.files of the spec). {what} Give the "
        "directory with the logs, or change the pattern."
    )


def _missing_days(
    source: Source,
    logs_dir: str,
    days: DayRange,
    missing: Iterable[datetime.date],
    found: Iterable[datetime.date],
) -> str:
    pattern = FileSystems.join(logs_dir, source.pattern)
    why = ""
    if source.zone != source.folder_zone:
        why = (
            f" The days {days} of {source.zone} lie in the files of "
            f"{source.folders(days)}, days of {source.folder_zone} "
            f"({source.key}.folder_timezone)."
        )
    return (
        f"{pattern}: no file of the days {show(missing)}. There are files "
        f"of {show(found)}.{why} Ask for other --days, or bring the files."
    )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_SHOWN])
    more = len(names) - _MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
