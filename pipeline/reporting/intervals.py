"""Means with their intervals, and gains over a baseline: Student's t."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

LEVEL = 0.95  # of all intervals that are shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Values of some seeds, or of other draws.

    Attributes:
        mean: NaN without a value.
        sd: Standard deviation over the values; NaN with fewer than two.
        n: Number of values.
    """

    mean: float
    sd: float
    n: int

    @property
    def half(self) -> float:
        """Half of the width of the mean's interval; NaN with fewer than two values."""
        if self.n < 2:
            return math.nan
        return student_t(LEVEL, self.n - 1) * self.sd / math.sqrt(self.n)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better than the baseline; positive is better, whatever the metric.

    Attributes:
        mean: Over the seeds that both have.
        low: Lower end of the interval; NaN with fewer than two seeds.
        high: Upper end.
        pairs: Seeds that both have.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def has_interval(self) -> bool:
        """Whether there are seeds enough."""
        return not math.isnan(self.low)

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def summarise(values: Sequence[float]) -> Summary:
    """Mean and standard deviation; values that are no numbers do not count."""
    known = [value for value in values if math.isfinite(value)]
    return Summary(
        mean=float(np.mean(known)) if known else math.nan,
        sd=float(np.std(known, ddof=1)) if len(known) > 1 else math.nan,
        n=len(known),
    )


def paired_gain(
    values: Mapping[int, float], baseline: Mapping[int, float], direction: int
) -> Gain:
    """The gain of one metric, seed by seed.

    Args:
        values: Seed -> the metric.
        baseline: The same of the baseline.
        direction: 1 if a higher value is better, -1 if a lower one is.
    """
    gains = summarise(
        [
            direction * (values[seed] - baseline[seed])
            for seed in sorted(values.keys() & baseline.keys())
        ]
    )
    low, high = gains.mean - gains.half, gains.mean + gains.half
    return Gain(mean=gains.mean, low=low, high=high, pairs=gains.n)


def student_t(level: float, freedom: int) -> float:
    """The t that |t| stays below with probability `level` (two-sided).

    Args:
        level: Above 0, below 1.
        freedom: Degrees of freedom, at least 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: must be above 0 and below 1. Got {level}.")
    if freedom < 1:
        raise ValueError(f"freedom: must be at least 1. Got {freedom}.")
    from scipy import stats  # half a second, which few commands need

    return float(stats.t.ppf((1 + level) / 2, freedom))
