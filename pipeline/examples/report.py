"""The run's report: every input row accounted for, and the checks on it.

Workers count into small dicts with tuple keys, Beam adds them up, and the sum becomes
one JSON file. `check` is called when the run is over.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from apache_beam.io.filesystems import FileSystems

from feature_specs import FeatureSpec, Spec, label_key, mask_key, views
from feature_specs.spec import KEY_REQUEST, NO_REQUEST
from pipeline.examples.days import SplitPlan
from pipeline.examples.duplicates import Copies
from pipeline.examples.errors import ExamplesError, RefusedError
from pipeline.examples.event_report import check_events, report_events
from pipeline.examples.history_logs import check_histories, report_history
from pipeline.examples.joins import found_column
from pipeline.examples.log_checks import check_folders, check_missing, check_rejects
from pipeline.examples.log_counts import Counts, report_counts
from pipeline.examples.reading.blocks import Block
from pipeline.examples.reading.sources import LOG, FileRange, source_name
from pipeline.examples.shard import (
    DUPLICATE,
    EVALUATION_ONLY,
    SPLIT,
    Shard,
    filter_rules,
)

_COPIES = tuple(f.name for f in dataclasses.fields(Copies) if f.name != "rows")
_WEEK = 7  # days before a day that say how many rows it should have
_TRAIL_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a report must keep to.

    Attributes:
        max_reject_share: Most unreadable rows, as a share of all.
        min_day_share: Least rows of a day, as a share of the median of the week before;
            0 lets every day pass.
        days: The days that are judged by it.
        earlier_rows: Rows of days before these that were read by earlier runs.
        empty_days: Days that were told to have no rows.
    """

    max_reject_share: float
    min_day_share: float
    days: tuple[datetime.date, ...]
    earlier_rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    empty_days: tuple[datetime.date, ...] = ()


def merge_counts(many: Iterable[Counts]) -> Counts:
    """The sum of counts, key by key."""
    total: Counts = collections.defaultdict(int)
    for counts in many:
        for key, count in counts.items():
            total[key] += count
    return dict(total)


class Stopwatch:
    """The time that one piece of a step takes, in seconds of its worker."""

    def __init__(self, step: str):
        self._step, self._began = step, time.perf_counter()

    def counts(self, rows: int) -> Counts:
        """What the step did since the watch was made."""
        elapsed = time.perf_counter() - self._began
        return {("step_rows", self._step): rows, ("step_s", self._step): elapsed}


def count_block(part: FileRange, block: Block) -> Counts:
    """Lines, rows and rejects of one block of a range."""
    counts: Counts = {
        ("lines", part.path, part.number): block.lines,
        ("rows", part.source): block.records,
        ("file_rows", part.path): block.records,
        ("file", part.source, part.path): 1,
        ("blank", part.source): block.blank_lines,
    }
    reasons = collections.Counter(reject.reason for reject in block.rejects)
    for reason, count in reasons.items():
        counts["reject", part.source, part.path, reason] = count
    if block.broken:
        counts["broken", part.path, block.broken] = 1
    return counts


def count_shard(
    shard: Shard, frame: pl.DataFrame, copies: Copies, spec: Spec, plan: SplitPlan
) -> Counts:
    """Filtered rows, copies, keys without a side row, trails, and sums of examples.

    Args:
        shard: The examples.
        frame: The impressions that they were made from.
        copies: What was found of rows that repeat another one.
        spec: See `feature_specs`.
        plan: Of the run.
    """
    counts: Counts = {("filtered", rule): n for rule, n in shard.filtered.items()}
    counts["filtered", DUPLICATE] = copies.rows
    counts |= {("masked", task): n for task, n in shard.masked.items()}
    for name in _COPIES:
        counts["copies", name] = getattr(copies, name)
    for name in spec.log.joins:
        missing = (~frame[found_column(name)].fill_null(False)).sum()
        counts["unmatched", name] = int(missing)
    if spec.log.request:
        requests = shard.examples[KEY_REQUEST]
        known = requests.filter(requests != NO_REQUEST)
        counts["requests",] = known.n_unique()  # no other shard has one of these
        counts["examples_without_request",] = len(requests) - len(known)
    for name, count in shard.damaged.items():
        counts["damaged", name] = count
    lengths, trails = np.unique(shard.trail_lengths, return_counts=True)
    for length, count in zip(lengths.tolist(), trails.tolist(), strict=True):
        counts["trail_length", length] = count
    for (split, length), count in shard.trail_parts.items():
        counts["trail_part", split, length] = count
    return counts | _label_sums(shard.examples, spec, plan)


