"""Findings -> tables for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from feature_specs import views
from pipeline.compare.findings import Cell, Findings
from pipeline.compare.metrics import NAMES
from pipeline.compare.sizes import sharing_widths
from pipeline.compare.trials import preset_digest
from pipeline.reporting.files import significant
from pipeline.reporting.intervals import LEVEL, Gain
from pipeline.reporting.tables import (
    SIGNIFICANT,
    gain_text,
    markdown_table,
    new_table,
    number,
)

_DIGITS = 4  # behind the point, of a value between 0.1 and 10
_MARKDOWN_TASKS = 4  # in one table
_FIGURES = 6  # significant ones in CSV and JSON
_CSV_HEADS = (
    *("preset", "task", "metric", "mean", "sd"),
    *("gain", "low", "high", "n", "pairs", "significant"),
)


def method(findings: Findings) -> str:
    """How the figures were made, in a few sentences."""
    comparison = findings.comparison
    examples, seeds = comparison.examples, comparison.seeds
    said = [
        f"Trained on {_span(examples.train_days)}, scored on "
        f"{_span(examples.evaluation_days)} with trail features missing as served; "
        f"means over {len(seeds)} seed{'s' * (len(seeds) > 1)}."
    ]
    if comparison.baseline:
        said.append(
            f"Gain: over {comparison.baseline}, positive is better (PLE eq. 11)."
        )
    if comparison.baseline and len(seeds) > 1:
        said.append(
            f"±: {LEVEL:.0%} interval of each gain by itself, Student's t over paired "
            f"seeds on these rows; {SIGNIFICANT} where it leaves 0 out."
        )
    return " ".join(said)


def results_csv(findings: Findings) -> str:
    """One line for each preset, task and metric."""
    with io.StringIO() as file:
        writer = csv.DictWriter(file, _CSV_HEADS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_lines(findings))
        return file.getvalue()


def summary(findings: Findings) -> dict[str, Any]:
    """The findings as plain JSON values."""
    comparison, examples = findings.comparison, findings.comparison.examples
    return {
        "spec": examples.spec.name,
        "spec_digest": views.digest(examples.spec),
        "days": examples.train_days,
        "evaluation": examples.evaluation_days,
        "seeds": list(comparison.seeds),
        "baseline": comparison.baseline,
        "reference": comparison.reference,
        "positives": dict(findings.positives),
        "method": method(findings),
        "notes": findings.notes,
        "presets": {
            entrant.name: {
                "digest": preset_digest(entrant.config),
                "weights": entrant.weights,
                "scaled": entrant.is_scaled,
                "widths": sharing_widths(entrant.config),
                "diverged": {
                    str(seed): why
                    for seed, why in findings.diverged.get(entrant.name, {}).items()
                },
                "tasks": {
                    task: {name: _json(cell) for name, cell in metrics.items()}
                    for task, metrics in findings.cells[entrant.name].items()
                },
            }
            for entrant in comparison.entrants
        },
        "yardsticks": {
            name: {
                task: {metric: significant(v, _FIGURES) for metric, v in own.items()}
                for task, own in scores.items()
            }
            for name, scores in findings.yardsticks.items()
        },
    }


def presets_table(findings: Findings) -> Table:
    """The size of each preset, and how many of its trainings count."""
    heads, rows = _preset_rows(findings)
    table = new_table("Presets", heads)
    for row in rows:
        table.add_row(*row)
    return table


def task_tables(findings: Findings, width: int) -> list[Table]:
    """Presets as rows, tasks as columns, in blocks that fit in `width` columns."""
    blocks = _blocks(findings, width)
    tables = []
    for place, tasks in enumerate(blocks, start=1):
        part = f", {place} of {len(blocks)}" if len(blocks) > 1 else ""
        heads = [head for task in tasks for head in _heads(findings, task)]
        table = new_table(f"Evaluation{part}", ["preset", *heads])
        for preset in findings.cells:
            row = [_rich_cells(findings, preset, task) for task in tasks]
            table.add_row(preset, *(cell for cells in row for cell in cells))
        tables.append(table)
    return tables


def yardstick_tables(findings: Findings, width: int) -> list[Table]:
    """The headline metrics of what takes no network, in the blocks of `task_tables`."""
    if not findings.yardsticks:
        return []
    tables = []
    for place, tasks in enumerate(_blocks(findings, width)):
        title = "Without a network" if not place else ""
        heads, rows = _yardstick_rows(findings, tasks)
        table = new_table(title, heads)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def _yardstick_rows(
    findings: Findings, tasks: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    heads = [f"{task}\n{NAMES[findings.headline(task)]}" for task in tasks]
    rows = [
        [
            name,
            *(
                number(
                    scores[task][findings.headline(task)],
                    _digits(findings, task),
                    missing="-",
                )
                for task in tasks
            ),
        ]
        for name, scores in findings.yardsticks.items()
    ]
    return ["without a network", *heads], rows


def markdown(findings: Findings) -> str:
    """The tables and the method, to paste."""
    tasks = findings.tasks
    blocks = [
        tasks[start : start + _MARKDOWN_TASKS]
        for start in range(0, len(tasks), _MARKDOWN_TASKS)
    ]
    parts = [markdown_table(*_preset_rows(findings))]
    for block in blocks:
        heads = [
            head.replace("\n", " ").strip()
            for task in block
            for head in _heads(findings, task)
        ]
        rows = [
            [
                preset,
                *(cell for task in block for cell in _cells(findings, preset, task)),
            ]
            for preset in findings.cells
        ]
        parts.append(markdown_table(["preset", *heads], rows))
        if findings.yardsticks:
            names, rows = _yardstick_rows(findings, block)
            heads = [head.replace("\n", " ") for head in names]
            parts.append(markdown_table(heads, rows))
    notes = "".join(f"- {note}\n" for note in findings.notes)
    return "\n".join([*parts, method(findings) + "\n", *([notes] if notes else [])])


# --- cells ----------------------------------------------------------------------------


def _lines(findings: Findings) -> Iterator[dict[str, Any]]:
    for preset, tasks in findings.cells.items():
        for task, metrics in tasks.items():
            for metric, cell in metrics.items():
                line = {"preset": preset, "task": task, "metric": metric, **_json(cell)}
                line["significant"] = SIGNIFICANT * bool(line["significant"])
                yield line


def _json(cell: Cell) -> dict[str, Any]:
    """A cell's figures under the heads of the CSV; None where there is none."""
    gain = cell.gain or Gain(mean=math.nan, low=math.nan, high=math.nan, pairs=0)
    figures = {
        "mean": cell.value.mean,
        "sd": cell.value.sd,
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
    }
    return {
        **{name: significant(value, _FIGURES) for name, value in figures.items()},
        "n": cell.value.n,
        "pairs": gain.pairs if cell.gain else None,
        "significant": gain.is_significant if gain.has_interval else None,
    }


