"""A comparison as tables: for a console and as Markdown, of the same cells."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.reporting.tables import markdown_table, number, percent
from serving.compare_logs.comparison import (
    PERCENTILES,
    Calibration,
    CanaryReport,
    Drift,
    ShadowReport,
)
from serving.compare_logs.measures import Estimate

if TYPE_CHECKING:
    from serving.compare_logs.compare_logs import LogReport


@dataclasses.dataclass(frozen=True)
class Section:
    """A table with its title; all columns but the first are numbers.

    Attributes:
        title, heads, rows: Of the table.
        brief: Columns that a console has room for, from the left; None for all.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    brief: int | None = None


def markdown(report: LogReport, picture: str | None) -> str:
    """The whole report; `picture` is the file of its figure."""
    parts = [f"# {title(report)}\n", *(f"{line}\n" for line in notes(report))]
    if picture:
        parts.append(f"![order, drift and latency]({picture})\n")
    for section in sections(report):
        parts += [f"## {section.title}\n", markdown_table(section.heads, section.rows)]
    return "\n".join(parts)


def title(report: LogReport) -> str:
    """What was compared."""
    return f"{report.model}, {report.signature}: {report.directory}"


def notes(report: LogReport) -> list[str]:
    """What the tables are of, and what went wrong, a sentence each."""
    since, until = (
        datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
        for ms in (report.since_ms, report.until_ms)
    )
    by = f"{report.users:,} users" if report.users else "no user, so by requests"
    found = [
        f"{report.requests:,} requests from {since} to {until} UTC, of {by}. Intervals "
        "are of 95 %."
    ]
    if report.shadow:
        found += _shadow_notes(report.shadow)
    if report.canary:
        found += _canary_notes(report.canary)
    return found


def sections(report: LogReport) -> Iterator[Section]:
    """All tables that there is something for."""
    if report.shadow:
        yield from _shadow_sections(report.shadow)
    if report.canary:
        yield from _canary_sections(report.canary)


# --- a shadow -------------------------------------------------------------------------


def _shadow_notes(shadow: ShadowReport) -> list[str]:
    found = [
        f"Shadow: versions {_versions(shadow.shadow_versions)} beside "
        f"{_versions(shadow.served_versions)}, {shadow.requests:,} requests; it failed "
        f"{shadow.failed:,} ({percent(shadow.failed / shadow.requests, 1)})."
    ]
    return found + _errors("The shadow", shadow.errors)


def _shadow_sections(shadow: ShadowReport) -> Iterator[Section]:
    if shadow.order:
        rows = [(name, _with_interval(value)) for name, value in shadow.order.items()]
        yield Section("Order, mean over requests", ("measure", "value"), tuple(rows))
    yield Section(
        "Predictions of the same candidates",
        (
            *("output", "served", "shadow", "shadow / served", "PSI", "candidates"),
            *("difference", "largest", "p5", "p50", "p95"),
        ),
        tuple(_drift_row(name, drift) for name, drift in shadow.drift.items()),
        brief=5,
    )
    known = {n: d.calibration for n, d in shadow.drift.items() if d.calibration}
    if known:
        yield Section(
            "Calibration: predictions / outcomes",
            ("task", "candidates", "rate", "served", "shadow", "AUC", "AUC of shadow"),
            tuple(
                (
                    *_calibration_cells(name, one),
                    _with_interval(one.shadow),
                    number(one.served_auc, missing="-"),
                    number(one.shadow_auc, missing="-"),
                )
                for name, one in known.items()
            ),
        )
    yield _latency_section(shadow.latency_ms)


def _drift_row(name: str, drift: Drift) -> tuple[str, ...]:
    return (
        name,
        _short(drift.served.value),
        _short(drift.shadow.value),
        _with_interval(drift.ratio),
        number(drift.stability_index, 3, missing="-"),
        f"{drift.rows:,}",
        _with_interval(drift.difference),
        _short(drift.largest),
        *(
            f"{_short(served)} / {_short(shadow)}"
            for served, shadow in drift.quantiles.values()
        ),
    )


# --- a canary -------------------------------------------------------------------------


def _canary_notes(report: CanaryReport) -> list[str]:
    canary, control = report.canary, report.control
    found = [
        f"Canary: versions {_versions(canary.versions)} answered {canary.requests:,} "
        f"requests of {canary.clusters:,} users; {_versions(control.versions)} "
        f"{control.requests:,} of {control.clusters:,}. Users and candidates differ, "
        "so predictions do so by chance, too."
    ]
    return found + _errors("The canary", canary.errors)


def _canary_sections(report: CanaryReport) -> Iterator[Section]:
    canary, control = report.canary, report.control
    yield Section(
        "Predictions of each one's candidates",
        ("output", "control", "canary", "change"),
        tuple(
            (
                name,
                _with_interval(control.predictions[name]),
                _with_interval(canary.predictions[name]),
                _percent_interval(found),
            )
            for name, found in report.predictions.items()
        ),
    )
    if report.outcomes:
        yield Section(
            "Outcomes of each one's candidates",
            ("task", "candidates", "control", "canary", "change", "calibration"),
            tuple(_outcome_row(report, name) for name in report.outcomes),
        )
    yield _latency_section({"control": control.latency_ms, "canary": canary.latency_ms})


def _outcome_row(report: CanaryReport, name: str) -> tuple[str, ...]:
    canary, control = report.canary.calibration[name], report.control.calibration[name]
    return (
        name,
        f"{canary.rows + control.rows:,}",
        _with_interval(control.rate),
        _with_interval(canary.rate),
        _percent_interval(report.outcomes[name]),
        f"{number(control.served.value)} / {number(canary.served.value)}",
    )


# --- cells ----------------------------------------------------------------------------


def _latency_section(latency_ms: Mapping[str, Mapping[str, float]]) -> Section:
    rows = tuple(
        (name, *(number(found[p], 2, missing="-") for p in PERCENTILES))
        for name, found in latency_ms.items()
    )
    return Section("Latency of the model, ms", ("", *PERCENTILES), rows)


def _calibration_cells(name: str, one: Calibration) -> Sequence[str]:
    return (name, f"{one.rows:,}", number(one.rate.value), _with_interval(one.served))


def _with_interval(found: Estimate | None) -> str:
    """`0.9120 (0.8990 to 0.9250)`; the value alone where there is no interval."""
    if found is None or math.isnan(found.value):
        return "-"
    if math.isnan(found.low):
        return _short(found.value)
    return f"{_short(found.value)} ({_short(found.low)} to {_short(found.high)})"


def _percent_interval(found: Estimate) -> str:
    if math.isnan(found.value):
        return "-"
    text = f"{100 * found.value:+.2f} %"
    if math.isnan(found.low):
        return text
    return f"{text} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _versions(counts: Mapping[int, int]) -> str:
    return ", ".join(map(str, counts)) or "none"


def _errors(who: str, errors: Mapping[str, int]) -> list[str]:
    return [f"{who} failed {count:,} times: {text}" for text, count in errors.items()]
