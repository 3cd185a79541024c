"""All rows of a set of users -> their examples; plain functions on Polars frames.

The result does not depend on the order of the rows, nor on which other users share the
shard.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec
from feature_specs.spec import NO_REQUEST
from pipeline.arrays import Bools, Hashes, Ints
from pipeline.examples.columns.carried import Carried, are_new, taken, users_of
from pipeline.examples.columns.counters import add_counters
from pipeline.examples.columns.evaluate import evaluate, holds
from pipeline.examples.columns.history import add_history
from pipeline.examples.columns.quantiles import add_quantiles
from pipeline.examples.columns.remembering import USER_ROWS
from pipeline.examples.columns.requests import REQUEST, add_requests
from pipeline.examples.columns.stages import Versions
from pipeline.examples.columns.timeline import Timeline
from pipeline.examples.columns.trails import add_trails
from pipeline.examples.days import DAY, SplitPlan, local_time
from pipeline.examples.duplicates import Copies, identity, merge_copies
from pipeline.examples.encode import count_damaged, encode
from pipeline.examples.hashing import hash_columns
from pipeline.examples.joins import ITEM_IMPRESSIONS

DUPLICATE = "duplicate"
MIN_ITEM, MIN_USER = "min_item_impressions", "min_user_events"
ORDER = "_order"  # seeded hash of the impression: its place in the split
SPLIT = "_split"  # position in `SplitPlan.splits`
# Whether a training-only filter would drop it, were its day trained on.
EVALUATION_ONLY = "_evaluation_only"

_UPPER = np.uint64(0xFFFF_FFFF_0000_0000)
_EPOCH = datetime.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True)
class Shard:
    """The examples of a set of users.

    Attributes:
        examples: `encode`'s columns, `SPLIT` (int64), `ORDER` (uint64) and
            `EVALUATION_ONLY` (bool) [B].
        filtered: Rule of the spec -> rows of the plan's days that it is the first to
            drop.
        trail_lengths: Impressions of each trail that begins on the plan's days.
        trail_parts: (split, impressions of a trail on its days) -> such trails: known
            when the days are over, whatever follows.
        masked: Task -> examples of its sample space without a label.
        damaged: Vector feature -> rows of it that cannot be used.
    """

    examples: pl.DataFrame
    filtered: dict[str, int]
    trail_lengths: Ints
    trail_parts: dict[tuple[str, int], int]
    masked: dict[str, int]
    damaged: dict[str, int]


def filter_rules(spec: Spec) -> tuple[str, ...]:
    """The filters in the order in which they are asked."""
    return (DUPLICATE, *spec.filters.keep, MIN_ITEM, MIN_USER)


def settle(
    rows: pl.DataFrame, spec: Spec, first_day: datetime.date
) -> tuple[pl.DataFrame, Copies]:
    """(impressions in order, each once, what was found of copies from `first_day` on).

    Args:
        rows: Log columns and `TIME_MS`, in any order.
        spec: See `feature_specs`.
        first_day: Of the examples; earlier rows are context.

    Returns:
        The rows sorted by user, begin and item, with `event_time` and `DAY`.
    """
    rows = rows.with_columns(local_time(spec).alias("event_time"))
    rows = rows.with_columns(pl.col("event_time").dt.date().alias(DAY))
    return merge_copies(rows, spec, first_day)


def add_columns(
    frame: pl.DataFrame,
    spec: Spec,
    histograms: Sequence[Ints],
    versions: Versions | None = None,
    carried: Carried | None = None,
) -> pl.DataFrame:
    """Impressions with all that features and labels may read; see `make_examples`."""
    timeline = Timeline.of(frame, spec)
    frame = add_trails(frame, spec, timeline, versions, carried)
    frame = add_history(frame, spec, timeline, versions, carried)
    frame = add_requests(frame, spec, carried)
    frame = add_counters(frame, spec, timeline, versions, carried)
    frame = add_quantiles(frame, histograms, spec)
    for name, text in spec.derived.items():
        frame = frame.with_columns(evaluate(frame, text).alias(name))
    return frame


def make_examples(
    frame: pl.DataFrame,
    spec: Spec,
    plan: SplitPlan,
    histograms: Sequence[Ints],
    seed: int = 0,
    versions: Versions | None = None,
    carried: Carried | None = None,
) -> Shard:
    """Trails, history, counters, filters, labels and features of a set of users.

    Args:
        frame: All impressions of the users as `settle` gives them, with the columns
            that `joins.add_answers` and `add_histories` add.
        spec: See `feature_specs`.
        plan: Which days become examples, and which of them are trained on.
        histograms: Of `spec.quantiles`, see `quantiles.add_quantiles`.
        seed: Of the order inside a split.
        versions: Of the impressions that events change; see `events.attach`.
        carried: What days before the plan's left.
    """
    frame = add_columns(frame, spec, histograms, versions, carried)
    dropped_by, evaluation_only = _first_dropping_rule(frame, spec, plan, carried)
    inside = (frame[DAY] >= plan.days.first).to_numpy()
    is_kept = (dropped_by == "") & inside
    kept = frame.filter(is_kept)
    examples, unlabelled = encode(kept, spec)
    examples = examples.with_columns(
        pl.Series(SPLIT, _split_numbers(kept, plan), pl.Int64),
        pl.Series(ORDER, _order(kept, spec, seed), pl.UInt64),
        pl.Series(EVALUATION_ONLY, evaluation_only[is_kept]),
    )
    rules = dropped_by[inside]
    filtered = {rule: int((rules == rule).sum()) for rule in filter_rules(spec)[1:]}
    masked = {name: int(unlabelled[name].sum()) for name in unlabelled.columns}
    lengths, damaged = _lengths(frame, inside), count_damaged(kept, spec)
    parts = _trail_parts(frame.filter(inside), spec, plan)
    return Shard(examples, filtered, lengths, parts, masked, damaged)


def _order(kept: pl.DataFrame, spec: Spec, seed: int) -> Hashes:
    """Seeded hashes of impressions; the upper half is the request's, if its rows lie
    together."""
    hashed = hash_columns([kept[name] for name in identity(spec)], seed)
    if not spec.log.keeps_requests:
        return hashed
    is_of_none = kept[REQUEST].to_numpy() == NO_REQUEST
    of_request = hash_columns([kept[REQUEST]], seed)
    of_request = np.where(is_of_none, hashed, of_request)
    return (of_request & _UPPER) | (hashed >> np.uint64(32))


def _first_dropping_rule(
    frame: pl.DataFrame, spec: Spec, plan: SplitPlan, carried: Carried | None
) -> tuple[npt.NDArray[np.object_], Bools]:
    """(the first rule that drops each row, "" for a kept one; whether it is kept for
    evaluation only); object and bool [B].

    The two counts only drop rows of training days; evaluation days keep everybody, as
    serving has to. Those that they would drop are told apart: when the day is trained
    on, they are not.
    """
    drops = {
        rule: ~holds(frame, condition) for rule, condition in spec.filters.keep.items()
    }
    if spec.filters.min_item_impressions:
        shown = frame[ITEM_IMPRESSIONS].to_numpy()
        drops[MIN_ITEM] = shown < spec.filters.min_item_impressions
    if spec.filters.min_user_events:
        found = _user_events(frame, spec, plan, carried)
        drops[MIN_USER] = found < spec.filters.min_user_events
    rules = np.full(frame.height, "", object)
    for rule, dropped in drops.items():
        rules[dropped & (rules == "")] = rule
    only = (frame[DAY] >= plan.first_evaluation_day).to_numpy()
    only &= (rules == MIN_ITEM) | (rules == MIN_USER)
    rules[only] = ""
    return rules, only


def _user_events(
    frame: pl.DataFrame, spec: Spec, plan: SplitPlan, carried: Carried | None
) -> Ints:
    """How many impressions each row's user has, as the row's day counts, int64 [B].

    Rows are in order, so those that a row counts end where the next day begins.
    """
    users = frame[spec.log.user].rle_id().to_numpy()
    days = frame.select(plan.counted_from.to_physical()).to_series().to_numpy()
    begins = (np.diff(users, prepend=-1) != 0) | (np.diff(days, prepend=days[:1]) != 0)
    ends = np.append(np.flatnonzero(begins)[1:], frame.height)[np.cumsum(begins) - 1]
    new = np.concatenate([[0], np.cumsum(are_new(frame, carried))])
    starts = np.searchsorted(users, users)
    found = new[ends] - new[starts]
    if carried is not None:
        numbers = users.astype(np.int64)
        at = users_of(frame, numbers, spec, carried)
        table = None if carried.users is None else carried.users[USER_ROWS]
        found = found + taken(table, at, 0)[numbers]
    return found


def _split_numbers(frame: pl.DataFrame, plan: SplitPlan) -> Ints:
    """Position of each row's split in `plan.splits`, int64 [B]."""
    numbers = np.array([plan.splits.index(plan.split_of(day)) for day in plan.days])
    first = (plan.days.first - _EPOCH).days
    days: Ints = frame[DAY].to_physical().to_numpy() - first
    return numbers[days]


def _lengths(frame: pl.DataFrame, inside: Bools) -> Ints:
    """`trail_length` of the trails that begin on the plan's days; none without trails.

    A trail that goes on after the last day counts as far as it was read.
    """
    if "trail_length" not in frame.columns:
        return np.zeros(0, np.int64)
    begins = (frame["trail_position"] == 1).to_numpy() & inside
    return frame["trail_length"].to_numpy()[begins]


def _trail_parts(
    rows: pl.DataFrame, spec: Spec, plan: SplitPlan
) -> dict[tuple[str, int], int]:
    """`Shard.trail_parts` of impressions of the plan's days; none without trails."""
    if "trail_position" not in rows.columns:
        return {}
    trail = (rows["trail_position"] == 1).cum_sum()  # rows of a trail are together
    split = pl.Series(SPLIT, _split_numbers(rows, plan), pl.Int64)
    parts = rows.select(spec.log.user).with_columns(trail, split)
    sizes = parts.group_by(parts.columns).len("impressions")
    counts = sizes.group_by(SPLIT, "impressions").len("trails")
    return {
        (plan.splits[place], impressions): trails
        for place, impressions, trails in counts.iter_rows()
    }
