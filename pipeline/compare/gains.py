"""The statistics: MTL gain (PLE eq. 11) over seeds, with its interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

LEVEL = 0.95
_HALVINGS = 100  # of the angle in `student_t`; more than a float can tell


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Values of some seeds.

    Attributes:
        mean: NaN without a value.
        sd: Standard deviation over seeds; NaN with fewer than two.
        n: Number of values.
    """

    mean: float
    sd: float
    n: int


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
    half = math.nan
    if gains.n > 1:
        half = student_t(LEVEL, gains.n - 1) * gains.sd / math.sqrt(gains.n)
    return Gain(
        mean=gains.mean, low=gains.mean - half, high=gains.mean + half, pairs=gains.n
    )


def student_t(level: float, freedom: int) -> float:
    """The t that |t| stays below with probability `level`, for whole `freedom`.

    Exact: the sums of Abramowitz and Stegun 26.7.3 and 26.7.4, halving the angle.
    """
    if freedom < 1:
        raise ValueError(f"freedom: must be at least 1. Got {freedom}.")
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _share_inside(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _share_inside(angle: float, freedom: int) -> float:
    """Probability that |t| is below sqrt(freedom) * tan(angle)."""
    cosine, odd = math.cos(angle), freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (power - 1) / power
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