def made_of(spec: Spec, plan: SplitPlan, seed: int) -> dict[str, Any]:
    """The report's first lines: what the examples were made of."""
    return {
        "spec": spec.name,
        "spec_digest": views.digest(spec, views.EXAMPLES),
        "days": str(plan.days),
        "seed": seed,
        "train": list(plan.train),
        "evaluation": list(plan.evaluation),
        "learned_through": f"{plan.last_learned:%Y%m%d}",
    }


def build_report(
    counts: Counts, spec: Spec, plan: SplitPlan, seed: int
) -> dict[str, Any]:
    """The report of a run, of plain JSON values.

    Args:
        counts: The sum of what all steps counted.
        spec: See `feature_specs`.
        plan: Of the run.
        seed: Of the order inside a split.
    """
    rows_in = _total(counts, "rows", LOG)
    rejected = _total(counts, "reject", LOG)
    files = _files(counts)
    return {
        **made_of(spec, plan, seed),
        "rows_in": rows_in,
        "blank_lines": _total(counts, "blank", LOG),
        "rejected": rejected,
        "reject_share": _share(rejected, rows_in),
        "outside_days": _total(counts, "outside_days"),
        "of_earlier_days": _total(counts, "early_days"),
        "context": _total(counts, "context"),
        "filtered": {
            rule: _total(counts, "filtered", rule) for rule in filter_rules(spec)
        },
        "examples": {split: _total(counts, "examples", split) for split in plan.splits},
        "evaluation_only": {
            split: _total(counts, "evaluation_only", split) for split in plan.evaluation
        },
        "duplicates": {name: _total(counts, "copies", name) for name in _COPIES},
        "rows_per_day": _rows_per_day(counts),
        "files": files,
        **report_counts(counts, spec, files),
        "joins": {name: _join_report(counts, name) for name in spec.log.joins},
        "histories": {name: report_history(counts, name) for name in spec.histories},
        "requests": _request_report(counts) if spec.log.request else None,
        "events": report_events(counts, spec, plan),
        "label_means": _label_means(counts, spec, plan.train),
        "label_means_per_split": {
            split: _label_means(counts, spec, (split,)) for split in plan.splits
        },
        "missing": _missing_shares(counts, spec),
        "damaged_vectors": {
            f.name: _total(counts, "damaged", f.name) for f in spec.features if f.width
        },
        "masked": _masked(counts, spec),
        "trails": _trail_report(counts),
        "steps": _step_report(counts),
        "state_files": _state_files(counts),
        "seen_files": _seen_files(counts),
    }


def read_report(path: str) -> dict[str, Any]:
    """The report that a run wrote; ExamplesError if it wrote none, or it is damaged."""
    if not FileSystems.exists(path):
        raise ExamplesError(f"{path}: no report. The run did not come to its end.")
    with FileSystems.open(path) as file:
        data = file.read()
    try:
        report: dict[str, Any] = json.loads(data)
        _ = report["examples"].keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExamplesError(
            f"{path}: is no report of examples any more ({type(error).__name__}: "
            f"{error}). Bring it back from a copy, or make all examples again."
        ) from None
    return report


def check(report: Mapping[str, Any], limits: Limits, rejects_dir: str) -> None:
    """Whether the examples of a run may be used.

    Args:
        report: Of the run.
        limits: What it must keep to.
        rejects_dir: Where the unreadable lines are, for the message.

    Raises:
        ExamplesError: Rows are lost, or a day has none.
        RefusedError: Too many are unreadable, or a day has too few.
    """
    _check_files(report)
    check_rejects(report, limits.max_reject_share, rejects_dir)
    check_missing(report)
    _check_sums(report)
    check_histories(report)
    check_events(report)
    _check_empty_days(report, limits)
    _check_days(report)
    check_folders(report["folders"], "log")
    for name, history in report["histories"].items():
        check_folders(history["folders"], source_name(name))
    for name, events in report["events"].items():
        check_folders(events["folders"], f"events.{name}", f"events of {name}")
    _check_splits(report)
    _check_small_days(report, limits)


