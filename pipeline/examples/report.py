"""The run's report: every input row accounted for, and the checks on it.

Workers count into small dicts with tuple keys, Beam adds them up, and the sum becomes
one JSON file. `check_report` is called when the run is over.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
from apache_beam.io.filesystems import FileSystems

from feature_specs import Spec, label_key, mask_key
from pipeline.examples.csv_lines import Block
from pipeline.examples.days import SplitPlan
from pipeline.examples.readers import LOG, FileRange
from pipeline.examples.shard import SPLIT, Shard, filter_rules, split_names

Counts = dict[tuple, float]

_COMMON_REASONS = 5


class ExamplesError(RuntimeError):
    """A run whose examples must not be used; the message says why."""


def merge_counts(many: Iterable[Counts]) -> Counts:
    """The sum of counts, key by key."""
    total: Counts = collections.defaultdict(int)
    for counts in many:
        for key, count in counts.items():
            total[key] += count
    return dict(total)


def count_block(part: FileRange, block: Block) -> Counts:
    """Lines, rows and rejects of one range of a file."""
    counts: Counts = {
        ("lines", part.path, part.number): block.lines,
        ("rows", part.source): block.lines - block.blank_lines,
        ("blank", part.source): block.blank_lines,
    }
    reasons = collections.Counter(reject.reason for reject in block.rejects)
    for reason, count in reasons.items():
        counts["reject", part.source, part.path, reason] = count
    return counts


def count_shard(shard: Shard, spec: Spec, plan: SplitPlan) -> Counts:
    """Filtered rows, examples and the sums of labels and masks of each split."""
    counts: Counts = {("filtered", rule): n for rule, n in shard.filtered.items()}
    sums = [pl.len().alias("examples")]
    for task in spec.tasks:
        mask = pl.col(mask_key(task.name)).cast(pl.Float64)
        sums.append(mask.sum().alias(f"mask {task.name}"))
        label = pl.col(label_key(task.name)) * mask
        sums.append(label.sum().alias(f"label {task.name}"))
    names = split_names(plan)
    for row in shard.examples.group_by(SPLIT).agg(sums).iter_rows(named=True):
        split = names[row.pop(SPLIT)]
        for name, value in row.items():
            key = (*name.split(" "), split)
            counts[key] = value
    return counts


def build_report(
    counts: Counts, spec: Spec, plan: SplitPlan, seed: int
) -> dict[str, Any]:
    """The report of a run, of plain JSON values."""
    rows_in = _total(counts, "rows", LOG)
    rejected = _total(counts, "reject", LOG)
    return {
        "spec": spec.name,
        "spec_digest": spec.digest,
        "days": str(plan.days),
        "seed": seed,
        "train": list(plan.train),
        "evaluation": list(plan.evaluation),
        "rows_in": rows_in,
        "blank_lines": _total(counts, "blank", LOG),
        "rejected": rejected,
        "reject_share": _share(rejected, rows_in),
        "outside_days": _total(counts, "outside_days"),
        "filtered": {
            rule: _total(counts, "filtered", rule) for rule in filter_rules(spec)
        },
        "examples": {
            split: _total(counts, "examples", split) for split in split_names(plan)
        },
        "rows_per_day": {
            key[1]: int(count)
            for key, count in sorted(counts.items(), key=lambda item: str(item[0]))
            if key[0] == "day"
        },
        "joins": {name: _join_report(counts, name) for name in spec.log.joins},
        "rejects": _rejects_by_file(counts),
        "label_means": _label_means(counts, spec, plan.train),
        "label_means_per_split": {
            split: _label_means(counts, spec, (split,)) for split in split_names(plan)
        },
    }


def read_report(path: str) -> dict[str, Any]:
    """The report that a run wrote; ExamplesError if it wrote none."""
    if not FileSystems.exists(path):
        raise ExamplesError(f"{path}: no report. The run did not come to its end.")
    with FileSystems.open(path) as file:
        return json.loads(file.read())


def check(report: Mapping[str, Any], spec: Spec, rejects_dir: str) -> None:
    """ExamplesError if rows are lost or unreadable, or a split has no example."""
    _check_rejects(report, spec, rejects_dir)
    _check_sums(report)
    _check_days(report)
    _check_splits(report)


def _check_rejects(report: Mapping[str, Any], spec: Spec, rejects_dir: str) -> None:
    shares = {"the log": report["reject_share"]}
    for name, join in report["joins"].items():
        shares[f"side file {name!r}"] = join["reject_share"]
    limit = spec.log.max_reject_share
    for what, share in shares.items():
        if share > limit:
            raise ExamplesError(
                f"{share:.2%} of the rows of {what} are unreadable, more than "
                f"log.max_reject_share = {limit:.2%}. Commonest: "
                f"{_commonest(report['rejects'])}. Every line is in {rejects_dir}: "
                "repair the logs, or raise the limit in the spec."
            )


def _check_sums(report: Mapping[str, Any]) -> None:
    parts = {
        "examples": sum(report["examples"].values()),
        "filtered": sum(report["filtered"].values()),
        "rejected": report["rejected"],
        "outside_days": report["outside_days"],
    }
    if sum(parts.values()) != report["rows_in"]:
        shown = " + ".join(f"{count} {name}" for name, count in parts.items())
        raise ExamplesError(
            f"{report['rows_in']} rows came in, but {shown} = {sum(parts.values())}. "
            "This is a fault of Trailrank; please report it with this line."
        )


def _check_days(report: Mapping[str, Any]) -> None:
    if report["rows_in"] - report["rejected"] - report["outside_days"] > 0:
        return
    raise ExamplesError(
        f"No row is of the days {report['days']}. {_days_with_rows(report)} "
        "Change --days, or check log.timezone and log.time.unit of the spec."
    )


def _check_splits(report: Mapping[str, Any]) -> None:
    empty = [split for split, count in report["examples"].items() if not count]
    if empty:
        kind = "evaluation" if empty[0] in report["evaluation"] else "training"
        raise ExamplesError(
            f"No example for {', '.join(empty)} ({kind}). {_days_with_rows(report)} "
            f"The filters dropped {report['filtered']}. Change --days, eval_days or "
            "log.days_per_split."
        )


def _days_with_rows(report: Mapping[str, Any]) -> str:
    days = report["rows_per_day"]
    if not days:
        return "No day has a readable row."
    shown = ", ".join(f"{day} ({count})" for day, count in list(days.items())[:31])
    more = f" and {len(days) - 31} days more" if len(days) > 31 else ""
    return f"Days with rows: {shown}{more}."


def _commonest(rejects: Mapping[str, Mapping[str, int]]) -> str:
    reasons: collections.Counter[str] = collections.Counter()
    for by_reason in rejects.values():
        reasons.update(by_reason)
    common = reasons.most_common(_COMMON_REASONS)
    return ", ".join(f"{reason} ({count})" for reason, count in common)


def _join_report(counts: Counts, name: str) -> dict[str, Any]:
    rows, rejected = _total(counts, "rows", name), _total(counts, "reject", name)
    return {
        "rows": rows,
        "rejected": rejected,
        "reject_share": _share(rejected, rows),
        "duplicate_keys": _total(counts, "duplicate_keys", name),
    }


def _rejects_by_file(counts: Counts) -> dict[str, dict[str, int]]:
    files: dict[str, dict[str, int]] = {}
    keys = sorted(key for key in counts if key[0] == "reject")
    for key in keys:
        files.setdefault(key[2], {})[key[3]] = int(counts[key])
    return files


def _label_means(
    counts: Counts, spec: Spec, splits: Iterable[str]
) -> dict[str, float | None]:
    """Mean label over each task's sample space; None where the space is empty."""
    means: dict[str, float | None] = {}
    for task in spec.tasks:
        mask = sum(counts.get(("mask", task.name, split), 0) for split in splits)
        label = sum(counts.get(("label", task.name, split), 0) for split in splits)
        # Nine digits: the order in which workers add up shows in the last ones only.
        means[task.name] = float(f"{label / mask:.9g}") if mask else None
    return means


def _total(counts: Counts, *head: str) -> int:
    return int(sum(n for key, n in counts.items() if key[: len(head)] == head))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
