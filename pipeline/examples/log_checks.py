"""Whether what was read of a log may be used: rejects, and the days of files."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.examples.days import DayRange
from pipeline.examples.errors import ExamplesError, RefusedError

_COMMON_REASONS = 5
_MOST_SHOWN = 5
# Bad rows of one day or file that are left to the share of the whole log: of many
# files, some hold several by chance.
_FEW = 9
_MOST_MISPLACED = 0.01  # late rows, of the minutes around midnight


class _Part(NamedTuple):
    """Some rows that may be unreadable.

    Attributes:
        name: For a message.
        rejected: The unreadable ones.
        rows: All.
        reasons: Reason -> unreadable rows.
    """

    name: str
    rejected: int
    rows: int
    reasons: Mapping[str, int]

    @property
    def share(self) -> float:
        """Unreadable rows, as a share of all."""
        return self.rejected / self.rows if self.rows else 0.0


def check_rejects(report: Mapping[str, Any], limit: float, rejects_dir: str) -> None:
    """Whether few enough rows are unreadable: in all, on each day and in each file.

    Up to nine rows of a day are let pass, and of a file with more readable rows. A day
    without any readable row is found by what else is checked.

    Args:
        report: Of the run.
        limit: Most unreadable rows, as a share.
        rejects_dir: Where they are, for the message.

    Raises:
        RefusedError: There are more; the message names the days or files.
    """
    for part in _wholes(report):
        if part.share > limit:
            raise RefusedError(_message([part], limit, report, rejects_dir))
    bad = [
        *(day for day in _days(report) if day.rejected > _FEW),
        *(file for file in _files(report) if _is_telling(file)),
    ]
    bad = [part for part in bad if part.share > limit]
    if bad:
        raise RefusedError(_message(bad, limit, report, rejects_dir))


def check_folders(folders: Mapping[str, Mapping[str, int]], key: str) -> None:
    """Whether rows lie on the day that their file is named by.

    Args:
        folders: See `log_counts.report_folders`.
        key: Where the spec names the files.

    Raises:
        ExamplesError: Many do not: a run of some days misses rows of them.
    """
    sums: collections.Counter[str] = collections.Counter()
    for counts in folders.values():
        sums.update(counts)
    strays = sums["early"] + sums["late"]
    if not strays or strays <= _MOST_MISPLACED * sums["rows"]:
        return
    shown = ", ".join(
        f"{day} ({counts.get('early', 0)} earlier, {counts.get('late', 0)} later, of "
        f"{counts['rows']})"
        for day, counts in list(folders.items())[:_MOST_SHOWN]
    )
    is_utc = sums["not UTC"] <= _MOST_MISPLACED * sums["rows"]
    fits = " They are days of UTC: set it to UTC." if is_utc else ""
    raise ExamplesError(
        f"{strays / sums['rows']:.2%} of the rows lie on another day than their file "
        f"is named by: {shown}. So rows of the first or the last day may lie in files "
        "that were not read. Name the time zone of these days in "
        f"{key}.folder_timezone of the spec.{fits} Where files are named by the day "
        f"that rows arrived, write * for {{day}} in {key}.files: then all are read."
    )


def check_missing(report: Mapping[str, Any]) -> None:
    """Whether each column has a value somewhere, unless its type has a `?`.

    Raises:
        ExamplesError: One has none: as a rule it is called otherwise in the files.
    """
    empty = [
        column
        for column, found in report.get("missing_values", {}).items()
        if found["share"] == 1 and not found["expected"]
    ]
    if empty:
        raise ExamplesError(
            f"No row has a value of {', '.join(sorted(empty))}. Are they called so in "
            "the files? Write their names in the spec as the files have them, or a ? "
            "at the end of their types if they may be missing in all rows."
        )


def _wholes(report: Mapping[str, Any]) -> Iterator[_Part]:
    reasons: collections.Counter[str] = collections.Counter()
    for file in report["files"].values():
        reasons.update(file["rejects"])
    yield _Part("the log", report["rejected"], report["rows_in"], reasons)
    for name, join in report["joins"].items():
        yield _Part(f"side file {name!r}", join["rejected"], join["rows"], reasons)
    for name, found in report["histories"].items():
        rejected = found["buckets"]["rejected"]
        yield _Part(f"history {name!r}", rejected, found["rows_in"], reasons)


def _days(report: Mapping[str, Any]) -> Iterator[_Part]:
    for day in map("{:%Y%m%d}".format, DayRange.parse(report["days"])):
        rejected = report["rejects_per_day"].get(day, 0)
        rows = report["rows_per_day"].get(day, 0) + rejected
        yield _Part(f"day {day}", rejected, rows, {})


def _files(report: Mapping[str, Any]) -> Iterator[_Part]:
    for path, file in report["files"].items():
        rejected = sum(file["rejects"].values())
        yield _Part(path, rejected, file["rows"], file["rejects"])


def _is_telling(file: _Part) -> bool:
    return file.rejected > _FEW or 2 * file.rejected > file.rows


def _message(
    bad: list[_Part], limit: float, report: Mapping[str, Any], rejects_dir: str
) -> str:
    first, *others = bad
    reasons = first.reasons or next(_wholes(report)).reasons
    common = collections.Counter(reasons).most_common(_COMMON_REASONS)
    samples = report.get("samples", {})
    shown = ", ".join(
        f"{reason} ({count}{_such_as(samples.get(reason))})" for reason, count in common
    )
    also = ", ".join(f"{part.name} ({part.share:.2%})" for part in others[:_MOST_SHOWN])
    more = len(others) - _MOST_SHOWN
    also = f" So are {also}{f' and {more} more' if more > 0 else ''}." if also else ""
    notes = ", ".join(f"{note} ({rows})" for note, rows in report["notes"].items())
    return (
        f"{first.share:.2%} of the rows of {first.name} are unreadable, more than "
        f"log.max_reject_share = {limit:.2%}.{also} Commonest: {shown}. "
        + (f"Of the values: {notes}. " if notes else "")
        + f"Every line is in {rejects_dir}: repair the logs, or raise the limit in the "
        "spec."
    )


def _such_as(sample: str | None) -> str:
    return f", such as {sample}" if sample else ""
