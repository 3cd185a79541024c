"""The examples pass on a sample of logs, and what came of it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from feature_specs import Spec
from feature_specs.errors import TrailrankError
from feature_specs.named import SpecLike, as_spec
from feature_specs.places import Place, absolute
from pipeline.examples.make import make_examples
from pipeline.log_places import check_logs
from pipeline.quiet import load_beam

if TYPE_CHECKING:
    from pipeline.dry_run.sample_logs import SampledLogs

_MOST_SHOWN = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reject:
    """A row that could not be read."""

    file: str
    line: int
    reason: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DryRun:
    """What the examples pass made of a sample.

    Attributes:
        spec: Without the filters that count, which a sample cannot be asked.
        sample: The copied rows.
        report: As of a run, see `pipeline.examples.report`.
        rejects: Some unreadable rows, the first of each reason first.
        failure: Why a run on these rows would not end well; "" if it would.
        examples: Directory with the splits that were made; gone with the dry run.
        wall_s: Seconds that it took.
    """

    spec: Spec
    sample: SampledLogs
    report: Mapping[str, Any]
    rejects: tuple[Reject, ...]
    failure: str
    examples: str
    wall_s: float


@contextmanager
def dry_run(
    spec: SpecLike,
    logs: Place,
    *,
    rows: int = 20_000,
    days: str | None = None,
    eval_days: int = 1,
    seed: int = 0,
) -> Iterator[DryRun]:
    """The examples of about so many rows, in a folder that is removed afterwards.

    >>> with trailrank.dry_run("kuairand", "logs/data", rows=500) as found:
    ...     list(found.report["label_means"])[:2]
    ['valid_play', 'long_view']

    Args:
        spec: What the logs hold.
        logs: Directory of the raw logs.
        rows: Of the log, in whole users.
        days: As of `make_examples`; by default those of the sample.
        eval_days: The same.
        seed: Of the order inside a day.

    Raises:
        SpecError: The spec has mistakes.
        PlaceError: There are no logs.
        LogsError: A whole file is unreadable, or lacks a column.
    """
    found = as_spec(spec)
    check_logs(found, absolute(logs))
    load_beam()
    from pipeline.dry_run.sample_logs import sample_logs
    from pipeline.examples.reading.log_files import find_logs

    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="trailrank-dry-run-") as folder:
        copy = os.path.join(folder, "logs")
        os.mkdir(copy)
        where = find_logs(found, absolute(logs))
        sample = sample_logs(found, where, copy, rows)
        tried = _without_counts(found)
        made = os.path.join(folder, "examples")
        report, failure = _make(tried, sample, made, days, eval_days, seed)
        yield DryRun(
            spec=tried,
            sample=sample,
            report=report,
            rejects=_rejects(os.path.join(made, "rejects"), copy),
            failure=failure.replace(copy, where),
            examples=made,
            wall_s=time.perf_counter() - began,
        )


def _without_counts(spec: Spec) -> Spec:
    filters = dataclasses.replace(
        spec.filters, min_user_events=0, min_item_impressions=0
    )
    return dataclasses.replace(spec, filters=filters)


def _make(
    spec: Spec,
    sample: SampledLogs,
    out: str,
    days: str | None,
    eval_days: int,
    seed: int,
) -> tuple[Mapping[str, Any], str]:
    """(the report, {} if there is none; why a run would fail, "" if it would not)."""
    try:
        make_examples(
            spec,
            sample.folder,
            out,
            days=days,
            eval_days=eval_days,
            allow_small_days=True,
            seed=seed,
        )
        failure = ""
    except TrailrankError as error:
        failure = str(error)
    path = pathlib.Path(out, "report.json")
    return (json.loads(path.read_text()) if path.exists() else {}), failure


def _rejects(folder: str, copy: str) -> tuple[Reject, ...]:
    """Rejects, those of a new reason first."""
    first: dict[str, Reject] = {}
    others: list[Reject] = []
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        for line in path.read_text().splitlines():
            found = Reject(**json.loads(line))
            found = dataclasses.replace(found, file=os.path.relpath(found.file, copy))
            if first.setdefault(found.reason, found) is not found:
                others.append(found)
    return (*first.values(), *others)[:_MOST_SHOWN]
