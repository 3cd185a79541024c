"""The steps on Beam that put the summaries of days together; see `pipeline.summaries`.

    files -> columns of a file ------------------------------\\
          \\-> counts of values, by split and hash -> the top -> a split's -> its file
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.spec import KEY_ITEM, KEY_USER
from pipeline.examples.days import SplitPlan
from pipeline.examples.hashing import hash_shards
from pipeline.examples.log_counts import Counts
from pipeline.examples.report import trail_parts
from pipeline.examples.shuffle import Parcel, Shuffle, split_by
from pipeline.examples.tfrecords import write_whole
from pipeline.summaries.columns import columns_of, most_values
from pipeline.summaries.store import summary_path, to_bytes
from pipeline.summaries.summarize import VALUE, Columns, add_up_values, join, summarize
from pipeline.summaries.summary import ColumnSummary, DaySummary

SUMMARIES, VALUES = "summaries", "values"
_PARTS_AT_ONCE = 16

Part = tuple[int, int, int]  # (split, part of its values, 1 for texts)


class SummarizeFile:
    """The rows of one file -> elements of `SUMMARIES` and `VALUES`."""

    def __init__(self, spec: Spec, shuffle: Shuffle) -> None:
        self._columns, self._shuffle = columns_of(spec), shuffle

    def __call__(
        self, rows: pl.DataFrame, split: int, files: int
    ) -> Iterator[beam.pvalue.TaggedOutput]:
        """Of rows of a split that goes into `files` files."""
        found = summarize(rows, self._columns)
        yield beam.pvalue.TaggedOutput(SUMMARIES, (split, found.columns))
        with self._shuffle.sender() as send:
            sent = [
                ((split, place, is_text), send(part))
                for is_text, counts in enumerate((found.numbers, found.texts))
                for place, part in _parted(counts, files)
            ]
        yield from (beam.pvalue.TaggedOutput(VALUES, entry) for entry in sent)


def _parted(counts: pl.DataFrame, parts: int) -> Iterator[tuple[int, pl.DataFrame]]:
    """Counts of values by the part that adds them up."""
    if not counts.height:
        return iter(())
    if parts == 1:
        return split_by(counts, np.zeros(counts.height, np.int64))
    return split_by(counts, hash_shards(counts[VALUE], parts))


class AddUpValues(beam.DoFn):
    """(part, all counts of its values) -> (split, the most frequent values)."""

    def __init__(self, spec: Spec, shuffle: Shuffle) -> None:
        self._columns, self._shuffle = columns_of(spec), shuffle

    def process(
        self, element: tuple[Part, Iterable[Parcel]]
    ) -> Iterator[tuple[int, Columns]]:
        (split, _, _), parcels = element
        counts = self._shuffle.receive(parcels)
        assert counts is not None  # a group has one parcel at least
        yield split, add_up_values(counts, self._columns)


class JoinSummaries(beam.CombineFn):
    """The parts of a split -> the summaries of its columns; memory stays bounded."""

    def __init__(self, spec: Spec) -> None:
        self._most = most_values(spec)

    def create_accumulator(self) -> list[Columns]:
        return []

    def add_input(self, accumulator: list[Columns], part: Columns) -> list[Columns]:
        return self._few([*accumulator, part])

    def merge_accumulators(
        self, accumulators: Iterable[list[Columns]]
    ) -> list[Columns]:
        return self._few([part for parts in accumulators for part in parts])

    def compact(self, accumulator: list[Columns]) -> list[Columns]:
        return [join(accumulator, self._most)]

    def extract_output(self, accumulator: list[Columns]) -> Columns:
        return join(accumulator, self._most)

    def _few(self, parts: list[Columns]) -> list[Columns]:
        """Parts are joined several at once: each time all their values are sorted."""
        return parts if len(parts) < _PARTS_AT_ONCE else self.compact(parts)


class WriteSummary(beam.DoFn):
    """(split, its columns) -> its summary's file."""

    def __init__(self, plan: SplitPlan, folder: str) -> None:
        self._plan, self._folder = plan, folder

    def process(self, element: tuple[int, Columns], counts: Counts) -> None:
        place, columns = element
        summary = day_summary(self._plan.splits[place], columns, self._plan, counts)
        path = summary_path(self._folder, summary.split)
        write_whole(path, iter([to_bytes(summary)]))


def day_summary(
    split: str, columns: Columns, plan: SplitPlan, counts: Counts
) -> DaySummary:
    """The summary of a split.

    Args:
        split: One of the plan's.
        columns: Of all its rows.
        plan: Of the run.
        counts: What readers and makers of examples counted, in all.
    """
    names = [f"{day:%Y%m%d}" for day in plan.days if plan.split_of(day) == split]
    readable = sum(int(counts.get(("day", name), 0)) for name in names)
    rejected = sum(int(counts.get(("day_reject", name), 0)) for name in names)
    return DaySummary(
        split=split,
        rows=columns[KEY_USER].rows,
        users=_distinct(columns[KEY_USER]),
        videos=_distinct(columns[KEY_ITEM]),
        read=readable + rejected,
        rejected=rejected,
        trail_lengths=trail_parts(counts, split),
        columns=columns,
    )


def _distinct(column: ColumnSummary) -> int:
    return column.distinct or 0


def add_summaries(written: Any, spec: Spec, shuffle: Shuffle) -> beam.PCollection:
    """(split, its columns) from what `SummarizeFile` gave of all files."""
    values = (
        written[VALUES]
        | "Gather values" >> beam.GroupByKey()
        | "Add up values" >> beam.ParDo(AddUpValues(spec, shuffle))
    )
    return (
        (written[SUMMARIES], values)
        | "Collect summaries" >> beam.Flatten()
        | "Join summaries" >> beam.CombinePerKey(JoinSummaries(spec))
    )
