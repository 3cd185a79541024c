"""How many requests a second a server answers before it is slow: rates are tried.

    knee = await find_knee(measure, first=50, most_rate=10_000)

The rate is doubled until a limit is missed (halved, where the first one misses it), and
then what lies between is parted by the middle, which is that of their logarithms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from typing import Final, Literal

LATENCY: Final = "latency"
ERRORS: Final = "errors"
GENERATOR: Final = "generator"
Missed = Literal["", "latency", "errors", "generator"]
Measure = Callable[[float], Awaitable[Missed | None]]

CLOSE = 1.1  # the lowest rate that missed over the highest that did not, at the end
_MOST_HALVINGS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Knee:
    """Where a server becomes slow.

    Attributes:
        rate: The highest rate tried, requests a second, that kept all limits; None if
            none did.
        missed_at: The lowest rate that did not; None if all did.
        missed: What it missed: "latency", "errors" or "generator", which says that the
            generator could not send so many and the server may take more; "" if nothing
            was missed at the highest rate that might be tried.
    """

    rate: float | None
    missed_at: float | None
    missed: Missed


async def find_knee(measure: Measure, first: float, most_rate: float) -> Knee:
    """The highest rate that keeps the limits, within a tenth.

    Args:
        measure: Tries a rate: what was missed, "" for nothing, None if nothing may be
            tried any more: then what is known is the result.
        first: Rate that is tried first, requests a second.
        most_rate: None above is tried.
    """
    known = _Known()
    goes_on = await _bracket(measure, known, first, most_rate)
    while goes_on and known.kept * CLOSE < known.missed_at < math.inf:
        middle = math.sqrt(known.kept * known.missed_at)
        goes_on = await known.take(measure, middle)
    return Knee(
        rate=known.kept or None,
        missed_at=None if known.missed_at == math.inf else known.missed_at,
        missed=known.missed,
    )


async def _bracket(
    measure: Measure, known: _Known, first: float, most_rate: float
) -> bool:
    """A rate that keeps the limits and one that does not; whether there are both."""
    rate = min(first, most_rate)
    goes_on = await known.take(measure, rate)
    while goes_on and known.missed_at == math.inf and rate < most_rate:
        rate = min(2 * rate, most_rate)
        goes_on = await known.take(measure, rate)
    for _ in range(_MOST_HALVINGS):
        if known.kept or not goes_on:
            break
        rate /= 2
        goes_on = await known.take(measure, rate)
    return goes_on and known.kept > 0


@dataclasses.dataclass
class _Known:
    kept: float = 0.0
    missed_at: float = math.inf
    missed: Missed = ""

    async def take(self, measure: Measure, rate: float) -> bool:
        """Tries a rate; whether it may be gone on."""
        missed = await measure(rate)
        if missed is None:
            return False
        if missed:
            self.missed_at, self.missed = rate, missed
        else:
            self.kept = rate
        return True
