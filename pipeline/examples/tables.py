"""What example generation prints: where the rows went, day by day and step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from feature_specs import Spec
from pipeline.examples.days import DayRange
from pipeline.examples.events import EARLY, OUTSIDE, SHARED
from pipeline.examples.reading.day_stretches import show
from pipeline.reporting.tables import new_table


def told_lines(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the report should know beside its tables, a line each."""
    lines = [duplicates_line(report), unexpected_line(report), masked_line(report)]
    lines += [missing_line(report), damaged_line(report), trails_line(report)]
    lines += [requests_line(report), *events_lines(report)]
    return [line for line in lines if line]


def report_tables(report: Mapping[str, Any]) -> list[Table]:
    """The report of a run: rows, splits, steps and, if there are some, rows of other
    logs, what was assumed about rows, columns without a value, and rejects."""
    tables = [rows_table(report), _splits_table(report), _steps_table(report)]
    tables += history_tables(report)
    others = [_notes_table(report), _empty_table(report), _rejects_table(report)]
    return tables + [table for table in others if table.row_count]


def rows_table(report: Mapping[str, Any]) -> Table:
    """Where every input row went; the last line is the sum."""
    table = new_table("Rows", ["where", "rows"])
    for where, count in row_counts(report).items():
        table.add_row(where, f"{count:,}")
    table.add_section()
    table.add_row("in", f"{report['rows_in']:,}")
    return table


def row_counts(report: Mapping[str, Any]) -> dict[str, int]:
    """Each bucket of the example report -> rows; they sum to the rows read."""
    counts = {"examples": sum(report["examples"].values())}
    counts |= {f"filtered: {rule}": n for rule, n in report["filtered"].items()}
    return counts | {
        "context (earlier days)": report["context"],
        "outside the days": report["outside_days"],
        "rejected": report["rejected"],
    }


def trails_line(report: Mapping[str, Any]) -> str:
    """The number of trails and the quantiles of their lengths, in one line."""
    trails = report["trails"]
    if not trails["trails"]:
        return "No watch trails: the spec has no `trail` section."
    lengths = ", ".join(
        f"{float(share):.0%} at most {length}"
        for share, length in trails["length_quantiles"].items()
    )
    return f"{trails['trails']:,} watch trails; impressions: {lengths}"


def requests_line(report: Mapping[str, Any]) -> str:
    """The number of requests; "" where the spec tells none apart."""
    found = report.get("requests")  # older runs do not tell
    if not found:
        return ""
    line = f"{found['requests']:,} requests"
    if found["examples_without"]:
        line += f"; {found['examples_without']:,} examples are of none"
    return f"{line}."


def duplicates_line(report: Mapping[str, Any]) -> str:
    """What became of impressions that the log tells more than once; "" for none."""
    found = report.get("duplicates")  # older runs do not tell
    if not found or not found["impressions"]:
        return ""
    line = (
        f"{found['impressions']:,} impressions came more than once: "
        f"{found['identical']:,} with equal rows, {found['outcomes_differ']:,} with "
        f"other outcomes, {found['others_differ']:,} with other values elsewhere"
    )
    if found["texts_differ"]:
        line += (
            f"; {found['texts_differ']:,} with two texts in one outcome, of which the "
            "larger stayed: say in log.duplicates which row counts"
        )
    return line + "."


def missing_line(report: Mapping[str, Any]) -> str:
    """The features that no example has; "" for none."""
    shares = report.get("missing", {})  # older runs do not tell
    missing = [name for name, share in shares.items() if share == 1]
    if not missing:
        return ""
    return (
        f"No example has a value of {', '.join(missing)}. Do the expressions fit the "
        "log's values? A text that a CAST cannot read is missing."
    )


def damaged_line(report: Mapping[str, Any]) -> str:
    """How many vectors were there and could not be used; "" for none."""
    found = {k: n for k, n in report.get("damaged_vectors", {}).items() if n}
    if not found:
        return ""
    told = ", ".join(f"{count:,} of {name}" for name, count in found.items())
    return (
        f"Vectors of another length, or with a float that is missing, NaN or infinite, "
        f"count as missing: {told}."
    )


def unexpected_line(report: Mapping[str, Any]) -> str:
    """The columns without a value in some rows, though their type has no `?`."""
    shares = {
        column: found["share"]
        for column, found in report.get("missing_values", {}).items()
        if not found["expected"]
    }
    if not shares:
        return ""
    shown = ", ".join(f"{c} ({_percent(share)})" for c, share in shares.items())
    return (
        f"Columns declared without `?`, but missing in some rows: {shown}. The rows "
        "stay; labels that need such a value are masked."
    )


