"""Where the state of a run's last day goes, and when it is one.

The files of its tables are written by the shards, where they stay; the head, without
which they are no state, when the run's examples are in their place.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from apache_beam.io.filesystems import FileSystems

from feature_specs import views
from pipeline.day_state.state import FILE, DayState, write_state
from pipeline.examples import file_systems
from pipeline.examples.errors import RequestError
from pipeline.examples.request import ExamplesRequest

_WEEK = 7  # days that the next day's rows are compared with, see `report`


@dataclasses.dataclass(frozen=True)
class StateOutput:
    """The state that a run writes.

    Attributes:
        state: Its head, without the tables' files, with what it has of earlier runs.
        days: The run's days, as `YYYYMMDD`.
    """

    state: DayState
    days: tuple[str, ...]

    @classmethod
    def of(cls, request: ExamplesRequest) -> StateOutput | None:
        """Of a request; None if no state is asked for."""
        if request.state_to is None:
            return None
        earlier = request.state
        state = DayState(
            path=request.state_to,
            spec=request.spec.name,
            spec_digest=views.digest(request.spec, views.EXAMPLES),
            day=request.days.last,
            learned_through=request.plan.last_learned,
            rows_per_day=earlier.rows_per_day if earlier else {},
            files={},
            seen=earlier.seen if earlier else {},
        )
        return cls(state, tuple(f"{day:%Y%m%d}" for day in request.days))

    def prepare(self) -> None:
        """Removes what a run left that did not come to its end.

        Raises:
            RequestError: A whole state is there.
        """
        path = self.state.path
        if FileSystems.exists(FileSystems.join(path, FILE)):
            raise RequestError(
                f"{path} holds the state of a day already. Give a new directory for "
                "the state."
            )
        file_systems.delete(file_systems.match_paths(path, "*/part-*-of-*.arrow"))

    def finish(self, report: Mapping[str, Any]) -> None:
        """Makes a state of the files that the run has written."""
        found = report["rows_per_day"]
        rows = dict(self.state.rows_per_day)
        rows |= {day: found[day] for day in self.days if day in found}
        first = self.state.day - datetime.timedelta(days=_WEEK - 1)
        newest = {d: n for d, n in sorted(rows.items()) if d >= f"{first:%Y%m%d}"}
        seen = {path: tuple(mark) for path, mark in report["seen_files"].items()}
        state = dataclasses.replace(
            self.state,
            rows_per_day=newest,
            files=report["state_files"],
            seen={**self.state.seen, **seen},
        )
        write_state(state)
