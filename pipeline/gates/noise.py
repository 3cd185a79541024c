"""How far a measure of a day may be from the days before it.

Two things must come together to stop a day: the measure is further away than noise
explains, and further than matters. Noise is the spread of the days before (1.4826 times
the median absolute deviation, the standard deviation of a normal distribution that a
few odd days cannot move) and what the rows of one day leave to chance, which is there
even if the days before happen to agree.

Rows of one user are alike, so that R rows of U users say as much as
R / (1 + (R / U - 1) * alike) independent ones (Kish's design effect).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_NORMAL = 1.4826  # standard deviations of a normal distribution in a MAD
# Intraclass correlation of rows of one user: of what belongs to the user all of it, of
# what the user does or is shown about as much as click logs have.
ALIKE_OF_USER, ALIKE = 1.0, 0.1
IMPOSSIBLE = 14.0  # natural logarithm: less likely than one in a million
# Few days tell their spread badly: it is taken for 1 + this / days times as large.
_UNCERTAIN = 4.0


class Level(NamedTuple):
    """A measure of one day, on the scale on which days are compared.

    Attributes:
        value: The measure.
        n: Independent rows, so to speak, that it is made of.
        spread: Standard deviation of one of them.
        told: The measure as people know it; None where the scale tells it.
    """

    value: float
    n: float
    spread: float
    told: float | None = None


class Limits(NamedTuple):
    """How far a measure may move, whatever the noise: down, and up."""

    down: float
    up: float


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a measure was expected to be.

    Attributes:
        centre: The median of the days before, or a day's that is another reference.
        low: The least that passes.
        high: The most that passes.
        times: How far the measure is from the centre, in units of what is allowed:
            above 1 it does not pass.
    """

    centre: float
    low: float
    high: float
    times: float


def independent_rows(rows: float, users: float, alike: float) -> float:
    """Rows that say as much as `rows` of so many users do."""
    if rows <= 0:
        return 0.0
    each = max(rows / max(users, 1.0), 1.0)
    return rows / (1.0 + (each - 1.0) * alike)


def robust_spread(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Standard deviation of the days before, from the median absolute deviation."""
    found = np.asarray(values, np.float64)
    deviation = float(np.median(np.abs(found - np.median(found))))
    return _NORMAL * deviation * (1.0 + _UNCERTAIN / len(found))


def expect(
    level: Level,
    before: Sequence[Level],
    others: Sequence[Level],
    limits: Limits,
    z: float,
) -> Expected:
    """Compares a day's measure with those of the days before it.

    Args:
        level: Of the day.
        before: Of the days before, one at least.
        others: Of days among them that it may be like instead of the median: the same
            day of a week, and days that were accepted with this very measure.
        limits: How far it may move, whatever the noise.
        z: How many standard deviations of the noise it may move.
    """
    values = [one.value for one in before]
    chance = typical_spread(level, before) / math.sqrt(max(level.n, 1.0))
    noise = z * math.hypot(robust_spread(values), chance)
    down, up = max(limits.down, noise), max(limits.up, noise)
    centres = [float(np.median(values)), *(one.value for one in others)]
    centre = min(centres, key=lambda one: abs(level.value - one))
    moved = level.value - centre
    allowed = up if moved > 0 else down
    times = abs(moved) / allowed if allowed else math.inf if moved else 0.0
    return Expected(centre, centre - down, centre + up, times)


def typical_spread(level: Level, before: Sequence[Level]) -> float:
    """Of one row on the days before; the day's own, where all of them had one value."""
    return float(np.median([one.spread for one in before])) or level.spread


def never(share: float, n: float) -> bool:
    """Whether `n` independent rows, each with a chance of `share`, could not all miss.

    Less likely than one in a million counts as impossible.
    """
    if share >= 1.0:
        return n > 0
    return -n * math.log1p(-share) > IMPOSSIBLE
