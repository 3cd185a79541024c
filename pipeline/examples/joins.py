"""What is known of a key (a video, a tab) brought to the rows that have it.

Side files, statistics over earlier days and counts meet by the key's hash. There the
users' shards ask for the keys that they hold and get one row for each: rows of the log
are shuffled by user only, and a video that half of all rows show costs one answer a
shard, so that no worker ever holds a whole side file, and none all rows of a hot video.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import polars as pl

from feature_specs import Spec
from feature_specs.column_types import parse_types
from pipeline.examples.columns import statistics
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.stages import Versions
from pipeline.examples.days import DAY, SplitPlan
from pipeline.examples.reading.blocks import LINE

ITEM_IMPRESSIONS = "_item_impressions"  # of the row's video, on training days
ASKING = "_asking"  # number of the shard that asks

_FILE, _RANGE = "_file", "_range"
_UNTIL = "_until"


@dataclasses.dataclass(frozen=True)
class Key:
    """One log column by which something is joined.

    Attributes:
        column: The column.
        joins: Names of the side files that have it.
        by_day: Whether there are statistics of it, which change from day to day.
        counted: Whether the impressions of its values are counted.
    """

    column: str
    joins: tuple[str, ...]
    by_day: bool
    counted: bool

    @property
    def asked(self) -> list[str]:
        """The columns of what a shard asks for."""
        return [self.column, DAY] if self.by_day or self.counted else [self.column]


def plan_keys(spec: Spec) -> tuple[Key, ...]:
    """The keys whose values are spread over shards: all but the user's."""
    log = spec.log
    columns = {join.key for join in log.joins.values()}
    columns |= {statistic.by for statistic in spec.statistics}
    if spec.filters.min_item_impressions:
        columns.add(log.item)
    return tuple(
        Key(
            column=column,
            joins=_joins_on(spec, column),
            by_day=any(statistic.by == column for statistic in spec.statistics),
            counted=column == log.item and spec.filters.min_item_impressions > 0,
        )
        for column in sorted(columns - {log.user})
    )


def user_joins(spec: Spec) -> tuple[str, ...]:
    """Names of the side files that have the user's column."""
    return _joins_on(spec, spec.log.user)


def place_side_rows(rows: pl.DataFrame, file: int, number: int) -> pl.DataFrame:
    """Adds where each side row stands, for `last_of_each_key`."""
    return rows.with_columns(
        pl.lit(file, pl.Int64).alias(_FILE), pl.lit(number, pl.Int64).alias(_RANGE)
    )


def last_of_each_key(
    side: pl.DataFrame, spec: Spec, name: str
) -> tuple[pl.DataFrame, int]:
    """(one row a key, the number of rows left out).

    Of several rows the last one counts, in the order of paths and lines.
    """
    join = spec.log.joins[name]
    ordered = side.sort(_FILE, _RANGE, LINE)
    unique = ordered.unique(join.key, keep="last", maintain_order=True)
    return unique.select(list(join.columns)), side.height - unique.height


def count_items(frame: pl.DataFrame, spec: Spec, plan: SplitPlan) -> pl.DataFrame:
    """Item and day -> `ITEM_IMPRESSIONS`: how often it was shown.

    Impressions count from `SplitPlan.counted_from` on.

    Args:
        frame: Impressions as `shard.settle` gives them, without carried ones.
        spec: See `feature_specs`.
        plan: Which days are trained on.
    """
    return frame.group_by(spec.log.item, plan.counted_from.alias(DAY)).agg(
        pl.len().cast(pl.Int64).alias(ITEM_IMPRESSIONS)
    )


def impressions_by(
    asked: pl.DataFrame, counts: pl.DataFrame, item: str, plan: SplitPlan
) -> pl.DataFrame:
    """The asked items and days with how often each was shown, as that day counts.

    Args:
        asked: Items and days.
        counts: `count_items` of all shards.
        item: The column.
        plan: Of the run.
    """
    total = counts.group_by(item, DAY).agg(pl.col(ITEM_IMPRESSIONS).sum())
    total = total.sort(DAY).select(
        item, pl.col(DAY).alias(_UNTIL), pl.col(ITEM_IMPRESSIONS).cum_sum().over(item)
    )
    wanted = asked.select(item, DAY).unique().drop_nulls()
    wanted = wanted.with_columns(plan.counted_from.alias(_UNTIL)).sort(_UNTIL)
    found = wanted.join_asof(total, on=_UNTIL, by=item, check_sortedness=False)
    return asked.join(found.drop(_UNTIL), on=[item, DAY], how="left").with_columns(
        pl.col(ITEM_IMPRESSIONS).fill_null(0)
    )


