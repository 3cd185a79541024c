"""All rows of a set of users -> their examples; plain functions on Polars frames.

The result does not depend on the order of the rows, nor on which other users share the
shard.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from feature_specs import Spec, expressions
from pipeline.examples.days import SplitPlan
from pipeline.examples.encode import encode
from pipeline.examples.hashing import hash_columns
from pipeline.examples.history import add_history
from pipeline.examples.timeline import TIME_MS, Timeline
from pipeline.examples.trails import add_trails

DUPLICATE = "duplicate"
MIN_ITEM, MIN_USER = "min_item_impressions", "min_user_events"
ITEM_IMPRESSIONS = "_item_impressions"  # of the row's video, on training days
ORDER = "_order"  # seeded hash of the impression: its place in the split
SPLIT = "_split"  # position in `split_names(plan)`

_DAY = "_day"
_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class Shard:
    """The examples of a set of users.

    Attributes:
        examples: `encode`'s columns, `SPLIT` (int64) and `ORDER` (uint64) [B].
        filtered: Rule -> rows that it is the first to drop.
    """

    examples: pl.DataFrame
    filtered: dict[str, int]


def split_names(plan: SplitPlan) -> tuple[str, ...]:
    """All splits of a run in the order of their days."""
    return (*plan.train, *plan.evaluation)


def filter_rules(spec: Spec) -> tuple[str, ...]:
    """The filters in the order in which they are asked."""
    return (DUPLICATE, *spec.filters.keep, MIN_ITEM, MIN_USER)


def make_examples(
    rows: pl.DataFrame, spec: Spec, plan: SplitPlan, seed: int = 0
) -> Shard:
    """Trails, history, filters, labels and features of all rows of a set of users.

    Args:
        rows: Log and join columns and `TIME_MS`, all of days in `plan`; with
            `ITEM_IMPRESSIONS` if the spec asks for `min_item_impressions`.
        spec: See `feature_specs`.
        plan: Which days are trained on.
        seed: Of the order inside a split.
    """
    unique = drop_duplicates(rows, spec)
    frame = _add_event_time(unique, spec)
    timeline = Timeline.of(frame, spec)
    frame = add_trails(frame, spec, timeline)
    frame = add_history(frame, spec, timeline)
    dropped_by = _first_dropping_rule(frame, spec, plan)  # [B]
    filtered = {rule: int((dropped_by == rule).sum()) for rule in filter_rules(spec)}
    filtered[DUPLICATE] = rows.height - unique.height
    kept = frame.filter(dropped_by == "")
    identity = [kept[name] for name in _identity(spec)]
    examples = encode(kept, spec).with_columns(
        pl.Series(SPLIT, _split_numbers(kept, plan), pl.Int64),
        pl.Series(ORDER, hash_columns(identity, seed), pl.UInt64),
    )
    return Shard(examples, filtered)


def drop_duplicates(rows: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    """Sorted by user, begin and item, one row each: the smallest in all its columns."""
    key = _identity(spec)
    rows = rows.sort(key)
    like_previous = pl.all_horizontal(
        pl.col(name) == pl.col(name).shift() for name in key
    )
    like_previous = like_previous.fill_null(False)
    like_next = like_previous.shift(-1).fill_null(False)
    repeated = rows.select(like_previous | like_next).to_series()
    if not repeated.any():
        return rows
    first = rows.filter(repeated).sort([*key, *sorted(set(rows.columns) - set(key))])
    first = first.unique(key, keep="first", maintain_order=True)
    return pl.concat([rows.filter(~repeated), first]).sort(key)


def on_training_days(frame: pl.DataFrame, spec: Spec, plan: SplitPlan) -> pl.Series:
    """Whether each row of `TIME_MS` [B] is of a training day."""
    days = frame.select(local_time(spec).dt.date()).to_series()
    return days < plan.first_evaluation_day


def local_time(spec: Spec) -> pl.Expr:
    """`TIME_MS` as a time in the spec's zone, which days and hours are taken from."""
    utc = pl.from_epoch(pl.col(TIME_MS), "ms").dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone(spec.log.timezone)


def _identity(spec: Spec) -> list[str]:
    """The columns that say which impression a row is."""
    return [spec.log.user, TIME_MS, spec.log.item]


def _add_event_time(frame: pl.DataFrame, spec: Spec) -> pl.DataFrame:
    frame = frame.with_columns(local_time(spec).alias("event_time"))
    return frame.with_columns(pl.col("event_time").dt.date().alias(_DAY))


def _first_dropping_rule(
    frame: pl.DataFrame, spec: Spec, plan: SplitPlan
) -> np.ndarray:
    """The first rule that drops each row, "" for a kept one; object [B].

    The two counts only see and only drop rows of training days; evaluation days keep
    everybody, as serving has to.
    """
    training = pl.col(_DAY) < plan.first_evaluation_day
    drops: dict[str, pl.Expr] = {
        rule: ~expressions.parse(condition).cast(pl.Boolean).fill_null(False)
        for rule, condition in spec.filters.keep.items()
    }
    if spec.filters.min_item_impressions:
        too_few = pl.col(ITEM_IMPRESSIONS) < spec.filters.min_item_impressions
        drops[MIN_ITEM] = training & too_few
    if spec.filters.min_user_events:
        events = training.sum().over(spec.log.user)
        drops[MIN_USER] = training & (events < spec.filters.min_user_events)
    rules = np.full(frame.height, "", object)
    judged = frame.select(expr.alias(rule) for rule, expr in drops.items())
    for rule in drops:
        rules[judged[rule].to_numpy() & (rules == "")] = rule
    return rules


def _split_numbers(frame: pl.DataFrame, plan: SplitPlan) -> np.ndarray:
    """Position of each row's split in `split_names(plan)`, int64 [B]."""
    names = split_names(plan)
    numbers = np.array([names.index(plan.split_of(day)) for day in plan.days])
    first = (plan.days.first - _EPOCH).days
    return numbers[frame[_DAY].to_physical().to_numpy() - first]
