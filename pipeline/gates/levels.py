"""What one number of a day is, on the scale on which days are compared.

Shares are compared by their odds, positive numbers by their logarithms: there one limit
means the same for a like that is rare and a play that is frequent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from feature_specs.gates import DataGatesSpec
from pipeline.gates.noise import Level, Limits, independent_rows
from pipeline.summaries.exact import Moments
from pipeline.summaries.summary import DaySummary

LABEL_MEAN, SPACE = "label mean", "sample space"
MISSING_SHARE, UNSEEN = "missing", "unseen values"
MEAN, LOG_MEAN, LENGTH, NORM = "mean", "mean, log", "mean length", "mean norm"
ROWS, USERS, VIDEOS = "rows", "users", "videos"
TRAILS, REJECTS = "trail_lengths", "reject_share"

_HALF = 0.5  # row of each label: one that is never seen is rare, not impossible
# Standard deviation of the logarithm of what one of them adds to a day's count.
_OF_A_USER, _OF_A_VIDEO = 0.5, 1.0


class Measure(NamedTuple):
    """How levels of a measure are compared, and told.

    Attributes:
        shown: A value on the scale of comparison -> as people know it.
        limits: Of the gates, and the typical spread of rows.
    """

    shown: Callable[[float], float]
    limits: Callable[[DataGatesSpec, float], Limits]


def odds(share: float) -> float:
    """The logarithm of the odds of a share between 0 and 1."""
    return math.log(share / (1.0 - share))


def share_of(log_odds: float) -> float:
    """What `odds` was made of."""
    return 0.5 * (1.0 + math.tanh(log_odds / 2.0))


def _same(value: float) -> float:
    return value


def _whole(logarithm: float) -> float:
    return float(round(math.exp(logarithm)))


def _both(limit: float) -> Limits:
    return Limits(limit, limit)


def _by_odds(gates: DataGatesSpec, spread: float) -> Limits:
    return _both(math.log(gates.label_odds))


def _by_shift(gates: DataGatesSpec, spread: float) -> Limits:
    return _both(gates.shift * spread)


def _by_ratio(gates: DataGatesSpec, spread: float) -> Limits:
    least, most = gates.rows_ratio
    return Limits(-math.log(least), math.log(most))


def _upwards(limit: float) -> Limits:
    """Only a rise matters."""
    return Limits(math.inf, limit)


MEASURES: dict[str, Measure] = {
    LABEL_MEAN: Measure(share_of, _by_odds),
    SPACE: Measure(share_of, _by_odds),
    MISSING_SHARE: Measure(_same, lambda gates, spread: _both(gates.missing)),
    UNSEEN: Measure(_same, lambda gates, spread: _upwards(gates.unseen)),
    MEAN: Measure(_same, _by_shift),
    LOG_MEAN: Measure(math.expm1, _by_shift),
    LENGTH: Measure(_same, _by_shift),
    NORM: Measure(_same, _by_shift),
    ROWS: Measure(_whole, _by_ratio),
    USERS: Measure(_whole, _by_ratio),
    VIDEOS: Measure(_whole, _by_ratio),
    TRAILS: Measure(math.exp, _by_ratio),
    REJECTS: Measure(_same, lambda gates, spread: _upwards(gates.reject_share)),
}


def of_share(moments: Moments | None, users: int, alike: float) -> Level | None:
    """The mean of zeros and ones, as odds; None without a row."""
    if moments is None or not moments.count:
        return None
    ones = moments.mean * moments.count
    share = (ones + _HALF) / (moments.count + 2 * _HALF)
    n = independent_rows(moments.count, users, alike)
    spread = 1.0 / math.sqrt(share * (1.0 - share))
    return Level(odds(share), n, spread, moments.mean)


def of_mean(moments: Moments | None, users: int, alike: float) -> Level | None:
    """The mean of numbers; None without one."""
    if moments is None or not moments.count:
        return None
    n = independent_rows(moments.count, users, alike)
    return Level(moments.mean, n, moments.std)


def of_part(part: float, whole: float, users: int, alike: float) -> Level | None:
    """A share of rows that may be none or all; None without a row."""
    if whole <= 0:
        return None
    smooth = (part + _HALF) / (whole + 2 * _HALF)
    n = independent_rows(whole, users, alike)
    return Level(part / whole, n, math.sqrt(smooth * (1.0 - smooth)))


def of_counts(counts: Mapping[int, int], users: int, alike: float) -> Level | None:
    """The mean of whole numbers -> how often; None without one."""
    rows = sum(counts.values())
    if not rows:
        return None
    mean = sum(value * count for value, count in counts.items()) / rows
    squares = sum((value - mean) ** 2 * count for value, count in counts.items())
    n = independent_rows(rows, users, alike)
    return Level(mean, n, math.sqrt(squares / rows))


def of_day(day: DaySummary, as_read: bool = False) -> dict[str, Level]:
    """What is measured of a day as a whole; trails and rejects if it has any rows.

    Args:
        day: Its summary.
        as_read: Whether rows are those of the log, and not those left by filters.
    """
    found: dict[str, Level] = {}
    counts = (
        (ROWS, day.read if as_read else day.rows, day.users, _OF_A_USER),
        (USERS, day.users, day.users, _OF_A_USER),
        (VIDEOS, day.videos, day.videos, _OF_A_VIDEO),
    )
    for measure, count, n, spread in counts:
        found[measure] = Level(math.log(max(count, _HALF)), n, spread)
    trails = of_counts(day.trail_lengths, day.users, 1.0)
    if trails is not None and trails.value > 0:
        spread = trails.spread / trails.value  # of the logarithm, to first order
        found[TRAILS] = Level(math.log(trails.value), trails.n, spread)
    rejects = of_part(day.rejected, day.read, 1, 0.0)
    if rejects is not None:
        found[REJECTS] = rejects
    return found
