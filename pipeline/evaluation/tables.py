"""The tables that a run prints: how good each task is, and on each slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from rich.table import Table

from feature_specs.registry import RoomTable
from feature_specs.task_kinds import TASK_KINDS, Binary, Regression
from pipeline.evaluation.fused import SHOWN, Ranking
from pipeline.evaluation.quality import TaskQuality
from pipeline.evaluation.user_sums import FUSED
from pipeline.reporting.tables import new_table, number, percent

_TOP = "10"  # rows of a group whose precision and recall are shown

_Tabled: TypeAlias = Callable[[Sequence[TaskQuality]], Table]

# Kind of task -> one table of all such tasks; tables come in this order.
TABLES: RoomTable[_Tabled] = RoomTable(
    "pipeline.evaluation.tables",
    "shows tasks of",
    "@pipeline.evaluation.tables.tabled",
)
tabled = TABLES.register


def quality_tables(qualities: Sequence[TaskQuality]) -> list[Table]:
    """Every task against the label mean as a constant prediction, and the oracle."""
    tables = []
    for table in TABLES.entries():
        own = [q for q in qualities if TABLES[TASK_KINDS[q.kind]] is table]
        tables += [table(own)] if own else []
    return tables


def slice_table(slices: dict[str, list[TaskQuality]], tasks: Sequence[str]) -> Table:
    """AUC of some tasks on each slice of the evaluation rows."""
    table = new_table("AUC by slice", ["slice", "rows", *tasks])
    for name, qualities in slices.items():
        areas = {quality.task: number(quality.auc) for quality in qualities}
        rows = max(quality.rows for quality in qualities)
        table.add_row(name, f"{rows:,}", *(areas[task] for task in tasks))
    return table


def ranking_tables(ranking: Ranking) -> list[Table]:
    """NDCG of each order, and what the fused one does for each task's labels."""
    return [_order_table(ranking), _top_table(ranking)]


def _order_table(ranking: Ranking) -> Table:
    cutoffs = list(ranking.orders[0].ndcg)
    heads = ["ordered by", *(f"NDCG@{k}" for k in cutoffs)]
    with_truth = any(order.utility for order in ranking.orders)
    heads += [f"true @{k}" for k in cutoffs] if with_truth else []
    gains = f"{', '.join(ranking.scales)}, as the fusion weighs them"
    table = new_table(
        f"Ranking, {ranking.groups:,} groups by {ranking.by}, {ranking.rows:,} rows",
        heads,
        caption=f"Gains: {ranking.utility or gains}. A task of a negative "
        "weight puts its lowest first. Shown: by time; users answered to that order.",
    )
    for order in ranking.orders:
        cells = [number(order.ndcg[k]) for k in cutoffs]
        if with_truth:
            cells += [number(order.utility[k]) for k in cutoffs]
        table.add_row("fused score" if order.order == FUSED else order.order, *cells)
    return table


def _top_table(ranking: Ranking) -> Table:
    """Every task's labels under the fused order, and precision under its own."""
    k = _TOP
    heads = ["task", "AUC", "GAUC", "XAUC", f"prec@{k}", "own", "shown", f"recall@{k}"]
    table = new_table("Tasks under the fused order", [*heads, "own"])
    for name in dict.fromkeys(found.task for found in ranking.tasks):
        by_order = {f.order: f for f in ranking.tasks if f.task == name}
        fused, own, shown = (by_order.get(order) for order in (FUSED, name, SHOWN))
        if fused is None:
            continue
        precision = [f.precision.get(k) if f else None for f in (fused, own, shown)]
        recall = [f.recall.get(k) if f else None for f in (fused, own)]
        areas = [number(value) for value in (fused.auc, fused.gauc, fused.xauc)]
        shares = [number(value, 3) for value in (*precision, *recall)]
        table.add_row(name, *areas, *shares)
    return table


@tabled(Binary)
def _binary_table(qualities: Sequence[TaskQuality]) -> Table:
    with_oracle = any(not math.isnan(quality.oracle_auc) for quality in qualities)
    heads = ["task", "pos.", "mean", "AUC", "s.e.", "const", "GAUC"]
    with_requests = any(not math.isnan(q.request_gauc) for q in qualities)
    heads += ["by request"] if with_requests else []
    heads += ["oracle", "closed"] if with_oracle else []
    title = f"Evaluation, {qualities[0].rows:,} rows, trail features missing as served"
    table = new_table(title, [*heads, "calib"])
    for quality in qualities:
        cells = [
            quality.task,
            f"{quality.positives:,}",
            f"{quality.label_mean:.3g}",
            number(quality.auc),
            number(quality.auc_error, 3),
            "0.5",
            number(quality.gauc),
        ]
        cells += [number(quality.request_gauc)] if with_requests else []
        cells += _oracle_cells(quality) if with_oracle else []
        table.add_row(*cells, number(quality.calibration, 3))
    return table


def _oracle_cells(quality: TaskQuality) -> list[str]:
    """The oracle's AUC, and the share of its distance from 0.5 that is closed."""
    gap = quality.oracle_auc - 0.5
    closed = (quality.auc - 0.5) / gap if gap else math.nan
    return [number(quality.oracle_auc), percent(closed)]


@tabled(Regression)
def _regression_table(qualities: Sequence[TaskQuality]) -> Table:
    heads = ["task", "label mean", "RMSE", "constant's RMSE", "XAUC", "calib"]
    table = new_table("Regressions", heads)
    for quality in qualities:
        table.add_row(
            quality.task,
            f"{quality.label_mean:.4f}",
            number(quality.rmse),
            number(quality.constant_rmse),
            number(quality.xauc),
            number(quality.calibration, 3),
        )
    return table
