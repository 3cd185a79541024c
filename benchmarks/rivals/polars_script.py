"""The same examples in one process, one frame and no Beam: the most direct way."""

from __future__ import annotations

import glob
import os

import polars as pl

from feature_specs import Spec
from feature_specs.column_types import parse_types
from pipeline.examples.columns import quantiles, statistics
from pipeline.examples.days import DAY, SplitPlan, local_time
from pipeline.examples.joins import ITEM_IMPRESSIONS
from pipeline.examples.reading.readers import begin_of
from pipeline.examples.shard import SPLIT, make_examples, settle
from pipeline.examples.tfrecords import split_path, write_examples


def run(spec: Spec, logs_dir: str, out_dir: str, plan: SplitPlan) -> None:
    """Writes `out_dir/Split-<name>/data_tfrecord-00000-of-00001.gz`."""
    rows = _read(spec.log.files, spec.log.columns, logs_dir)
    rows = rows.with_columns(begin_of(spec).ms(rows))
    rows = rows.filter(local_time(spec).dt.date() <= plan.days.last)
    frame, _ = settle(rows, spec, plan.days.first)
    for join in spec.log.joins.values():
        side = _read(join.files, join.columns, logs_dir).unique(join.key, keep="last")
        frame = frame.join(side, on=join.key, how="left", maintain_order="left")
    for by in dict.fromkeys(statistic.by for statistic in spec.statistics):
        sums = statistics.daily_sums(frame, spec, by)
        known = statistics.windows(sums, frame.select(by, DAY).unique(), spec, by)
        frame = frame.join(known, on=[by, DAY], how="left", maintain_order="left")
    training = pl.col(DAY) < plan.first_evaluation_day
    shown = training.sum().over(spec.log.item).cast(pl.Int64)
    frame = frame.with_columns(shown.alias(ITEM_IMPRESSIONS))
    histograms = quantiles.histogram(frame.filter(training), spec)
    examples = make_examples(frame, spec, plan, histograms).examples
    for (split,), part in examples.partition_by(SPLIT, as_dict=True).items():
        write_examples(split_path(out_dir, plan.splits[split], 0, 1), part)


def _read(pattern: str, declared: dict[str, str], logs_dir: str) -> pl.DataFrame:
    types = {name: kind.polars for name, kind in parse_types(declared).items()}
    return pl.concat(
        pl.read_csv(path, columns=list(types), schema_overrides=types).select(
            list(types)
        )
        for path in sorted(glob.glob(os.path.join(logs_dir, pattern)))
    )
