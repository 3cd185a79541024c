"""Whether a day's numbers are those of the days before in another unit.

Another unit multiplies every quantile by the same factor, which no drift does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# Factor -> what units it lies between, the smaller one (of larger numbers) first. Days
# differ by more than 1,000 and 1,024 do, which cannot be told apart.
FACTORS: dict[float, tuple[tuple[str, str], ...]] = {
    60.0: (("seconds", "minutes"),),
    100.0: (("percent", "shares"), ("cents", "units")),
    1_000.0: (("milliseconds", "seconds"), ("KiB", "MiB")),
    3_600.0: (("seconds", "hours"),),
    60_000.0: (("milliseconds", "minutes"),),
    86_400.0: (("seconds", "days"),),
    1e6: (("microseconds", "seconds"), ("bytes", "MiB")),
    3.6e6: (("milliseconds", "hours"),),
    1e9: (("nanoseconds", "seconds"),),
}
_SAME = math.log(1.2)  # ratios of quantiles that are one factor
_FEWEST = 3  # quantiles that are positive, and two different ones among them


class UnitChange(NamedTuple):
    """A factor between a day and the days before.

    Attributes:
        factor: Above 1.
        larger: Whether the day's numbers are the larger ones.
        ratio: What was found: the median ratio of the quantiles.
    """

    factor: float
    larger: bool
    ratio: float

    def __str__(self) -> str:
        part = f"{self.factor:,.0f}" if self.larger else f"1/{self.factor:,.0f}"
        pairs = [pair[:: -1 if self.larger else 1] for pair in FACTORS[self.factor]]
        told = ", or ".join(f"{now} instead of {was}" for was, now in pairs)
        return f"{part} times as large throughout: looks like {told}"


def unit_change(now: Sequence[float], before: Sequence[float]) -> UnitChange | None:
    """The factor by which all quantiles moved, if it is one between two units.

    The lowest quarter of them may have moved otherwise: seconds that were cut to whole
    numbers are coarse where they are few.

    Args:
        now: Quantiles of the day [Q], ascending.
        before: The same of the days before [Q].
    """
    pairs = [
        (one, other)
        for one, other in zip(now, before, strict=True)
        if one > 0 and other > 0 and math.isfinite(one) and math.isfinite(other)
    ]
    if len(pairs) < _FEWEST or len({other for _, other in pairs}) < 2:
        return None
    coarse = len(pairs) // 4
    ratios = sorted(math.log(one / other) for one, other in pairs[coarse:])
    middle = ratios[len(ratios) // 2]
    if ratios[-1] - middle > _SAME or middle - ratios[0] > _SAME:
        return None
    factor = min(FACTORS, key=lambda one: abs(math.log(one) - abs(middle)))
    if abs(math.log(factor) - abs(middle)) > _SAME:
        return None
    return UnitChange(factor, middle > 0, math.exp(middle))
