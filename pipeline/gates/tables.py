"""The tables of the data gates, and the message that stops a run."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import rich.console
from rich.markup import escape
from rich.table import Table

from pipeline.gates.causes import number
from pipeline.gates.findings import DAY, Finding, GateReport
from pipeline.reporting.tables import new_table

_WIDTH = 120  # characters of a message
_MOST = 25  # findings that a message shows of a day
_HEADS = ("column", "measure", "value", "before", "allowed", "times", "looks like")


def report_table(report: GateReport, most: int | None = None) -> Table:
    """What stands out of a day, the worst first.

    Args:
        report: Of the day.
        most: Rows; all by default. The caption tells how many are left out.
    """
    shown = report.findings[:most]
    table = new_table(
        _title(report),
        _HEADS,
        texts=("measure", "looks like"),
        folded=("looks like", "column"),
        caption=_caption(report, len(report.findings) - len(shown)) or None,
    )
    for finding in shown:
        table.add_row(*map(escape, _cells(finding)))
    return table


def text_of(report: GateReport, most: int | None = None) -> str:
    """`report_table` as plain text."""
    out = io.StringIO()
    console = rich.console.Console(file=out, width=_WIDTH, color_system=None)
    console.print(report_table(report, most))
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(line for line in lines if line)


def refusal(reports: Sequence[GateReport]) -> str:
    """The message about days that are refused: what moved, and how to go on."""
    days = ", ".join(report.day for report in reports)
    be = "is" if len(reports) == 1 else "are"
    told = "\n\n".join(text_of(report, _MOST) for report in reports)
    first = reports[0].day
    return (
        f"DataGate: {days} {be} too unlike the days before; nothing was trained on "
        f"{'it' if len(reports) == 1 else 'them'}.\n\n{told}\n\n"
        f"If the logs are wrong, mend them and make the day again: --replace {first}.\n"
        f"If the day is right all the same, let it pass: --accept_day {first} "
        '--reason "...". It is recorded with who and why.\n'
        "If it is a limit that is wrong, change it: data_gates in the spec "
        "(docs/gates.md)."
    )


def _title(report: GateReport) -> str:
    if not report.before:
        return f"{report.day}: {report.rows:,} rows, no day before"
    first, last = (
        s.removeprefix("day-") for s in (report.before[0], report.before[-1])
    )
    return (
        f"{report.day}: {report.rows:,} rows, against {len(report.before)} days "
        f"({first} to {last})"
    )


def _caption(report: GateReport, left_out: int) -> str:
    told = [report.source] if report.source else []
    if left_out:
        told.append(f"{left_out:,} more stand out; the report has them.")
    told += report.notes
    if report.accepted_by:
        told.append(f"Accepted by {report.accepted_by}: {report.accepted_why}")
    return escape(" ".join(told))


def _cells(finding: Finding) -> tuple[str, ...]:
    times = "" if math.isinf(finding.times) else f"{finding.times:.1f}"
    column = "" if finding.column == DAY else finding.column
    return (
        column or "the day",
        finding.measure,
        number(finding.value),
        number(finding.expected),
        _allowed(finding),
        times,
        finding.cause,
    )


def _allowed(finding: Finding) -> str:
    """`0.01 - 0.03`, `<= 0.2`; nothing for what no range allows."""
    if finding.high is None:
        return "" if finding.low is None else f">= {number(finding.low)}"
    if finding.low is None:
        return f"<= {number(finding.high)}"
    return f"{number(finding.low)} - {number(finding.high)}"