def _check_files(report: Mapping[str, Any]) -> None:
    broken = [
        f"{path}: {reason}"
        for path, file in report["files"].items()
        for reason in file["broken"]
    ]
    if broken:
        raise ExamplesError(
            "Not all rows of these files could be read:\n  - " + "\n  - ".join(broken)
        )


def _check_sums(report: Mapping[str, Any]) -> None:
    parts = {
        "examples": sum(report["examples"].values()),
        "filtered": sum(report["filtered"].values()),
        "rejected": report["rejected"],
        "of context days": report["context"],
        "outside_days": report["outside_days"],
    }
    if sum(parts.values()) != report["rows_in"]:
        shown = " + ".join(f"{count} {name}" for name, count in parts.items())
        raise ExamplesError(
            f"{report['rows_in']} rows came in, but {shown} = {sum(parts.values())}. "
            "This is a fault of Trailrank; please report it with this line."
        )


def _check_days(report: Mapping[str, Any]) -> None:
    used = sum(report["examples"].values()) + sum(report["filtered"].values())
    if used:
        return
    raise ExamplesError(
        f"No row is of the days {report['days']}. {_days_with_rows(report)} "
        "Change --days, or check log.timezone and log.time.unit of the spec."
    )


def _check_empty_days(report: Mapping[str, Any], limits: Limits) -> None:
    rows = report["rows_per_day"]
    found = [_text(day) for day in limits.empty_days if rows.get(_text(day))]
    if found:
        shown = ", ".join(f"{day} ({rows[day]})" for day in found)
        raise ExamplesError(
            f"Days that were told to be empty have rows: {shown}. Make them before "
            "the days that follow, and leave them out of --empty_days."
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


def _check_small_days(report: Mapping[str, Any], limits: Limits) -> None:
    """A day with far fewer rows than the days before it: its input is not complete."""
    rows = {**limits.earlier_rows, **report["rows_per_day"]}
    small = []
    for day in limits.days:
        found, usual = rows.get(_text(day), 0), _usual_rows(rows, day)
        if found < limits.min_day_share * usual:
            small.append(f"{_text(day)} ({found}, against {usual:.0f})")
    if small:
        raise RefusedError(
            f"Unusually few rows on {', '.join(small)}: less than log.min_day_share = "
            f"{limits.min_day_share:.0%} of the median of the week before. Is the log "
            "of the day complete? If it is, allow it with --allow_small_days."
        )


def _usual_rows(rows: Mapping[str, int], day: datetime.date) -> float:
    """Median rows of the days with rows among the seven before; 0 if there is none."""
    week = [day - datetime.timedelta(days=n) for n in range(1, _WEEK + 1)]
    known = [rows[_text(other)] for other in week if _text(other) in rows]
    return statistics.median(known) if known else 0.0


def _text(day: datetime.date) -> str:
    return f"{day:%Y%m%d}"


def _days_with_rows(report: Mapping[str, Any]) -> str:
    days = report["rows_per_day"]
    if not days:
        return "No day has a readable row."
    shown = ", ".join(f"{day} ({count})" for day, count in list(days.items())[:31])
    more = f" and {len(days) - 31} days more" if len(days) > 31 else ""
    return f"Days with rows: {shown}{more}."


def _label_sums(examples: pl.DataFrame, spec: Spec, plan: SplitPlan) -> Counts:
    """Examples of each split, sums of its labels and masks, and what is missing."""
    sums = [pl.len().alias("examples")]
    sums.append(pl.col(EVALUATION_ONLY).sum().alias("evaluation_only"))
    for task in spec.tasks:
        mask = pl.col(mask_key(task.name)).cast(pl.Float64)
        sums.append(mask.sum().alias(f"mask {task.name}"))
        label = pl.col(label_key(task.name)) * mask
        sums.append(label.sum().alias(f"label {task.name}"))
    sums += [_is_missing(f).sum().alias(f"missing {f.name}") for f in spec.features]
    counts: Counts = {}
    for row in examples.group_by(SPLIT).agg(sums).iter_rows(named=True):
        split = plan.splits[row.pop(SPLIT)]
        for name, value in row.items():
            key = (*name.split(" "), split)
            counts[key] = value
    return counts


def _is_missing(feature: FeatureSpec) -> pl.Expr:
    """Where an example lacks a feature; an empty list is a null there."""
    value = pl.col(feature.name)
    if feature.width:
        return value.arr.first().is_nan()
    if feature.is_sequence:
        return value.is_null()
    return value.is_nan() if feature.dtype == "float32" else value == feature.missing


def _missing_shares(counts: Counts, spec: Spec) -> dict[str, float]:
    """Feature -> the share of all examples that lack it."""
    examples = _total(counts, "examples")
    return {
        feature.name: _share(_total(counts, "missing", feature.name), examples)
        for feature in spec.features
    }


def _masked(counts: Counts, spec: Spec) -> dict[str, int]:
    """Task -> examples of its sample space whose label is missing."""
    return {task.name: _total(counts, "masked", task.name) for task in spec.tasks}


def _rows_per_day(counts: Counts) -> dict[str, int]:
    days = sorted(key for key in counts if key[0] == "day")
    return {key[1]: int(counts[key]) for key in days}


def _files(counts: Counts) -> dict[str, dict[str, Any]]:
    """File -> its rows, its rejects by reason, and why it could not be read whole."""
    files: dict[str, dict[str, Any]] = {}
    for key in sorted(key for key in counts if key[0] == "file_rows"):
        files[key[1]] = {"rows": int(counts[key]), "rejects": {}, "broken": []}
    for key in sorted(key for key in counts if key[0] == "reject"):
        files[key[2]]["rejects"][key[3]] = int(counts[key])
    for key in sorted(key for key in counts if key[0] == "broken"):
        files[key[1]]["broken"].append(key[2])
    return files


def _join_report(counts: Counts, name: str) -> dict[str, Any]:
    rows, rejected = _total(counts, "rows", name), _total(counts, "reject", name)
    return {
        "rows": rows,
        "rejected": rejected,
        "reject_share": _share(rejected, rows),
        "duplicate_keys": _total(counts, "duplicate_keys", name),
        "unmatched": _total(counts, "unmatched", name),
    }


def _request_report(counts: Counts) -> dict[str, int]:
    return {
        "requests": _total(counts, "requests"),
        "examples_without": _total(counts, "examples_without_request"),
    }


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


def _trail_report(counts: Counts) -> dict[str, Any]:
    """How many trails begin on the run's days, and the quantiles of their lengths."""
    lengths = sorted(
        (key[1], n) for key, n in counts.items() if key[0] == "trail_length"
    )
    if not lengths:
        return {"trails": 0, "length_quantiles": {}}
    values, trails = np.array(lengths, np.int64).T
    until = np.cumsum(trails)
    places = [np.searchsorted(until, share * until[-1]) for share in _TRAIL_QUANTILES]
    quantiles = {
        f"{share:g}": int(values[place])
        for share, place in zip(_TRAIL_QUANTILES, places, strict=True)
    }
    return {"trails": int(until[-1]), "length_quantiles": quantiles}


def trail_parts(counts: Counts, split: str) -> dict[int, int]:
    """Impressions of a trail on a split's days -> such trails."""
    found = {
        key[2]: int(trails)
        for key, trails in counts.items()
        if key[0] == "trail_part" and key[1] == split
    }
    return dict(sorted(found.items()))


def _step_report(counts: Counts) -> dict[str, dict[str, float]]:
    """Step -> rows, seconds of all workers together, rows a second of one worker."""
    steps = {}
    for key in counts:
        if key[0] == "step_s":
            rows, seconds = int(counts["step_rows", key[1]]), counts[key]
            speed = round(rows / seconds) if seconds else 0
            busy_s = round(seconds, 3)
            steps[key[1]] = {"rows": rows, "busy_s": busy_s, "rows_per_s": speed}
    return steps


def _seen_files(counts: Counts) -> dict[str, list[float]]:
    """Files that hold no row of a later day -> their size and when they were written.

    Only of those that no day in their name tells apart.
    """
    marks = sorted(key[1:] for key in counts if key[0] == "mark")
    return {
        path: [size, updated]
        for path, size, updated in marks
        if ("later_rows", path) not in counts
    }


def _state_files(counts: Counts) -> dict[str, int]:
    """Each file of the day's state -> its rows; none where no state is written."""
    return {
        key[1]: int(counts[key]) for key in sorted(k for k in counts if k[0] == "state")
    }


def _total(counts: Counts, *head: str) -> int:
    return int(sum(n for key, n in counts.items() if key[: len(head)] == head))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