def shown_until(counts: pl.DataFrame, item: str, last: datetime.date) -> pl.DataFrame:
    """How often each item was shown up to the last day, as later days need it.

    Args:
        counts: `count_items` of all shards.
        item: The column.
        last: The newest day that is over.
    """
    total = counts.group_by(item).agg(pl.col(ITEM_IMPRESSIONS).sum())
    return total.select(item, pl.lit(last).alias(DAY), pl.col(ITEM_IMPRESSIONS)).sort(
        item
    )


def ask(frame: pl.DataFrame, key: Key, shard: int) -> pl.DataFrame:
    """What a shard wants to know: its values of the key, with the days if needed."""
    wanted = frame.select(key.asked).unique().filter(pl.col(key.column).is_not_null())
    return wanted.with_columns(pl.lit(shard, pl.Int64).alias(ASKING))


def answer(
    asked: pl.DataFrame,
    key: Key,
    spec: Spec,
    plan: SplitPlan,
    sides: Mapping[str, pl.DataFrame | None],
    sums: pl.DataFrame | None = None,
    counts: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The asked rows with all that is known of them.

    Args:
        asked: Rows of `ask` of any shards.
        key: The key that they ask about.
        spec: See `feature_specs`.
        plan: Of the run.
        sides: Side file -> its rows, each key once; None if there are none.
        sums: `statistics.daily_sums` by the key, added up; where there are statistics.
        counts: `count_items` of all shards; where impressions are counted.
    """
    for name in key.joins:
        asked = join_side(asked, sides[name], spec, name)
    if key.by_day:
        assert sums is not None  # whoever asks tells of his rows, too
        wanted = asked.select(key.asked).unique()
        known = statistics.windows(sums, wanted, spec, key.column)
        asked = asked.join(known, on=key.asked, how="left")
    if key.counted:
        assert counts is not None
        asked = impressions_by(asked, counts, key.column, plan)
    return asked


def add_answers(
    frame: pl.DataFrame, key: Key, answers: pl.DataFrame | None
) -> pl.DataFrame:
    """Impressions with what was answered about a key; null where its value is null."""
    if answers is None:
        raise RuntimeError(f"Nobody answered about {key.column!r}. Please report this.")
    answers = answers.drop(ASKING)
    return frame.join(answers, on=key.asked, how="left", maintain_order="left")


def add_own(
    frame: pl.DataFrame,
    spec: Spec,
    sides: Mapping[str, pl.DataFrame | None],
    versions: Versions,
    carried: Carried | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """(impressions with the user's side files and statistics, the sums of these).

    Args:
        frame: Impressions [B].
        spec: See `feature_specs`.
        sides: Side file -> its rows, each key once; None if there are none.
        versions: Of the impressions that events change.
        carried: What earlier days left.
    """
    for name in user_joins(spec):
        frame = join_side(frame, sides[name], spec, name)
    user = spec.log.user
    if not any(statistic.by == user for statistic in spec.statistics):
        return frame, None
    after = carried.day if carried else None
    sums = statistics.daily_sums(frame, spec, user, versions, after)
    if carried and carried.sums is not None:
        sums = statistics.add_up([sums, carried.sums])
    wanted = frame.select(user, DAY).unique()
    known = statistics.windows(sums, wanted, spec, user)
    frame = frame.join(known, on=[user, DAY], how="left", maintain_order="left")
    return frame, sums


def join_side(
    rows: pl.DataFrame, side: pl.DataFrame | None, spec: Spec, name: str
) -> pl.DataFrame:
    """Rows [B], in order, with the columns of a side file and `found_column(name)`.

    Args:
        rows: Rows with the key.
        side: The side rows, each key once; None if there are none.
        spec: See `feature_specs`.
        name: Of the join.
    """
    key = spec.log.joins[name].key
    if side is None:
        return rows.with_columns(
            *_empty_columns(spec, name), pl.lit(False).alias(found_column(name))
        )
    side = side.with_columns(pl.lit(True).alias(found_column(name)))
    return rows.join(side, on=key, how="left", maintain_order="left")


def found_column(name: str) -> str:
    """The column that says whether the side file has a row's key; null is no."""
    return f"_found_{name}"


def _joins_on(spec: Spec, column: str) -> tuple[str, ...]:
    return tuple(name for name, join in spec.log.joins.items() if join.key == column)


def _empty_columns(spec: Spec, name: str) -> list[pl.Expr]:
    join = spec.log.joins[name]
    types = parse_types(join.columns, spec.log.timezone)
    return [
        pl.lit(None, kind.polars).alias(column)
        for column, kind in types.items()
        if column != join.key
    ]
