"""Side files (users, videos) joined to the log, one shuffle for each key column.

Rows and side rows of the same keys meet in the same shard, so that no worker ever holds
a whole side file. The user's stage comes last: it holds all rows of its users.
"""

from __future__ import annotations

import dataclasses

import polars as pl

from feature_specs import Spec, expressions
from pipeline.examples.csv_lines import LINE
from pipeline.examples.days import SplitPlan
from pipeline.examples.shard import (
    ITEM_IMPRESSIONS,
    drop_duplicates,
    on_training_days,
)

_FILE, _RANGE = "_file", "_range"


@dataclasses.dataclass(frozen=True)
class Stage:
    """One shuffle of the rows by a key column.

    Attributes:
        column: The key.
        joins: Names of the side files that have it.
    """

    column: str
    joins: tuple[str, ...]


def plan_stages(spec: Spec) -> tuple[Stage, ...]:
    """The shuffles of a spec: other keys, the item's if needed, the user's last."""
    log = spec.log
    columns = [join.on for join in log.joins.values()]
    if spec.filters.min_item_impressions:
        columns.append(log.item)
    early = sorted(set(columns) - {log.user, log.item})
    item = [log.item] if log.item in columns else []
    return tuple(
        Stage(column, tuple(n for n, join in log.joins.items() if join.on == column))
        for column in (*early, *item, log.user)
    )


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
    unique = ordered.unique(join.on, keep="last", maintain_order=True)
    return unique.select(list(join.columns)), side.height - unique.height


def join_side(
    rows: pl.DataFrame, side: pl.DataFrame | None, spec: Spec, name: str
) -> pl.DataFrame:
    """Rows [B] with the columns of a side file; null where a key has no side row.

    Args:
        rows: Rows of the shard.
        side: The shard's side rows, each key once; None if there are none.
        spec: See `feature_specs`.
        name: Of the join.
    """
    key = spec.log.joins[name].on
    if side is None:
        return rows.with_columns(_empty_columns(spec, name))
    side = side.with_columns(pl.col(key).cast(rows.schema[key], strict=False))
    return rows.join(side, on=key, how="left")


def count_items(rows: pl.DataFrame, spec: Spec, plan: SplitPlan) -> pl.DataFrame:
    """Adds how often the row's video was shown on training days, repeats left out."""
    unique = drop_duplicates(rows, spec)
    training = unique.filter(on_training_days(unique, spec, plan))
    counts = training.group_by(spec.log.item).agg(
        pl.len().cast(pl.Int64).alias(ITEM_IMPRESSIONS)
    )
    counted = rows.join(counts, on=spec.log.item, how="left")
    return counted.with_columns(pl.col(ITEM_IMPRESSIONS).fill_null(0))


def _empty_columns(spec: Spec, name: str) -> list[pl.Expr]:
    join = spec.log.joins[name]
    return [
        pl.lit(None, expressions.polars_type(kind)).alias(column)
        for column, kind in join.columns.items()
        if column != join.on
    ]
