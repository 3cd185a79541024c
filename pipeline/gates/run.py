"""The data gate of a run: summaries in, reports out, an error if a day is refused."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs import Spec
from pipeline.gates.accept import Acceptance
from pipeline.gates.data_gate import check, judge_days
from pipeline.gates.findings import GateReport
from pipeline.gates.store import write_reports
from pipeline.summaries.store import read_summary

Place = tuple[str, str]  # a split, and the directory of examples that it lies in


def gate_days(
    spec: Spec,
    new_days: Sequence[Place],
    earlier_days: Sequence[Place],
    acceptances: Sequence[Acceptance] = (),
    reports_dir: str = "",
) -> list[GateReport]:
    """Judges the days of a run, and keeps the reports.

    Args:
        spec: Its `data_gates` are the limits.
        new_days: To be judged.
        earlier_days: That were let pass before.
        acceptances: Of any days.
        reports_dir: Gets `day-YYYYMMDD.json` of each new day, refused or not; empty for
            none. May lie in a bucket.

    Raises:
        SuspiciousDayError: A day is refused.
        SummaryError: A day has no summary.
    """
    new, earlier = (
        [read_summary(directory, split) for split, directory in places]
        for places in (new_days, earlier_days)
    )
    reports = judge_days(spec, new, earlier, acceptances)
    if reports_dir:
        write_reports(reports_dir, reports)
    check(reports)
    return reports
