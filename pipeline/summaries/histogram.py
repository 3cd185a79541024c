"""How numbers are spread: bins of 1/64 of an octave, so that histograms add up.

A bin is the sign, the exponent and six more bits of a float32: 0 has a bin of its own,
and every other is at most 1.6 % wide, whatever the unit and the range of the numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_DROPPED_BITS = 17  # of the 23 bits of a float32's fraction
_SIGN = np.int64(0x7FFF_FFFF)
_MOST = (0x7F80_0000 >> _DROPPED_BITS) + 1  # the bin of infinity


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Bin -> numbers in it, in the order of the bins.

    Bin 0 holds 0, bin b > 0 the numbers from `edge(b)` up to below `edge(b + 1)`, bin
    -b their negatives.
    """

    bins: dict[int, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> Histogram:
        """Of finite values [B]."""
        if not len(values):
            return cls()
        bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
        sizes = bits & _SIGN
        places = (sizes >> _DROPPED_BITS) + (sizes > 0)
        places = np.where(bits < 0, -places, places)
        counts = np.bincount(places + _MOST)
        found = np.flatnonzero(counts)
        numbers = zip((found - _MOST).tolist(), counts[found].tolist(), strict=True)
        return cls(dict(numbers))

    @property
    def count(self) -> int:
        """Numbers in all bins."""
        return sum(self.bins.values())

    @property
    def zeros(self) -> int:
        """Numbers that are 0."""
        return self.bins.get(0, 0)

    def quantile(self, share: float) -> float:
        """The number that `share` of all do not exceed; NaN if there is none.

        It is the end of its bin that is nearer to 0: exact for whole numbers up to 128
        and for powers of two, else at most 1.6 % too near to 0.
        """
        needed, seen = share * self.count, 0
        for place, count in self.bins.items():
            seen += count
            if seen >= needed:
                return edge(place)
        return math.nan

    def merge(self, other: Histogram) -> Histogram:
        """Of both together."""
        places = sorted({*self.bins, *other.bins})
        return Histogram(
            {p: self.bins.get(p, 0) + other.bins.get(p, 0) for p in places}
        )

    def ranges(self) -> Iterator[tuple[float, float, int]]:
        """(low, high, numbers) of each bin that holds some, in order."""
        for place, count in self.bins.items():
            ends = [edge(place), edge(place + (place > 0) - (place < 0))]
            yield min(ends), max(ends), count

    def to_json(self) -> list[list[int]]:
        """Pairs of a bin and its count."""
        return [[place, count] for place, count in self.bins.items()]

    @classmethod
    def from_json(cls, pairs: Iterable[tuple[int, int]]) -> Histogram:
        """What `to_json` gave."""
        return cls(dict(pairs))


def edge(place: int) -> float:
    """The number of a bin that is nearest to 0."""
    size = np.asarray([max(abs(place) - 1, 0) << _DROPPED_BITS], np.int32)
    return math.copysign(float(size.view(np.float32)[0]), place) if place else 0.0
