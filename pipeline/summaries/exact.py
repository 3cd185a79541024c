"""Count, mean, variance and extremes of numbers, the same in whatever order they come.

A float32 is a whole number of 24 bits times a power of two. Sums are kept as whole
numbers, in units of the smallest power, so that adding up rounds nowhere: shards,
workers and files may share the rows in any way.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Ints

_SHIFT = 149  # 2^-149 is the smallest float32
_FRACTION_BITS = 23
_HALF = 24  # bits; the square of 24 bits has twice as many
_MOST_ROWS = 2**28  # of 24 bits each: their sums stay exact in a float64
_LOW = (1 << 32) - 1


@dataclasses.dataclass(frozen=True)
class Moments:
    """What is known of some numbers.

    Attributes:
        count: How many.
        total: Their sum, times 2^149.
        squares: The sum of their squares, times 2^298.
        smallest: None if there is none.
        largest: Likewise.
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    smallest: float | None = None
    largest: float | None = None

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Moments:
        """Of float32 (finite) or int64 values [B]."""
        if not len(values):
            return cls()
        if values.dtype == np.float32:
            pieces = range(0, len(values), _MOST_ROWS)
            sums = [_float_sums(values[n : n + _MOST_ROWS]) for n in pieces]
            total, squares = (sum(part) for part in zip(*sums, strict=True))
        else:
            total, squares = _int_sums(values.astype(np.int64, copy=False))
        low, high = float(values.min()), float(values.max())
        return cls(len(values), total, squares, low, high)

    @property
    def mean(self) -> float:
        """NaN if there is no number."""
        return self.total / (self.count << _SHIFT) if self.count else math.nan

    @property
    def variance(self) -> float:
        """The mean squared distance from the mean; NaN if there is no number."""
        if not self.count:
            return math.nan
        spread = self.count * self.squares - self.total**2
        return spread / (self.count**2 << 2 * _SHIFT)

    @property
    def std(self) -> float:
        """The square root of `variance`."""
        return math.sqrt(self.variance)

    def merge(self, other: Moments) -> Moments:
        """Of both together."""
        return Moments(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            _extreme(min, self.smallest, other.smallest),
            _extreme(max, self.largest, other.largest),
        )

    def to_json(self) -> list[Any]:
        """Plain values; whole numbers beyond JSON's as hexadecimal text."""
        sums = [hex(self.total), hex(self.squares)]
        return [self.count, *sums, self.smallest, self.largest]

    @classmethod
    def from_json(cls, values: list[Any]) -> Moments:
        """What `to_json` gave."""
        count, total, squares, smallest, largest = values
        return cls(count, int(total, 16), int(squares, 16), smallest, largest)


def merge_moments(parts: Iterable[Moments | None]) -> Moments | None:
    """Of all parts together; None if all are None."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    total = known[0]
    for part in known[1:]:
        total = total.merge(part)
    return total


def _float_sums(values: npt.NDArray[np.float32]) -> tuple[int, int]:
    """The exact sums of finite values [B] and of their squares, in their units."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    exponents = (bits >> _FRACTION_BITS).astype(np.int64) & 0xFF
    mantissas = (bits & np.uint32((1 << _FRACTION_BITS) - 1)).astype(np.int64)
    mantissas |= (exponents > 0).astype(np.int64) << _FRACTION_BITS  # but denormals
    shifts = np.maximum(exponents, 1) - 1  # the value is mantissa * 2^(shift - 149)
    signed = np.where(bits >> 31 == 1, -mantissas, mantissas)
    squares = mantissas * mantissas
    total = _by_shift(shifts, signed, 1)
    high = _by_shift(shifts, squares >> _HALF, 2)
    low = _by_shift(shifts, squares & ((1 << _HALF) - 1), 2)
    return total, (high << _HALF) + low


def _by_shift(shifts: Ints, values: Ints, power: int) -> int:
    """The sum of values [B], each times 2^(power * shift)."""
    sums = np.bincount(shifts, weights=values)  # whole numbers below 2^53
    places = np.flatnonzero(sums)
    return sum(int(sums[place]) << power * int(place) for place in places)


def _int_sums(values: Ints) -> tuple[int, int]:
    """The same of whole numbers."""
    low, high = values & _LOW, values >> 32  # value = high * 2^32 + low
    if not high.any():
        squares = _exact_sum((low * low) if low.max() < 2**31 else _squared(low))
    else:
        squares = _exact_sum(_squared(low))
        squares += _exact_sum(high * low) << 33
        squares += _exact_sum(_squared(np.abs(high))) << 64
    return _exact_sum(values) << _SHIFT, squares << 2 * _SHIFT


def _squared(values: Ints) -> npt.NDArray[np.uint64]:
    """Squares of numbers from 0 to 2^32 - 1."""
    unsigned = values.astype(np.uint64)
    return unsigned * unsigned


def _exact_sum(values: npt.NDArray[Any]) -> int:
    """The sum of fewer than 2^31 int64 or uint64 values."""
    low = values & values.dtype.type(_LOW)
    high = values >> values.dtype.type(32)
    return (int(high.sum()) << 32) + int(low.sum())


def _extreme(choose: Any, one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return choose(known) if known else None
