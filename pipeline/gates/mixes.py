"""How the values of a day are distributed, against the days before it.

Categories by the Jensen-Shannon divergence of their shares (base 2, from 0 to 1),
numbers by the largest distance of their distribution functions (Kolmogorov and
Smirnov's): both say how much moved whatever the unit, and whether or not numbers come
in steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.gates.noise import robust_spread
from pipeline.summaries.histogram import edge
from pipeline.summaries.summary import ColumnSummary

Counts = npt.NDArray[np.float64]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_MOST = 1_000  # values that are told apart, the most frequent; all others are one
# Distances that chance exceeds less often than once in a hundred thousand days:
# exp(-2 * 2.5^2) of Kolmogorov's distribution, and so many of the chi-squared one.
_KOLMOGOROV = 2.5
_CHI_SQUARED_SDS, _CHI_SQUARED_TAIL = 6.0, 18.0
_CLEARLY, _BY_FAR = 0.05, 10.0  # difference of two shares, and of two divergences


OTHERS = "all others"


class Mix(NamedTuple):
    """What the days have of each value.

    Attributes:
        values: In order; of a category the last place may be all others (`OTHERS`).
        counts: Of each day [D, V]; the last one is the day that is judged.
    """

    values: list[Any]
    counts: Counts


class Distance(NamedTuple):
    """How far a day's distribution is from the days before.

    Attributes:
        value: From all days before together, or from the one that it may be like.
        typical: The median of what each day before is away from all others.
        most: The largest that passes.
        noise: The largest that noise explains.
    """

    value: float
    typical: float
    most: float
    noise: float


def mix_of_values(columns: Sequence[ColumnSummary]) -> Mix:
    """Of a category: its most frequent values in all days, and all others."""
    total: dict[Any, int] = {}
    for column in columns:
        for value, count in column.top.items():
            total[value] = total.get(value, 0) + count
    kept = sorted(total, key=lambda value: (-total[value], value))[:_MOST]
    counts = np.zeros((len(columns), len(kept) + 1))
    for day, column in enumerate(columns):
        counts[day, :-1] = [column.top.get(value, 0) for value in kept]
        counts[day, -1] = column.values - counts[day, :-1].sum()
    return Mix([*kept, OTHERS], counts)


def mix_of_numbers(columns: Sequence[ColumnSummary]) -> Mix:
    """Of numbers: bins of their histograms, or the values themselves, in order."""
    found = [_places(column) for column in columns]
    values = np.unique(np.concatenate([places for places, _ in found]))
    counts = np.zeros((len(columns), len(values)))
    for day, (places, numbers) in enumerate(found):
        counts[day, np.searchsorted(values, places)] = numbers
    return Mix(values.tolist(), counts)


def quantiles(column: ColumnSummary) -> list[float]:
    """`QUANTILES` of a column of numbers; NaN where there is none."""
    places, numbers = _places(column)
    if not len(places):
        return [math.nan] * len(QUANTILES)
    seen = np.cumsum(numbers)
    found = places[np.searchsorted(seen, np.array(QUANTILES) * seen[-1])].tolist()
    return [edge(int(p)) for p in found] if column.histogram is not None else found


def _places(column: ColumnSummary) -> tuple[Counts, Counts]:
    """(bins of the histogram or values, in the order of the numbers; how often)."""
    counts: Mapping[Any, int] = (
        column.top if column.histogram is None else column.histogram.bins
    )
    places = np.array(sorted(counts), np.float64)
    return places, np.array([counts[place] for place in sorted(counts)], np.float64)


def divergence(one: Counts, other: Counts) -> float:
    """Jensen and Shannon's, of counts [V] of the same values; 0 to 1."""
    shares = [one / one.sum(), other / other.sum()]
    middle = (shares[0] + shares[1]) / 2
    total = 0.0
    for share in shares:
        there = share > 0
        total += float(np.sum(share[there] * np.log2(share[there] / middle[there])))
    return min(max(total / 2, 0.0), 1.0)


def largest_gap(one: Counts, other: Counts) -> float:
    """Kolmogorov and Smirnov's distance, of counts [V] of the same ordered values."""
    first, second = np.cumsum(one) / one.sum(), np.cumsum(other) / other.sum()
    return float(np.max(np.abs(first - second)))


def divergence_by_chance(values: int, n: float) -> float:
    """A divergence that `n` independent rows of so many values hardly ever have.

    Eight times the rows times the divergence, in nats, is about chi-squared with one
    degree of freedom less than there are values.
    """
    free = max(values - 1, 1)
    most = free + _CHI_SQUARED_SDS * math.sqrt(2 * free) + _CHI_SQUARED_TAIL
    return min(1.0, most / (8 * max(n, 1.0) * math.log(2)))


def gap_by_chance(values: int, n: float) -> float:
    """A distance of distribution functions that `n` rows hardly ever have."""
    return min(1.0, _KOLMOGOROV / math.sqrt(max(n, 1.0)))


def distance(
    mix: Mix,
    others: Sequence[int],
    limit: float,
    n: float,
    z: float,
    *,
    measure: Callable[[Counts, Counts], float],
    by_chance: Callable[[int, float], float],
) -> Distance | None:
    """How far the last day of a mix is from all before it; None without values.

    Args:
        mix: Of the days before and the day, two at least.
        others: Places of days that it may be like instead of all of them.
        limit: The largest distance that passes, but for noise.
        n: Independent rows of the day.
        z: Standard deviations of what the days before are away from each other.
        measure: `divergence` or `largest_gap`.
        by_chance: What chance gives, of so many values and rows.
    """
    counts = mix.counts
    filled = [int(place) for place in np.flatnonzero(counts[:-1].sum(axis=1))]
    if not filled or not counts[-1].sum():
        return None
    whole = counts[filled].sum(axis=0)
    found = [measure(counts[-1], whole)]
    found += [measure(counts[-1], counts[p]) for p in others if p in filled]
    own = [0.0]
    if len(filled) > 1:
        own = [measure(counts[p], whole - counts[p]) for p in filled]
    usual = float(np.median(own))
    chance = by_chance(int(np.count_nonzero(whole)), n)
    noise = max(chance, usual + z * robust_spread(own))
    return Distance(min(found), usual, max(limit + chance, noise), noise)


def moved_most(mix: Mix, most: int = 3) -> list[tuple[Any, float, float]]:
    """(value, its share on the day, before) of the values that moved most."""
    now = mix.counts[-1] / mix.counts[-1].sum()
    before = mix.counts[:-1].sum(axis=0)
    before = before / before.sum()
    places = np.argsort(-np.abs(now - before), kind="stable")[:most]
    return [(mix.values[p], float(now[p]), float(before[p])) for p in places]


def exchanged(mix: Mix) -> tuple[Any, Any] | None:
    """Two values that have each other's shares, one clearly the larger; else None.

    With their names exchanged, the mix is that of the days before: nearer by far than
    it is.
    """
    now, before = mix.counts[-1], mix.counts[:-1].sum(axis=0)
    shares, were = now / now.sum(), before / before.sum()
    one, other = np.argsort(-np.abs(shares - were), kind="stable")[:2]
    names = mix.values[one], mix.values[other]
    if OTHERS in names or abs(were[one] - were[other]) < _CLEARLY:
        return None
    swapped = now.copy()
    swapped[[one, other]] = now[[other, one]]
    nearer = divergence(swapped, before) * _BY_FAR < divergence(now, before)
    return names if nearer else None


def count_not_in(column: ColumnSummary, known: set[Any]) -> int:
    """Values of a day that are none of the known ones; of those that are counted."""
    return sum(count for value, count in column.top.items() if value not in known)