def _preset_rows(findings: Findings) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) of the table of presets."""
    comparison = findings.comparison
    target = comparison.reference and comparison.entrant(comparison.reference).weights
    heads = [
        "preset",
        "weights",
        *([f"of {comparison.reference}"] if target else []),
        "widths",
        "seeds",
    ]
    rows = []
    for entrant in comparison.entrants:
        widths = sharing_widths(entrant.config)
        if entrant.is_scaled:
            widths += f" (was {sharing_widths(entrant.asked)})"
        share = [f"{entrant.weights / target:.1%}"] if target else []
        lost = len(findings.diverged.get(entrant.name, {}))
        seeds = f"{len(comparison.seeds) - lost}" + f" ({lost} diverged)" * bool(lost)
        rows.append([entrant.name, f"{entrant.weights:,}", *share, widths, seeds])
    return heads, rows


def _heads(findings: Findings, task: str) -> list[str]:
    metric = NAMES[findings.headline(task)]
    return [f"{task}\n{metric}", *(["\ngain"] if findings.rivals else [])]


def _cells(findings: Findings, preset: str, task: str) -> list[str]:
    """The metric, and the gain where the comparison has gains."""
    cell, digits = findings.cell(preset, task), _digits(findings, task)
    value = number(cell.value.mean, digits, missing="-")
    return [value, *([gain_text(cell.gain, digits)] if findings.rivals else [])]


def _rich_cells(findings: Findings, preset: str, task: str) -> list[str]:
    """The same, with a significant gain in bold."""
    value, *gains = _cells(findings, preset, task)
    return [value, *(f"[bold]{g}[/]" if SIGNIFICANT in g else g for g in gains)]


def _digits(findings: Findings, task: str) -> int:
    """Digits behind the point, so that every task shows about as many figures."""
    sizes = [abs(findings.cell(preset, task).value.mean) for preset in findings.cells]
    known = [size for size in sizes if size > 0]
    power = math.floor(math.log10(max(known))) if known else 0
    return max(0, _DIGITS - max(power, 0) - min(power + 1, 0))


def _blocks(findings: Findings, width: int) -> list[list[str]]:
    """The tasks, as many in a block as fit beside the presets' names."""
    names = max(len("preset"), *(len(preset) for preset in findings.cells))
    blocks: list[list[str]] = []
    left = 0
    for task in findings.tasks:
        needed = _width(findings, task)
        if needed > left or not blocks:
            blocks.append([])
            left = width - names - 2
        blocks[-1].append(task)
        left -= needed
    return blocks


def _width(findings: Findings, task: str) -> int:
    """Columns of a task's cells with a blank before each."""
    rows = [_cells(findings, preset, task) for preset in findings.cells]
    heads = [max(map(len, head.split("\n"))) for head in _heads(findings, task)]
    longest = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return sum(1 + max(pair) for pair in zip(heads, longest, strict=True))


def _span(days: Sequence[str]) -> str:
    first, last = (name.removeprefix("day-") for name in (days[0], days[-1]))
    return first if len(days) == 1 else f"{len(days)} days {first} to {last}"
