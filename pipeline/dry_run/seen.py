"""What a dry run saw of columns, features and tasks, as numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import polars as pl

from feature_specs import Spec, mask_key
from feature_specs.seen import Seen
from pipeline.dry_run.examples_frame import read_examples
from pipeline.dry_run.run import DryRun
from pipeline.examples.reading.readers import (
    join_sources,
    log_source,
    plan_ranges,
    read_blocks,
)
from pipeline.examples.reading.sample_checks import findings, sample_blocks
from pipeline.examples.reading.sources import Source


@dataclasses.dataclass(frozen=True)
class SeenColumn:
    """A column of the log or of a side file, in the sample.

    Attributes:
        where: `log`, or the join's name.
        name: Of the column.
        declared: Its type.
        missing: Share of readable rows without a value; NaN without any row.
    """

    where: str
    name: str
    declared: str
    missing: float


def seen_of(run: DryRun) -> Seen:
    """Of the training days' examples: label means, masks, missing and different values.

    Nothing is known where the pass did not come to its end.
    """
    if run.failure or not run.report:
        return Seen({}, {}, {}, {})
    examples = read_examples(run.examples, list(run.report["train"]))
    return Seen(
        means=run.report["label_means"],
        known={t.name: _mean(examples, mask_key(t.name)) for t in run.spec.tasks},
        missing=run.report["missing"],
        values={f.name: _different(examples, f.name) for f in run.spec.features},
    )


def seen_columns(run: DryRun) -> list[SeenColumn]:
    """Every declared column, read from the sample as the pass reads it."""
    sources = {"log": log_source(run.spec), **join_sources(run.spec)}
    return [
        column
        for name, source in sources.items()
        for column in _columns(name, source, run.sample.folder)
    ]


def told_by_files(run: DryRun) -> list[str]:
    """Where types and units of the spec do not fit the sample, with a value each."""
    sources = [log_source(run.spec), *join_sources(run.spec).values()]
    return [
        str(finding)
        for source in sources
        for finding in findings(source, sample_blocks(source, run.sample.folder))
    ]


def constant_labels(spec: Spec, seen: Seen) -> Mapping[str, str]:
    """Task -> why nothing can be learned for it in the sample."""
    found: dict[str, str] = {}
    for task in spec.tasks:
        mean = seen.means.get(task.name, 0.5)
        if mean is None:
            found[task.name] = "no training row is in its sample space"
        elif mean == 0:
            found[task.name] = "its label is 0 in all of them"
        elif mean == 1 and task.of_kind.is_probability:
            found[task.name] = "its label is 1 in all of them"
    return found


def _columns(name: str, source: Source, folder: str) -> list[SeenColumn]:
    rows = 0
    known: dict[str, int] = dict.fromkeys(source.columns, 0)
    for part in plan_ranges(source, folder):
        for block in read_blocks(part, source):
            rows += block.rows.height
            for column in source.columns:
                known[column] += block.rows[column].count()
    return [
        SeenColumn(
            name, column, declared, 1 - known[column] / rows if rows else float("nan")
        )
        for column, declared in source.columns.items()
    ]


def _mean(examples: pl.DataFrame, column: str) -> float:
    if column not in examples.columns or not examples.height:
        return 0.0
    return float(examples[column].to_numpy().mean())


def _different(examples: pl.DataFrame, name: str) -> int:
    """Different values, of a list its elements."""
    if name not in examples.columns:
        return 0
    values = examples[name].drop_nulls()
    if isinstance(values.dtype, pl.List):
        values = values.list.explode().drop_nulls()
    return values.n_unique()
