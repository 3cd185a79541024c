"""When a schedule runs: five fields of cron, checked before a schedule is made.

    check_cron("0 5 * * *")        # every day at 5:00
    check_cron("*/30 6-22 * * MON-FRI")

Source of the rules: crontab(5), without its @words.
"""

from __future__ import annotations

import dataclasses
import re
import zoneinfo

from feature_specs.errors import UsageError

_MONTHS = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"^(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?$")
_EXAMPLE = 'Like "0 5 * * *": every day at 5:00.'


@dataclasses.dataclass(frozen=True)
class _Field:
    """One of the five: its name, its least and greatest number, its words."""

    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Of a number or a word; UsageError if it is neither or too great."""
        if text.upper() in self.words:
            return self.least + self.words.index(text.upper())
        is_number = text.isascii() and text.isdecimal()
        if is_number and self.least <= int(text) <= self.most:
            return int(text)
        words = f" or {self.words[0]} to {self.words[-1]}" if self.words else ""
        raise UsageError(
            f"--cron: {self.name} must be {self.least} to {self.most}{words}. Got "
            f"{text!r}."
        )

    def values(self, text: str) -> set[int]:
        """The numbers that a field's text names; UsageError if it is none."""
        return set().union(*(self._part(part) for part in text.split(",")))

    def _part(self, text: str) -> set[int]:
        found = _PART.match(text)
        if found is None:
            raise UsageError(
                f"--cron: {self.name} must be like *, 5, 1-5, 1,3 or */15. Got "
                f"{text!r}."
            )
        every, first, last, step = found.groups()
        if step is not None and int(step) == 0:
            raise UsageError(f"--cron: {self.name}: a step must be 1 or more. Got 0.")
        if every:
            least, most = self.least, self.most
        else:
            least = self.number(first)
            most = self.number(last) if last else (self.most if step else least)
        if least > most:
            raise UsageError(
                f"--cron: {self.name}: a range must go up. Got {text!r}: name its two "
                "parts, like 22-23,0-4."
            )
        return set(range(least, most + 1, int(step or 1)))


_FIELDS = (
    _Field("the minute", 0, 59),
    _Field("the hour", 0, 23),
    _Field("the day of the month", 1, 31),
    _Field("the month", 1, 12, _MONTHS),
    _Field("the day of the week", 0, 7, _DAYS),
)


def check_cron(text: str) -> None:
    """That a text says when something runs.

    Raises:
        UsageError: It is not five fields, or names a day that never comes.
    """
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise UsageError(
            "--cron: must have five fields: minute, hour, day of the month, month, day "
            f"of the week. Got {len(fields)}: {text!r}. {_EXAMPLE}"
        )
    found = [field.values(text) for field, text in zip(_FIELDS, fields, strict=True)]
    _, _, days, months, _ = found
    never = all(min(days) > _MOST_DAYS[month - 1] for month in months)
    if fields[4] == "*" and never:
        raise UsageError(
            f"--cron: its month never has day {min(days)}. Got {text!r}. Take another "
            "day of the month."
        )


def with_timezone(cron: str, timezone: str) -> str:
    """A checked text with its time zone, as Vertex AI takes it.

    Args:
        cron: Five fields.
        timezone: Of the IANA data base, `Europe/Berlin`; UTC if it is empty.

    Raises:
        UsageError: There is no such time zone.
    """
    if not timezone:
        return cron
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"--timezone {timezone}: must be a name of the IANA data base, like "
            "Europe/Berlin."
        ) from None
    return f"TZ={timezone} {cron}"
