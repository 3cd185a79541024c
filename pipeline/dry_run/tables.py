"""What a dry run is told as: tables and lines for people."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from feature_specs.seen import Seen
from pipeline.dry_run.encoded import EncodedExample
from pipeline.dry_run.run import DryRun
from pipeline.dry_run.seen import SeenColumn, constant_labels
from pipeline.examples.tables import rows_table
from pipeline.reporting.tables import new_table

# In one process on two cores of an x86-64 server, with kuairand (docs/examples.md).
ROWS_A_SECOND = 34_600
_LONGEST_CELL = 48
_LONGEST_TEXT = 100


def sample_lines(run: DryRun) -> Iterator[str]:
    """What was looked at, and in what it is not like the whole."""
    sample = run.sample
    yield (
        f"Looked at {sample.rows:,} of about {sample.rows_in_all:,} rows, those of "
        f"{sample.users:,} users, in {run.wall_s:.0f} s."
    )
    yield from (f"Not as in a full run: {bias}" for bias in sample.biases)


def cost_line(run: DryRun) -> str:
    """What all rows would cost, at a rate that was measured."""
    sample = run.sample
    seconds = sample.rows_in_all / ROWS_A_SECOND
    return (
        f"A full run reads {sample.files_in_all:,} files, "
        f"{sample.bytes_in_all / 1e6:,.1f} MB, about {sample.rows_in_all:,} rows; its "
        f"examples take one process about {_shown_s(seconds)}, at the "
        f"{ROWS_A_SECOND:,} rows a second that were measured with kuairand's features."
    )


def check_tables(run: DryRun, columns: Sequence[SeenColumn], seen: Seen) -> list[Table]:
    """Rows, rejects, days, columns, tasks; those that have a line."""
    if not run.report:
        return []
    tables = [
        rows_table(run.report),
        _rejects(run),
        _days(run),
        _columns(columns),
        _tasks(run, seen),
    ]
    return [table for table in tables if table.row_count]


def warning_lines(run: DryRun, seen: Seen) -> Iterator[str]:
    """What makes no run fail, and is hardly meant."""
    for task, why in constant_labels(run.spec, seen).items():
        yield f"Nothing to learn for task {task} in these rows: {why}."
    rows = sum(run.report.get("examples", {}).values())
    for rule, dropped in run.report.get("filtered", {}).items():
        if dropped > rows:
            yield f"Filter {rule} drops {dropped:,} rows, and {rows:,} are left."
    for name, join in run.report.get("joins", {}).items():
        if join["unmatched"] > rows:
            yield f"Side file {name} lacks the key of {join['unmatched']:,} rows."
    for name, share in seen.missing.items():
        if share == 1:
            yield f"No example has a value of {name}. Does its expression fit the log?"
    for note, count in run.report.get("notes", {}).items():
        yield f"Read by a rule: {note}, {count:,} rows."


def example_tables(run: DryRun, examples: Sequence[EncodedExample]) -> list[Table]:
    """A table an example: features before and after encoding, then labels."""
    return [_example(run, example, place) for place, example in enumerate(examples, 1)]


def _example(run: DryRun, example: EncodedExample, place: int) -> Table:
    raw, encoded = example.raw, example.encoded
    title = (
        f"Example {place}: user {raw['key_user']}, video {raw['key_item']}, "
        f"{raw['key_time_ms']} ms"
    )
    heads = ["feature", "group", "example", "as the model reads it"]
    table = new_table(title, heads, texts=heads, folded=heads[2:])
    for feature in run.spec.features:
        before, after = raw.get(feature.name), encoded.get(feature.name)
        shown = _cell(before) if before != feature.missing else "missing"
        table.add_row(feature.name, feature.group, shown, _cell(after))
    table.add_section()
    for task in run.spec.tasks:
        label, mask = raw[f"label_{task.name}"], raw[f"mask_{task.name}"]
        table.add_row(task.name, "task", _cell(label), "trains" if mask else "masked")
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float):
        return "missing" if math.isnan(value) else f"{value:.5g}"
    if isinstance(value, list):
        text = ", ".join(_cell(part) for part in value)
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}..."


def _rejects(run: DryRun) -> Table:
    heads = ["why a row is unreadable", "rows", "such as"]
    table = new_table("Rejects", heads, texts=heads[::2], folded=heads[::2])
    counts: collections.Counter[str] = collections.Counter()
    for file in run.report["files"].values():
        counts.update(file["rejects"])
    sample = {reject.reason: reject for reject in reversed(run.rejects)}
    for reason, count in counts.most_common():
        found = sample.get(reason)
        text = f"{found.file}: {found.text[:_LONGEST_TEXT]}" if found else ""
        table.add_row(reason, f"{count:,}", text)
    return table


def _days(run: DryRun) -> Table:
    log = run.spec.log
    zone = f"rows of the day ({log.timezone})"
    folders = f"in its folder ({log.folder_timezone})"
    has_folders = bool(run.report["folders"])
    heads = ["day", zone, *([folders, "on another day"] if has_folders else [])]
    table = new_table("Days of the sample", heads)
    found = run.report["rows_per_day"]
    for day in sorted({*found, *run.report["folders"]}):
        cells = [day, f"{found.get(day, 0):,}"]
        if has_folders:
            counts = run.report["folders"].get(day, {})
            strays = counts.get("early", 0) + counts.get("late", 0)
            cells += [f"{counts.get('rows', 0):,}", f"{strays:,}"]
        table.add_row(*cells)
    return table


def _columns(columns: Sequence[SeenColumn]) -> Table:
    heads = ["column", "of", "type", "missing"]
    table = new_table("Columns that lack values", heads, texts=heads[:3])
    for column in columns:
        if column.missing:
            share = f"{column.missing:.2%}"
            table.add_row(column.name, column.where, column.declared, share)
    return table


def _tasks(run: DryRun, seen: Seen) -> Table:
    heads = ["task", "kind", "label's mean", "rows that train it"]
    table = new_table("Tasks, on the training days", heads, texts=["kind"])
    for task in run.spec.tasks if seen.means else ():
        share = f"{seen.known.get(task.name, 0.0):.1%}"
        table.add_row(task.name, task.kind, seen.mean(task.name), share)
    return table


def _shown_s(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