def masked_line(report: Mapping[str, Any]) -> str:
    """The tasks of which some examples of the sample space have no label."""
    masked = {task: n for task, n in report.get("masked", {}).items() if n}
    if not masked:
        return ""
    shown = ", ".join(f"{task} ({count:,})" for task, count in masked.items())
    return f"Examples without a label, masked: {shown}."


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else "under 0.01%"


def events_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Where events went, and which labels may still change, a line each."""
    for name, found in report.get("events", {}).items():  # older runs do not tell
        yield (
            f"{name}: {found['joined']:,} of {found['rows']:,} events joined, "
            f"{found['late']:,} late (after {found['window']}), "
            f"{found['unmatched']:,} unmatched ({found[EARLY]:,} before their "
            f"impression, {found[OUTSIDE]:,} of other days), "
            f"{found['repeated']:,} repeated, {found['rejected']:,} rejected."
        )
        if found[SHARED]:
            yield (
                f"{name}: {found[SHARED]:,} events have a key that several "
                "impressions which began together share; one of them gets the event. "
                f"Name more columns in events.{name}.key."
            )
        if found["incomplete_days"]:
            days = show(DayRange.parse(day).first for day in found["incomplete_days"])
            yield (
                f"{name}: labels of {days} may still change ("
                f"{', '.join(found['labels']) or 'none reads it'}): events count for "
                f"{found['window']}, and those that were read end at "
                f"{found['read_until']}. Move the newest days out (--label_delay), or "
                "replace these days once their events are there (--replace)."
            )


def labels_lines(report: Mapping[str, Any], spec: Spec) -> list[str]:
    """Tasks from which nothing can be learned, a line each: no row, or all alike.

    None in a run whose days are all kept for evaluation.
    """
    lines: list[str] = []
    if report.get("train") == []:
        return lines
    for task in spec.tasks:
        mean = report["label_means"][task.name]
        if mean is None:
            what = "no training row is in its sample space"
        elif mean == 0:
            what = "its label is 0 in all training rows"
        elif mean == 1 and task.of_kind.is_probability:
            what = "its label is 1 in all training rows"
        else:
            continue
        lines.append(f"Nothing to learn for task {task.name}: {what}.")
    return lines


def history_tables(report: Mapping[str, Any]) -> list[Table]:
    """Where the rows of each history went; none if there is no history."""
    histories = report.get("histories")  # older runs do not tell
    if not histories:
        return []
    table = new_table(
        "Rows of other logs", ["history", "where", "rows"], texts=["where"]
    )
    for name, found in histories.items():
        for bucket, count in found["buckets"].items():
            table.add_row(name, bucket.replace("_", " "), f"{count:,}")
        table.add_section()
        table.add_row(name, "in", f"{found['rows_in']:,}")
        table.add_section()
    return [table]


def _splits_table(report: Mapping[str, Any]) -> Table:
    """Examples and label means of each split."""
    means = report["label_means_per_split"]
    tasks = list(next(iter(means.values())))
    shown = tasks[:4]  # what fits in 80 columns; the report has all
    more = f" (of {len(tasks)} tasks; all are in the report)" * (len(tasks) > 4)
    title = f"Splits, with label means{more}"
    table = new_table(title, ["split", "for", "examples", *shown])
    for split, count in report["examples"].items():
        purpose = "evaluation" if split in report["evaluation"] else "training"
        values = [means[split][task] for task in shown]
        cells = ["" if value is None else f"{value:.4g}" for value in values]
        table.add_row(split, purpose, f"{count:,}", *cells)
    return table


def _steps_table(report: Mapping[str, Any]) -> Table:
    heads = ["step", "rows", "worker seconds", "rows/s a worker"]
    table = new_table(f"Steps, {report['wall_s']:.1f} s in all", heads)
    for step, done in report["steps"].items():
        cells = (
            f"{done['rows']:,}",
            f"{done['busy_s']:.1f}",
            f"{done['rows_per_s']:,}",
        )
        table.add_row(step, *cells)
    return table


def _notes_table(report: Mapping[str, Any]) -> Table:
    table = new_table("Read by a rule", ["what", "rows"])
    for note, count in report["notes"].items():
        table.add_row(note, f"{count:,}")
    return table


def _empty_table(report: Mapping[str, Any]) -> Table:
    heads = ["column", "files", "days"]
    table = new_table("Columns without a value", heads, texts=["days"])
    for column, where in report["empty_columns"].items():
        days = map(DayRange.parse, where["days"])
        shown = show(day for one in days for day in one)
        table.add_row(column, f"{len(where['files']):,}", shown)
    return table


def _rejects_table(report: Mapping[str, Any]) -> Table:
    table = new_table("Rejects", ["file", "reason", "rows"], texts=["reason"])
    for path, file in report["files"].items():
        for reason, count in file["rejects"].items():
            table.add_row(path.rsplit("/", 1)[-1], reason, f"{count:,}")
    return table
