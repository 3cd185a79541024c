"""Metrics of predictions: one implementation of each.

N = rows. Arguments with [N] are arrays, lists or Polars series.

- *There is no such number* is NaN: the AUC of rows of one class, the error of no row.
  `files.plain` makes null of it, for JSON.
- *A value is no number* is an error, `NotFiniteError`: a diverged model has no quality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs.errors import TrailrankError

Column: TypeAlias = "npt.NDArray[Any] | Sequence[float] | pl.Series"
_Floats: TypeAlias = "npt.NDArray[np.float64]"

NEAREST = 1e-7  # probabilities are kept this far from 0 and 1 in a log loss


class MetricError(TrailrankError, ValueError):
    """Values that a metric cannot be made of."""


class NotFiniteError(MetricError):
    """A label, score or prediction is NaN or infinite."""


def require_finite(what: str, values: Column, advice: str = "") -> None:
    """That all values are numbers.

    Args:
        what: Begins the message, such as `Task 'like': predictions`.
        values: [N].
        advice: Ends it: what to do.

    Raises:
        NotFiniteError: Says how many are not.
    """
    known = _floats(what, values)
    _refuse(what, known, ~np.isfinite(known), "NaN or infinite", advice)


def require_binary(labels: Column) -> None:
    """That all labels [N] are 0 or 1.

    Raises:
        NotFiniteError: One is NaN.
        MetricError: One is another number.
    """
    _binary(labels)


def auc(labels: Column, scores: Column) -> float:
    """Probability that a positive scores above a negative, ties counting half.

    Args:
        labels: [N] 0 or 1.
        scores: [N]; only their order counts, so they may be infinite.

    Returns:
        The area under the ROC curve; NaN without a pair, so if a class is missing.

    Raises:
        NotFiniteError: A label or a score is NaN.
        MetricError: A label is neither 0 nor 1, or the lengths differ.
    """
    _check_lengths(labels, scores)
    return _expected_auc(_binary(labels), _ordered("scores", scores))


def expected_auc(chances: Column, scores: Column) -> float:
    """AUC of scores over all labels that the chances could have given.

    Each row is a positive with its chance and a negative with the rest: the probability
    that a row's score is above another's, given that the first one is a positive and
    the second a negative. Ties count half. With chances of 0 and 1 it is `auc`.

    Args:
        chances: [N] from 0 to 1.
        scores: [N]; only their order counts, so they may be infinite.

    Returns:
        NaN if no two rows can be a pair.

    Raises:
        NotFiniteError: A chance or a score is NaN.
        MetricError: A chance is not from 0 to 1, or the lengths differ.
    """
    _check_lengths(chances, scores)
    known = _ordered("chances", chances)
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        raise MetricError(
            f"chances: must be from 0 to 1. Got {known.min():g} to {known.max():g}."
        )
    return _expected_auc(known, _ordered("scores", scores))


def gauc(users: Sequence[object] | pl.Series, labels: Column, scores: Column) -> float:
    """Mean AUC inside each user, weighted by the user's rows (DIN, sec. 6.2).

    Args:
        users: [N], whose row it is; or any other groups, such as requests.
        labels: [N] 0 or 1.
        scores: [N]; only their order inside a user counts.

    Returns:
        NaN if no user has both labels; those without are left out.

    Raises:
        NotFiniteError: A label or a score is NaN.
        MetricError: A label is neither 0 nor 1, or the lengths differ.
    """
    _check_lengths(labels, scores)
    _check_lengths(labels, users, "users")
    columns = {"label": _binary(labels), "score": _ordered("scores", scores)}
    frame = pl.DataFrame({"user": users, **columns})
    ranked = frame.with_columns(rank=pl.col("score").rank("average").over("user"))
    per_user = ranked.group_by("user").agg(
        rows=pl.len(),
        positives=pl.col("label").sum(),
        ranks=pl.col("rank").filter(pl.col("label") > 0).sum(),
    )
    mixed = per_user.filter(
        (pl.col("positives") > 0) & (pl.col("positives") < pl.col("rows"))
    )
    p, n = pl.col("positives"), pl.col("rows") - pl.col("positives")
    areas = mixed.select(
        area=(pl.col("ranks") - p * (p + 1) / 2) / (p * n), rows="rows"
    )
    if areas.is_empty():
        return math.nan
    return float(np.average(areas["area"].to_numpy(), weights=areas["rows"].to_numpy()))


def auc_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUC (Hanley and McNeil, 1982, eq. 1).

    Args:
        area: The AUC, from 0 to 1.
        positives: Rows with label 1.
        negatives: Rows with label 0.

    Returns:
        NaN without a pair, whatever the area.

    Raises:
        NotFiniteError: The area is NaN though there are pairs.
        MetricError: The area is not from 0 to 1.
    """
    if not positives or not negatives:
        return math.nan
    require_finite("area", [area])
    if not 0 <= area <= 1:
        raise MetricError(f"area: must be from 0 to 1. Got {area}.")
    q1 = area / (2 - area)
    q2 = 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (q1 - area**2)
        + (negatives - 1) * (q2 - area**2)
    ) / (positives * negatives)
    return math.sqrt(max(variance, 0.0))


