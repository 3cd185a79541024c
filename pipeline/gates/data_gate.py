"""Judges days of examples by the days before them, from their summaries alone.

    report = judge_day(spec, day, earlier)
    reports = judge_days(spec, new_days, earlier, acceptances)
    check(reports)                            # SuspiciousDayError, with the table

Everything is a sum or a median over whole days, so that the verdict is the same
whatever made the examples, and a day is judged in a moment however many rows it has.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence

from feature_specs import Spec
from pipeline.gates import causes, levels, tables
from pipeline.gates.accept import Acceptance, covering
from pipeline.gates.column_gate import ColumnGate, Seen, compared
from pipeline.gates.columns import columns_of
from pipeline.gates.errors import GateError, SuspiciousDayError
from pipeline.gates.findings import DAY, PREFIX, Finding, GateReport
from pipeline.gates.noise import Level
from pipeline.summaries.summary import DaySummary

_FORM = f"{PREFIX}%Y%m%d"
# Of `z`, for what is measured of a day as a whole: a handful of measures and not
# hundreds, which chance moves that far less often.
_OF_Z = 0.5


def judge_day(
    spec: Spec,
    day: DaySummary,
    earlier: Iterable[DaySummary],
    acceptances: Iterable[Acceptance] = (),
) -> GateReport:
    """Compares a day with the days before it.

    Args:
        spec: Its `data_gates` are the limits.
        day: Of a split `day-YYYYMMDD`.
        earlier: Other splits in any order; those of this day and of later ones are
            left out. Those nearest to the day, `window` of them, are compared; values
            of categories are known from all.
        acceptances: Of this day, and of earlier ones: what they let pass may be again.

    Returns:
        What stands out, the worst first.
    """
    acceptances = tuple(acceptances)
    judging = _Judging.of(spec, day, earlier, acceptances)
    found = judging.day_findings() + judging.column_findings()
    worst = sorted(found, key=lambda f: (-f.times, f.column, f.measure))
    report = GateReport(
        split=day.split,
        rows=day.rows,
        before=tuple(one.split for one in judging.before),
        judged=judging.compared,
        findings=tuple(worst),
        notes=judging.notes(),
        source=causes.common_source(
            spec,
            {f.column for f in worst if f.column != DAY},
            {column.key for column in columns_of(spec)},
        ),
        enabled=spec.data_gates.enabled,
    )
    acceptance = covering(report, acceptances)
    if acceptance is None:
        return report
    return dataclasses.replace(
        report, accepted_by=acceptance.who, accepted_why=acceptance.why
    )


def judge_days(
    spec: Spec,
    new: Iterable[DaySummary],
    earlier: Iterable[DaySummary],
    acceptances: Iterable[Acceptance] = (),
) -> list[GateReport]:
    """Judges days in order, each by those before it that were let pass.

    A day that is refused is not among the days before of the next one, so that all
    suspicious days of a run are told at once.

    Args:
        spec: Its `data_gates` are the limits.
        new: The days of this run, in any order.
        earlier: Days that were let pass before; one of them that is new, too, was made
            again, and its old summary is left out.
        acceptances: Of any days.
    """
    new = sorted(new, key=lambda day: day.split)
    names = {day.split for day in new}
    passed = [day for day in earlier if day.split not in names]
    reports = []
    for day in new:
        report = judge_day(spec, day, passed, acceptances)
        reports.append(report)
        if report.passes:
            passed.append(day)
    return reports


def check(reports: Sequence[GateReport]) -> None:
    """That no day is refused.

    Raises:
        SuspiciousDayError: One is; the message is the table of what moved, and how to
            go on.
    """
    refused = [report for report in reports if not report.passes]
    if refused:
        days = tuple(report.day for report in refused)
        raise SuspiciousDayError(tables.refusal(refused), days)


@dataclasses.dataclass
class _Judging:
    """One day, the days before it, and what was compared so far.

    Attributes:
        spec: Of the run.
        day: That is judged.
        before: The days it is compared with, in order.
        long_before: The days before those.
        same_weekday: Places in `before`.
        accepted: Place in `before` -> the acceptances of that day.
        compared: Measures so far.
        lacking: Columns that too few days before have.
    """

    spec: Spec
    day: DaySummary
    before: list[DaySummary]
    long_before: list[DaySummary]
    same_weekday: list[int]
    accepted: dict[int, list[Acceptance]]
    compared: int = 0
    lacking: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(
        cls,
        spec: Spec,
        day: DaySummary,
        earlier: Iterable[DaySummary],
        acceptances: Sequence[Acceptance],
    ) -> _Judging:
        """Sorts days out: which come before, which may be taken instead of all."""
        date = _date_of(day.split)
        earlier = sorted((d for d in earlier if d.split < day.split), key=_split)
        start = max(len(earlier) - spec.data_gates.window, 0)
        before = earlier[start:]
        dates = [_date_of(one.split) for one in before]
        whole_days = spec.log.days_per_split == 1
        accepted = {}
        for place, one in enumerate(before):
            name = one.split.removeprefix(PREFIX)
            own = [acceptance for acceptance in acceptances if acceptance.day == name]
            if own:
                accepted[place] = own
        return cls(
            spec=spec,
            day=day,
            before=before,
            long_before=earlier[:start],
            same_weekday=[
                place
                for place, other in enumerate(dates)
                if whole_days and other.weekday() == date.weekday()
            ],
            accepted=accepted,
        )

    @property
    def may_drift(self) -> bool:
        """Whether there are days enough to tell drift from noise."""
        return len(self.before) >= self.spec.data_gates.min_days

    def others(self, column: str, measure: str) -> list[int]:
        """Places of days that a measure may be like instead of all."""
        accepted = [
            place
            for place, found in self.accepted.items()
            if any(one.is_of(column, measure) for one in found)
        ]
        return [*self.same_weekday, *accepted]

    @property
    def _unequal(self) -> tuple[str, ...]:
        """What differs from day to day, whatever the logs do.

        The last of splits of several days may have fewer. A filter that counts how
        often a video or a user was there lets more of them in with each day.
        """
        if self.spec.log.days_per_split > 1:
            return (levels.ROWS, levels.USERS, levels.VIDEOS)
        if self._counts_back:
            return (levels.USERS, levels.VIDEOS)
        return ()

    @property
    def _counts_back(self) -> bool:
        """Whether a row is left out for what was not yet there on earlier days."""
        filters = self.spec.filters
        return bool(filters.min_item_impressions or filters.min_user_events)

    def day_findings(self) -> list[Finding]:
        """Rows, users, videos, trails and rejects."""
        gates = self.spec.data_gates
        gates = dataclasses.replace(gates, z=gates.z * _OF_Z)
        as_read = self._counts_back
        days = [levels.of_day(one, as_read) for one in self.before]
        found = []
        for measure, level in levels.of_day(self.day, as_read).items():
            if measure in gates.not_judged or measure in self._unequal:
                continue
            before = [one[measure] for one in days if measure in one]
            if measure == levels.REJECTS and not self.may_drift:
                # Too many are too many, whatever was before.
                before = [Level(0.0, level.n, 0.0)]
            elif not self.may_drift or len(before) < gates.min_days:
                continue
            places = self.others(DAY, measure) if self.may_drift else []
            others = [days[p][measure] for p in places if measure in days[p]]
            self.compared += 1
            finding = compared(DAY, measure, level, before, others, gates)
            found += [finding] if finding is not None else []
        return found

    def column_findings(self) -> list[Finding]:
        """Of every column that is judged."""
        found: list[Finding] = []
        for column in columns_of(self.spec):
            key = column.key
            days = [one for one in self.before if key in one.columns]
            if key not in self.day.columns or not days:
                self.lacking.append(key)
                continue
            places = {one.split: place for place, one in enumerate(days)}

            def others(
                measure: str, key: str = key, places: dict[str, int] = places
            ) -> list[int]:
                splits = (self.before[p].split for p in self.others(key, measure))
                return [places[split] for split in splits if split in places]

            gate = ColumnGate(
                column=column,
                gates=self.spec.data_gates.of_column(key),
                now=Seen(self.day.columns[key], self.day.users),
                before=tuple(Seen(one.columns[key], one.users) for one in days),
                long_before=tuple(
                    one.columns[key] for one in self.long_before if key in one.columns
                ),
                others=others,
                may_drift=self.may_drift and len(days) >= self.spec.data_gates.min_days,
            )
            judged, findings = gate.judge()
            self.compared += judged
            found += findings
        return found

    def notes(self) -> tuple[str, ...]:
        """What was not judged, and why."""
        found, least = [], self.spec.data_gates.min_days
        if not self.before:
            found.append("No day before: only the share of unreadable rows was judged.")
        elif not self.may_drift:
            found.append(
                f"{len(self.before)} of {least} days before: only what is impossible "
                "was judged, drift was not."
            )
        if self.before and self.lacking:
            found.append(f"No day before has {', '.join(self.lacking)}: not judged.")
        for place in self.accepted:
            told = self.before[place].split.removeprefix(PREFIX)
            found.append(f"What was accepted of {told} passes again.")
        return tuple(found)


def _split(day: DaySummary) -> str:
    return day.split


def _date_of(split: str) -> datetime.date:
    try:
        return datetime.datetime.strptime(split, _FORM).date()
    except ValueError:
        raise GateError(
            f"{split!r}: must be a split of days such as day-20220408. Name the split "
            "that the examples have."
        ) from None
