"""What is judged: values of rows, and what they would be in each draw of users.

N = rows of one task (in a slice), D = draws, G = `draws.GROUPS`. Each function takes
labels and predictions [N], the rows' groups [N], and the draws [D, G].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.gates.draws import GROUPS
from pipeline.gates.rows import Floats, Ints

Column = npt.NDArray[Any]

FARTHEST = 1e6  # factor between two sums that is told as it is


class Estimate(NamedTuple):
    """A value and what it is in other draws.

    Attributes:
        value: Of the rows as they are; NaN if there is no such value.
        drawn: [D]; the value where a draw has none.
        groups: How many groups of users it comes from; with few of them the draws
            know little.
    """

    value: float
    drawn: Floats
    groups: int


Statistic = Callable[[Column, Column, Ints, Ints, Floats], Estimate]


def auc(
    labels: Column, scores: Column, users: Ints, groups: Ints, draws: Floats
) -> Estimate:
    """Probability that a positive scores above a negative, ties counting half.

    A draw of users changes the pairs inside and between them. Exact is the number of
    pairs; of the pairs won, what a group adds by itself and with all others is exact,
    and what two groups have beyond it is left out: the first term of Hoeffding's
    decomposition (Obuchowski, 1997, on AUCs of clustered rows, takes the same).
    """
    positive = (labels > 0).astype(np.float64)
    _, place = np.unique(scores, return_inverse=True)
    ups, downs = (np.bincount(place, w) for w in (positive, 1 - positive))
    below = np.cumsum(downs) - downs / 2  # negatives below each score, ties half
    above = ups.sum() - np.cumsum(ups) + ups / 2
    pairs = float(ups.sum() * downs.sum())
    if not pairs:
        return _none(draws)
    value = float(ups @ below) / pairs
    won = np.where(positive > 0, below[place], above[place])  # by or against the row
    usual = value * np.where(positive > 0, downs.sum(), ups.sum())
    sums = [_sums(groups, c) for c in (won - usual, positive, 1 - positive)]
    beyond, p, n = _drawn(draws, *sums)
    there = min(np.count_nonzero(column) for column in sums[1:])
    return _estimate(value, value + _ratio(beyond, p * n), there)


def gauc(
    labels: Column, scores: Column, users: Ints, groups: Ints, draws: Floats
) -> Estimate:
    """Mean AUC inside each user, weighted by the user's rows (DIN, sec. 6.2)."""
    frame = pl.DataFrame({"u": users, "g": groups, "y": labels > 0, "s": scores})
    rank = pl.col("s").rank("average").over("u")
    found = (
        frame.with_columns(r=rank)
        .group_by("u", maintain_order=True)
        .agg(
            g=pl.col("g").first(),
            n=pl.len().cast(pl.Float64),
            p=pl.col("y").sum().cast(pl.Float64),
            r=pl.col("r").filter(pl.col("y")).sum(),
        )
        .filter((pl.col("p") > 0) & (pl.col("p") < pl.col("n")))
    )
    n, p, r = (found[name].to_numpy() for name in "npr")
    areas = (r - p * (p + 1) / 2) / (p * (n - p))
    return _mean(areas, n, found["g"].to_numpy(), draws)


def rmse(
    labels: Column, predictions: Column, users: Ints, groups: Ints, draws: Floats
) -> Estimate:
    """Root of the mean squared error."""
    errors = (predictions.astype(np.float64) - labels) ** 2
    found = _mean(errors, np.ones_like(errors), groups, draws)
    return Estimate(math.sqrt(found.value), np.sqrt(found.drawn), found.groups)


def miscalibration(
    labels: Column, predictions: Column, users: Ints, groups: Ints, draws: Floats
) -> Estimate:
    """Factor of at least 1 between the sums of predictions and labels, either way.

    There is none without a label above 0, or with one below. It is at most
    `FARTHEST`, so also for a sum of predictions that is not positive.
    """
    if not labels.size or labels.min() < 0 or not labels.any():
        return _none(draws)
    sums = [_sums(groups, column) for column in (predictions, labels)]
    value = np.array([sums[0].sum() / sums[1].sum()])
    drawn = _factor(_ratio(*_drawn(draws, *sums)))
    return _estimate(float(_factor(value)[0]), drawn, np.count_nonzero(sums[1]))


def mean(values: Floats, groups: Ints, draws: Floats) -> Estimate:
    """Mean of values [Q], those that are NaN left out."""
    known = ~np.isnan(values)
    return _mean(values[known], np.ones(int(known.sum())), groups[known], draws)


# --- the parts ------------------------------------------------------------------------


def _mean(values: Floats, weights: Floats, groups: Ints, draws: Floats) -> Estimate:
    total = weights.sum()
    if not total:
        return _none(draws)
    sums = [_sums(groups, column) for column in (values * weights, weights)]
    value = float((values * weights).sum() / total)
    return _estimate(value, _ratio(*_drawn(draws, *sums)), np.count_nonzero(sums[1]))


def _sums(groups: Ints, values: Column) -> Floats:
    """[G] sums of values [N]."""
    return np.bincount(groups, values, minlength=GROUPS).astype(np.float64, copy=False)


def _drawn(draws: Floats, *sums: Floats) -> tuple[Floats, ...]:
    """What each of some sums [G] is in the draws: [D]."""
    return tuple((draws @ np.stack(sums, axis=1)).T)


def _ratio(above: Floats, below: Floats) -> Floats:
    """[D]; NaN where a draw has no row."""
    empty = np.full_like(above, np.nan)
    return np.divide(above, below, out=empty, where=below > 0)


def _factor(ratios: Floats) -> Floats:
    """Ratios or their inverses, whichever are larger; NaN stays."""
    near = np.clip(ratios, 1 / FARTHEST, FARTHEST)
    return np.maximum(near, 1 / near)


def _estimate(value: float, drawn: Floats, groups: int) -> Estimate:
    return Estimate(value, np.where(np.isnan(drawn), value, drawn), groups)


def _none(draws: Floats) -> Estimate:
    return Estimate(math.nan, np.full(len(draws), np.nan), 0)