def calibration(labels: Column, predictions: Column) -> float:
    """Sum of predictions [N] over sum of labels [N]; 1 is calibrated.

    Returns:
        NaN if the labels sum to 0.

    Raises:
        NotFiniteError: A label or a prediction is NaN or infinite.
        MetricError: The lengths differ.
    """
    truth, values = _pairs(labels, predictions)
    total = truth.sum()
    return float(values.sum() / total) if total else math.nan


def log_loss(labels: Column, chances: Column) -> float:
    """Mean of -log(the probability of the label that came), in nats.

    Args:
        labels: [N] from 0 to 1; between them it is the cross-entropy.
        chances: [N], kept `NEAREST` away from 0 and 1.

    Returns:
        NaN without a row.

    Raises:
        NotFiniteError: A label or a chance is NaN or infinite.
        MetricError: The lengths differ.
    """
    truth, values = _pairs(labels, chances)
    if not truth.size:
        return math.nan
    near = values.clip(NEAREST, 1 - NEAREST)
    return float(-np.mean(truth * np.log(near) + (1 - truth) * np.log1p(-near)))


def rmse(labels: Column, predictions: Column) -> float:
    """Root of the mean squared error of predictions [N]; NaN without a row.

    Raises:
        NotFiniteError: A label or a prediction is NaN or infinite.
        MetricError: The lengths differ.
    """
    truth, values = _pairs(labels, predictions)
    return float(np.sqrt(np.mean((values - truth) ** 2))) if truth.size else math.nan


def explained(labels: Column, predictions: Column) -> float:
    """R²: the share of the labels' variance that predictions explain, 1 at most.

    It has no unit: 0 is as good as these labels' mean, below 0 is worse.

    Args:
        labels: [N] numbers.
        predictions: [N].

    Returns:
        NaN without a row, or where all labels are equal.

    Raises:
        NotFiniteError: A label or a prediction is NaN or infinite.
        MetricError: The lengths differ.
    """
    truth, values = _pairs(labels, predictions)
    spread = float(np.var(truth)) if len(truth) else 0.0
    return 1 - float(np.mean((truth - values) ** 2)) / spread if spread else math.nan


# --- the parts ------------------------------------------------------------------------


def _expected_auc(chances: _Floats, scores: _Floats) -> float:
    """`expected_auc` of checked columns: sums over the distinct scores, in order."""
    values, place = np.unique(scores, return_inverse=True)
    positive = np.bincount(place, chances, len(values))
    negative = np.bincount(place, 1 - chances, len(values))
    below = np.cumsum(negative) - negative
    itself = (chances * (1 - chances)).sum()  # no row is a pair with itself
    pairs = chances.sum() * (1 - chances).sum() - itself
    if not pairs:
        return math.nan
    tied = positive @ negative - itself
    return float((positive @ below + tied / 2) / pairs)


def _pairs(labels: Column, predictions: Column) -> tuple[_Floats, _Floats]:
    """Both as checked columns of finite numbers."""
    _check_lengths(labels, predictions, "predictions")
    require_finite("labels", labels)
    require_finite("predictions", predictions)
    return _floats("labels", labels), _floats("predictions", predictions)


def _binary(labels: Column) -> _Floats:
    known = _ordered("labels", labels)
    others = known[(known != 0) & (known != 1)]
    if others.size:
        raise MetricError(f"labels: must be 0 or 1. Got {others[0]:g}.")
    return known


def _ordered(what: str, values: Column) -> _Floats:
    """Values that have an order: infinite ones have, NaN has none."""
    known = _floats(what, values)
    _refuse(what, known, np.isnan(known), "NaN")
    return known


def _floats(what: str, values: Column) -> _Floats:
    """[N]; a null counts as NaN."""
    known = np.asarray(values, np.float64)
    if known.ndim != 1:
        raise MetricError(f"{what}: must be one-dimensional. Got shape {known.shape}.")
    return known


def _refuse(
    what: str,
    values: _Floats,
    is_bad: npt.NDArray[np.bool_],
    found: str,
    advice: str = "",
) -> None:
    if is_bad.any():
        raise NotFiniteError(
            f"{what} must be numbers. Got {int(is_bad.sum()):,} of {values.size:,} "
            f"that are {found}. {advice}".rstrip()
        )


def _check_lengths(labels: Sized, others: Sized, what: str = "scores") -> None:
    if len(labels) != len(others):
        raise MetricError(
            f"{what}: must be as many as the labels, {len(labels)}. Got {len(others)}."
        )
