"""A suspicious day that somebody lets pass: who, when, why, and what was seen.

An acceptance is for the findings that were seen. Made again with other findings, the
day is asked about again.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterable, Sequence

from pipeline.gates.errors import GateError
from pipeline.gates.findings import GateReport
from pipeline.people import login_name

Key = tuple[str, str, float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Acceptance:
    """That a day may be trained on, whatever was found.

    Attributes:
        day: `YYYYMMDD`.
        who: Login name, by default.
        when: ISO 8601, UTC.
        why: For whoever reads it later.
        digest: Of the report that was seen.
        findings: (column, measure, value) of its findings.
    """

    day: str
    who: str
    when: str
    why: str
    digest: str
    findings: tuple[Key, ...]

    def covers(self, report: GateReport) -> bool:
        """Whether all that a report has found was seen when the day was accepted."""
        return report.day == self.day and {f.key for f in report.findings} <= {
            *self.findings
        }

    def is_of(self, column: str, measure: str) -> bool:
        """Whether it is about a measure of a column."""
        return any(key[:2] == (column, measure) for key in self.findings)


def accept(
    report: GateReport, why: str, who: str = "", now: datetime.datetime | None = None
) -> Acceptance:
    """The acceptance of a day as a report tells it.

    Args:
        report: Of the day that was refused.
        why: The reason; one is needed.
        who: The user's login name by default.
        now: With a time zone; the present by default.

    Raises:
        GateError: There is nothing to accept, or no reason is given.
    """
    if not why.strip():
        raise GateError(
            f"{report.day}: an accepted day needs a reason, for whoever wonders later. "
            'Say it: --reason "a holiday".'
        )
    if not report.is_suspicious:
        raise GateError(
            f"{report.day}: was not refused; nothing is to be accepted. Run without "
            f"--accept_day {report.day}."
        )
    when = now or datetime.datetime.now(datetime.timezone.utc)
    return Acceptance(
        day=report.day,
        who=who or login_name(),
        when=when.astimezone(datetime.timezone.utc).isoformat(timespec="seconds"),
        why=why.strip(),
        digest=report.digest,
        findings=tuple(finding.key for finding in report.findings),
    )


def covering(
    report: GateReport, acceptances: Iterable[Acceptance]
) -> Acceptance | None:
    """The newest acceptance that covers a report."""
    found = [one for one in acceptances if one.covers(report)]
    return max(found, key=lambda one: one.when, default=None)


def to_json(acceptances: Sequence[Acceptance]) -> str:
    """As a parameter of a step, and for the ledger."""
    return json.dumps([dataclasses.asdict(one) for one in acceptances])


def from_json(text: str) -> tuple[Acceptance, ...]:
    """What `to_json` gave.

    Raises:
        GateError: It is something else.
    """
    try:
        return tuple(_of(entry) for entry in json.loads(text or "[]"))
    except (ValueError, KeyError, TypeError) as error:
        raise GateError(
            f"Acceptances of days: cannot be read ({type(error).__name__}: {error}). "
            "Accept the day again."
        ) from None


def _of(entry: dict[str, object]) -> Acceptance:
    findings = entry["findings"]
    assert isinstance(findings, list)
    keys = tuple(
        (str(c), str(m), None if v is None else float(v)) for c, m, v in findings
    )
    texts = {key: str(value) for key, value in entry.items() if key != "findings"}
    return Acceptance(findings=keys, **texts)
