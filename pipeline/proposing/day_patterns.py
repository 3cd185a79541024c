"""Days in paths: `dt=2023-11-15/hour=05/part-0.parquet` -> a pattern with `{day:...}`.

A path says a day if exactly one date is in it: `log_20220408_to_20220421.csv` says two,
and so no day that its rows are of.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Sequence

# Forms of a date in a path, the most explicit first; each gives its `{day...}`.
_FORMS = (
    (
        re.compile(r"year=(\d{4})/month=(\d{2})/day=(\d{2})(?!\d)"),
        "year={{day:%Y/month=%m/day=%d}}",
    ),
    (re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)"), "{{day:%Y-%m-%d}}"),
    (re.compile(r"(?<!\d)(\d{4})/(\d{2})/(\d{2})(?!\d)"), "{{day:%Y/%m/%d}}"),
    (re.compile(r"(?<!\d)(\d{4})_(\d{2})_(\d{2})(?!\d)"), "{{day:%Y_%m_%d}}"),
    (re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)"), "{{day}}"),
)
_FIRST_YEAR, _LAST_YEAR = 1995, 2099


@dataclasses.dataclass(frozen=True)
class DatedPath:
    """A path below the logs, and the one day in it.

    Attributes:
        path: Relative, with `/`.
        day: None if the path names no day, or several.
        pattern: The path with `{day...}` in the place of the day.
    """

    path: str
    day: datetime.date | None
    pattern: str


def dated(path: str) -> DatedPath:
    """The day of a path, if it names one."""
    for form, written in _FORMS:
        found = [(match, _day(match)) for match in form.finditer(path)]
        days = [(match, day) for match, day in found if day is not None]
        if len(days) > 1:
            return DatedPath(path, None, path)
        if days:
            match, day = days[0]
            pattern = path[: match.start()] + written.format() + path[match.end() :]
            return DatedPath(path, day, pattern)
    return DatedPath(path, None, path)


def shape_of(pattern: str) -> str:
    """What paths of one kind have in common: every run of digits is `#`."""
    parts = re.split(r"(\{day[^{}]*\})", pattern)
    return "".join(
        part if part.startswith("{day") else re.sub(r"\d+", "#", part) for part in parts
    )


def common_pattern(patterns: Sequence[str]) -> str:
    """A glob for several patterns with equally many folders, `*` where they differ."""
    columns = zip(*(_folders(pattern) for pattern in patterns), strict=True)
    return "/".join(_common_part(sorted(set(parts))) for parts in columns)


def without_numbers(pattern: str) -> str:
    """A pattern of several files without the numbers that others to come will not have:
    `hour=17/part-00000.parquet` -> `hour=*/part-*.parquet`."""
    *folders, name = _folders(pattern)
    folders = [re.sub(r"^(hour|hr|h|minute)=\d+$", r"\1=*", part) for part in folders]
    if "{" not in name:
        name = re.sub(r"\d{3,}", "*", name)
    return "/".join([*folders, name])


def _day(match: re.Match[str]) -> datetime.date | None:
    year, month, day = map(int, match.groups())
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _folders(pattern: str) -> list[str]:
    """A pattern cut at `/`, but not inside `{day:%Y/%m/%d}`."""
    return re.findall(r"(?:\{[^{}]*\}|[^/{])+", pattern)


def _common_part(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    prefix = _prefix(parts)
    prefix = (
        prefix[: prefix.rfind("{")] if prefix.count("{") > prefix.count("}") else prefix
    )
    rest = [part[len(prefix) :] for part in parts]
    suffix = _prefix([part[::-1] for part in rest])[::-1]
    if suffix.count("}") > suffix.count("{"):
        suffix = suffix[suffix.find("}") + 1 :]
    # A digit at the edge of what differs belongs to it: part-0*1.csv is no pattern.
    prefix, suffix = prefix.rstrip("0123456789"), suffix.lstrip("0123456789")
    if "." in suffix:  # of a name only its end is sure to be of all files to come
        suffix = suffix[suffix.index(".") :]
    return f"{prefix}*{suffix}"


def _prefix(texts: Sequence[str]) -> str:
    """The beginning that texts have in common."""
    first, last = min(texts), max(texts)
    same = (a == b for a, b in zip(first, last, strict=False))
    length = next((place for place, one in enumerate(same) if not one), len(first))
    return first[: min(length, len(last))]
