"""The head of a day's state, `state.json`: of which day, made for which spec.

    state = read_state("RUN/state/day-20220414")
    state.check_continues(digest, first=datetime.date(2022, 4, 15))

It is written last, so that a directory without it is no state.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.day_state.errors import StateError

FORMAT = 1  # changes when an older reader would misunderstand the files
FILE = "state.json"

_REMEDY = "Make the examples from the logs' earlier days instead (without --state_from)"
_A_DAY = datetime.timedelta(days=1)
_PLAIN = CompressionTypes.UNCOMPRESSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class DayState:
    """What is known at the end of a day: where it lies and what it was made of.

    Attributes:
        path: Its directory, on any Beam file system.
        spec: The spec's name, for messages.
        spec_digest: Of the spec's EXAMPLES view; another one would carry other things.
        day: The last day that it knows.
        learned_through: The last day that quantiles were learned on, and up to which
            the counts of training-only filters look ahead.
        rows_per_day: Readable rows of the newest days, `YYYYMMDD` -> rows: what the
            next day is compared with.
        files: Each table file, relative to `path` -> its rows.
        seen: Log files (not named by days) without rows of later days -> their size in
            bytes and when they were written, unix seconds.
    """

    path: str
    spec: str
    spec_digest: str
    day: datetime.date
    learned_through: datetime.date
    rows_per_day: Mapping[str, int]
    files: Mapping[str, int]
    seen: Mapping[str, tuple[int, float]] = dataclasses.field(default_factory=dict)

    def check_continues(
        self,
        spec_digest: str,
        first: datetime.date,
        empty_days: Iterable[datetime.date] = (),
    ) -> None:
        """StateError unless days that begin with `first` go on from here.

        Args:
            spec_digest: Of the EXAMPLES view of the run's spec.
            first: The run's first day.
            empty_days: Days that are told to have no rows.
        """
        if spec_digest != self.spec_digest:
            raise StateError(
                f"{self.path}: this state was made for another spec "
                f"({self.spec}, {self.spec_digest}; now {spec_digest}): what examples "
                f"are made of has changed since. {_REMEDY}."
            )
        if first <= self.day:
            raise StateError(
                f"{self.path}: this state knows all days up to {self.day:%Y%m%d}, so "
                f"day {first:%Y%m%d} cannot be made from it. Take the state of the day "
                f"before, or {_REMEDY[0].lower()}{_REMEDY[1:]}."
            )
        told = set(empty_days)
        between = [self.day + _A_DAY * n for n in range(1, (first - self.day).days)]
        lacking = [f"{day:%Y%m%d}" for day in between if day not in told]
        if lacking:
            raise StateError(
                f"{self.path}: this state ends with {self.day:%Y%m%d}, and the days "
                f"begin with {first:%Y%m%d}. Make {', '.join(lacking)} first; or, if "
                "there are no logs of these days, say so with --empty_days "
                f"{','.join(lacking)}."
            )

    def check_learned(self, learned_through: datetime.date | None) -> None:
        """StateError if a run wants to have learned on other days."""
        if learned_through not in (None, self.learned_through):
            raise StateError(
                f"{self.path}: its quantiles were learned on days up to "
                f"{self.learned_through:%Y%m%d}, not {learned_through:%Y%m%d}. They "
                "stay as they are from day to day; leave learned_through out, or make "
                "all examples anew."
            )

    def of_table(self, table: str) -> list[tuple[str, int]]:
        """(path, rows) of each file of a table, in order."""
        return [
            (FileSystems.join(self.path, name), rows)
            for name, rows in sorted(self.files.items())
            if name.split("/")[0] == table
        ]


def read_state(path: str) -> DayState:
    """The state that lies in a directory.

    Raises:
        StateError: There is none, it is damaged, or another version wrote it.
    """
    place = FileSystems.join(path, FILE)
    if not FileSystems.exists(place):
        raise StateError(
            f"{path}: no state of a day here (no {FILE}). The run that should have "
            f"written it did not come to its end. {_REMEDY}."
        )
    with FileSystems.open(place, compression_type=_PLAIN) as file:
        data = file.read()
    try:
        return _parsed(path, json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(
            f"{place}: is no head of a state any more ({type(error).__name__}: "
            f"{error}). Bring it back from a copy. Or: {_REMEDY}."
        ) from None


def write_state(state: DayState, folder: str | None = None) -> None:
    """Writes the head; the tables' files are there already.

    Args:
        state: Says where.
        folder: Writes it here instead, from where it will be moved.
    """
    values = {
        "format": FORMAT,
        "spec": state.spec,
        "spec_digest": state.spec_digest,
        "day": f"{state.day:%Y%m%d}",
        "learned_through": f"{state.learned_through:%Y%m%d}",
        "rows_per_day": dict(state.rows_per_day),
        "files": dict(sorted(state.files.items())),
        "seen": {path: list(mark) for path, mark in sorted(state.seen.items())},
    }
    place = FileSystems.join(folder or state.path, FILE)
    with FileSystems.create(place, compression_type=_PLAIN) as file:
        file.write(json.dumps(values, indent=2).encode() + b"\n")


def _parsed(path: str, values: Mapping[str, Any]) -> DayState:
    if values["format"] != FORMAT:
        raise StateError(
            f"{path}: this state has format {values['format']}, and this version of "
            f"Trailrank reads {FORMAT}. {_REMEDY}."
        )
    return DayState(
        path=path,
        spec=values["spec"],
        spec_digest=values["spec_digest"],
        day=_day(values["day"]),
        learned_through=_day(values["learned_through"]),
        rows_per_day={d: int(n) for d, n in values["rows_per_day"].items()},
        files={name: int(rows) for name, rows in values["files"].items()},
        seen={path: (int(s), float(t)) for path, (s, t) in values["seen"].items()},
    )


def _day(text: str) -> datetime.date:
    return datetime.datetime.strptime(text, "%Y%m%d").date()
