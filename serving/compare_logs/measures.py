"""Estimates with intervals by users or requests, and measures of drift and of order.

What belongs together, the requests of a user or the candidates of a request, is a
cluster: its values are not independent, and the intervals know that.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.reporting.intervals import LEVEL, student_t

Floats = npt.NDArray[np.float64]
_BINS = 10  # of a PSI
_LEAST_SHARE = 1e-4  # of a bin: an empty one would make a PSI infinite


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean or a ratio with its 95 % interval.

    Attributes:
        value: NaN if there is none.
        low: NaN with fewer than two clusters.
        high: Likewise.
        error: Standard error; NaN likewise.
        clusters: Users, or requests of no one user.
    """

    value: float
    low: float
    high: float
    error: float
    clusters: int


def ratio(above: npt.ArrayLike, below: npt.ArrayLike, clusters: Any) -> Estimate:
    """Sum of `above` [N] over sum of `below` [N], with an interval by clusters [N].

    The variance is that of the linearised ratio, sum_g (above_g - ratio * below_g)^2 *
    G / (G - 1) / (sum below)^2 (Cochran, Sampling Techniques, sec. 6.3), with Student's
    t of G - 1 for G clusters.
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(group.max()) + 1 if group.size else 0
    total = below.sum()
    value = float(above.sum() / total) if total else math.nan
    if count < 2 or math.isnan(value):
        return Estimate(
            value=value, low=math.nan, high=math.nan, error=math.nan, clusters=count
        )
    rest = np.bincount(group, above - value * below)
    error = math.sqrt(count / (count - 1) * float(rest @ rest)) / abs(total)
    half = student_t(LEVEL, count - 1) * error
    return Estimate(
        value=value, low=value - half, high=value + half, error=error, clusters=count
    )


def mean(values: npt.ArrayLike, clusters: Any) -> Estimate:
    """The mean of values [N], of which those of a cluster [N] hang together."""
    values = np.asarray(values, np.float64)
    return ratio(values, np.ones_like(values), clusters)


def change(new: Estimate, old: Estimate) -> Estimate:
    """`new / old - 1` of two means of different users; both must be above 0.

    The interval is that of the logarithm of the ratio, by the delta method.
    """
    count = new.clusters + old.clusters
    if not (new.value > 0 and old.value > 0):
        return Estimate(
            value=math.nan, low=math.nan, high=math.nan, error=math.nan, clusters=count
        )
    quotient = new.value / old.value
    error = math.hypot(new.error / new.value, old.error / old.value)
    t = student_t(LEVEL, count - 2) if count > 2 else math.nan
    return Estimate(
        value=quotient - 1,
        low=quotient * math.exp(-t * error) - 1,
        high=quotient * math.exp(t * error) - 1,
        error=quotient * error,
        clusters=count,
    )


def stability_index(old: npt.ArrayLike, new: npt.ArrayLike) -> float:
    """PSI: sum over bins of (q - p) * log(q / p), p and q the shares of old and new.

    Bins part the old values [N] into ten of as many values each, as far as ties allow.
    Usual reading: below 0.1 alike, above 0.25 another distribution.
    """
    old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
    if not old.size or not new.size:
        return math.nan
    cuts = np.unique(np.quantile(old, np.arange(1, _BINS) / _BINS))
    p, q = (
        np.maximum(np.bincount(np.searchsorted(cuts, v), minlength=cuts.size + 1), 0)
        / v.size
        for v in (old, new)
    )
    p, q = np.maximum(p, _LEAST_SHARE), np.maximum(q, _LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


def kendall(first: Floats, second: Floats) -> float:
    """Kendall's tau-b of two scores of the same candidates; NaN if one is all ties."""
    from scipy import stats

    if first.size < 2:
        return math.nan
    return float(stats.kendalltau(first, second).statistic)


def spearman(first: Floats, second: Floats) -> float:
    """Spearman's rho, ties at their mean rank; NaN if one is all ties."""
    from scipy import stats

    ranks = [stats.rankdata(values) for values in (first, second)]
    if any(np.ptp(r) == 0 if r.size else True for r in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def overlap(first: list[int], second: list[int], k: int) -> float:
    """Share of the best k of one order that are among the best k of the other.

    Of fewer candidates in one of them, k is their number; NaN of none.
    """
    k = min(k, len(first), len(second))
    return len(set(first[:k]) & set(second[:k])) / k if k else math.nan


def nearest_rank(values: npt.ArrayLike, thousandths: int) -> float:
    """A percentile that is one of the values [N]; NaN of none."""
    ordered = np.sort(np.asarray(values, np.float64))
    if not ordered.size:
        return math.nan
    return float(ordered[max(0, -(-thousandths * ordered.size // 1000) - 1)])
