"""Two orders of the same rows compared, with an interval over users.

Rows of a user are alike, so users are what is drawn. A ratio of sums over users has the
variance of its linear part (delta method): `V(A / N) = U / (U - 1) sum_u (a_u - N_u A /
N)^2 / N^2`; the difference of two of the same users has that of the difference of their
parts. The interval is Student's with U - 1 degrees of freedom.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.fusion_search.candidates import Sums
from pipeline.reporting.intervals import LEVEL, Gain, student_t

_WIDEST = 1.0  # half of an interval of a change as a share


def difference(found: Sums, default: Sums, *, relative: bool = False) -> Gain:
    """`found - default`, or as a share of the default, with its interval.

    Args:
        found: Sums by user, [U].
        default: The same of the same users.
        relative: Whether to give `found / default - 1`.

    Returns:
        NaN without an interval for fewer than two users, and throughout where a ratio
        cannot be had.
    """
    users = len(found.over)
    new, old = found.ratio, default.ratio
    if math.isnan(new) or math.isnan(old) or (relative and not old):
        return Gain(mean=math.nan, low=math.nan, high=math.nan, pairs=users)
    parts = _part(found, new) - _part(default, old)
    mean = new - old
    if relative:
        parts = _part(found, new) / old - _part(default, old) * new / old**2
        mean /= old
    if users < 2:
        return Gain(mean=mean, low=math.nan, high=math.nan, pairs=users)
    error = math.sqrt(users / (users - 1) * float(np.sum(parts**2)))
    half = student_t(LEVEL, users - 1) * error
    return Gain(mean=mean, low=mean - half, high=mean + half, pairs=users)


def is_known(change: Gain) -> bool:
    """Whether a change as a share can be shown: not if it may as well be its opposite.

    A rate of a handful of events has an interval of hundreds of percent, or falls to
    nothing with an interval of no width: there the linear part is not most of it.
    """
    return change.has_interval and change.half <= _WIDEST and change.mean > -1


def _part(sums: Sums, ratio: float) -> np.ndarray:
    """[U] what each user adds to the ratio, to first order."""
    found: np.ndarray = (sums.over - ratio * sums.under) / sums.under.sum()
    return found
