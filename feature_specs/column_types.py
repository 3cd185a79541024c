"""The types that a log's columns are declared as: `int64`, `list<string>?`...

    declared = parse_type("vector<16>?")
    declared.polars              # Array(Float32, shape=(16,)), as frames have it
    declared.optional            # whether it is said that values may be missing

A type is one class here; what a room does with it (reading it from Parquet, from JSON,
from text) is in the room's table from class to function. Frames have few types: all
whole numbers are Int64, all numbers Float64, so that expressions need no casts.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import re
from collections.abc import Mapping

import polars as pl

TYPES_RULE = (
    "must be bool, int8, int16, int32, int64, uint8... uint64, float32, float64, "
    "string, date, timestamp, list<TYPE> or vector<N>, with ? if it may be empty."
)
_MOST_WIDTH = 16_384  # numbers of a vector
_BITS = (8, 16, 32, 64)
_LARGEST = 2**63 - 1  # what frames hold
_LIST = re.compile(r"list\s*<(.*)>", re.S)
_VECTOR = re.compile(r"vector\s*<\s*([0-9]{1,9})\s*>")
_WHOLE = re.compile(r"(u?)int([0-9]{1,2})")
_FLOATING = re.compile(r"float([0-9]{1,2})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnType(abc.ABC):
    """A declared type.

    Attributes:
        name: As it is declared, without the `?`.
        optional: Whether values may be missing, as the `?` says.
    """

    name: str
    optional: bool = False

    @property
    @abc.abstractmethod
    def polars(self) -> pl.DataType:
        """The type of such a column in frames."""

    @property
    @abc.abstractmethod
    def unreadable(self) -> str:
        """The reason of a value that is none of this type."""

    @property
    def is_number(self) -> bool:
        """Whether values are numbers, of which NaN is a missing one."""
        return False

    @property
    def is_key(self) -> bool:
        """Whether values can identify something: a user, a video, a side row."""
        return False

    @property
    def has_order(self) -> bool:
        """Whether there is a largest of several values: one value, not a list."""
        return True

    @property
    def empty_is_missing(self) -> bool:
        """Whether a list without a value is no value."""
        return False

    @property
    def is_duration(self) -> bool:
        """Whether a value may be a length of time, in whatever unit."""
        return self.is_number

    @property
    def is_time(self) -> bool:
        """Whether a value may say when something began."""
        return self.is_number

    @property
    def is_text(self) -> bool:
        """Whether values are texts."""
        return False

    @property
    def has_clock(self) -> bool:
        """Whether values are moments, which may be written without a zone."""
        return False

    def in_zones(self, zone: str, clock: str) -> ColumnType:
        """The same for rows whose times are shown in `zone`.

        Args:
            zone: Of the times in frames.
            clock: Whose wall clock showed times that have no zone; "" if not known.
        """
        del zone, clock
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bool(ColumnType):
    """True and false."""

    @property
    def polars(self) -> pl.DataType:
        return pl.Boolean()

    @property
    def unreadable(self) -> str:
        return "not true or false"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Whole(ColumnType):
    """Whole numbers of some bits.

    Attributes:
        low: The smallest.
        high: The largest that frames hold.
    """

    low: int = -_LARGEST - 1
    high: int = _LARGEST

    @property
    def polars(self) -> pl.DataType:
        return pl.Int64()

    @property
    def unreadable(self) -> str:
        return "not a whole number"

    @property
    def outside(self) -> str:
        """The reason of a number that is too small or too large; "" for none."""
        if (self.low, self.high) == (-_LARGEST - 1, _LARGEST):
            return ""
        hint = ": declare larger ones as string" if self.high == _LARGEST else ""
        return f"not from {self.low} to {self.high} ({self.name}{hint})"

    @property
    def is_number(self) -> bool:
        return True

    @property
    def is_key(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Floating(ColumnType):
    """Numbers with a fraction."""

    @property
    def polars(self) -> pl.DataType:
        return pl.Float64()

    @property
    def unreadable(self) -> str:
        return "not a number"

    @property
    def is_number(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(ColumnType):
    """Texts; one without a character is missing."""

    @property
    def polars(self) -> pl.DataType:
        return pl.String()

    @property
    def unreadable(self) -> str:
        return "not text"

    @property
    def is_key(self) -> bool:
        return True

    @property
    def is_text(self) -> bool:
        return True

    @property
    def is_time(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Date(ColumnType):
    """Days of the calendar."""

    @property
    def polars(self) -> pl.DataType:
        return pl.Date()

    @property
    def unreadable(self) -> str:
        return "not a date (2023-11-15)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timestamp(ColumnType):
    """Moments, to the millisecond.

    Attributes:
        zone: Of the times in frames: `log.timezone`.
        clock: Whose wall clock showed times that have no zone; "" if not known.
    """

    zone: str = "UTC"
    clock: str = ""

    @property
    def polars(self) -> pl.DataType:
        return pl.Datetime("ms", self.zone)

    @property
    def unreadable(self) -> str:
        return "not a time (ISO 8601: 2023-11-15T21:00:00+08:00)"

    @property
    def is_time(self) -> bool:
        return True

    @property
    def has_clock(self) -> bool:
        return True

    def in_zones(self, zone: str, clock: str) -> ColumnType:
        return dataclasses.replace(self, zone=zone, clock=clock)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListOf(ColumnType):
    """Any number of values; some of them may be missing.

    Attributes:
        inner: The type of a value.
    """

    inner: ColumnType

    @property
    def polars(self) -> pl.DataType:
        return pl.List(self.inner.polars)

    @property
    def unreadable(self) -> str:
        return f"not a {self.name} (JSON: [...])"

    @property
    def has_order(self) -> bool:
        return False

    @property
    def has_clock(self) -> bool:
        return self.inner.has_clock

    def in_zones(self, zone: str, clock: str) -> ColumnType:
        return dataclasses.replace(self, inner=self.inner.in_zones(zone, clock))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vector(ColumnType):
    """A fixed number of finite numbers, such as an embedding.

    Attributes:
        width: How many.
    """

    width: int

    @property
    def polars(self) -> pl.DataType:
        return pl.Array(pl.Float32(), self.width)

    @property
    def unreadable(self) -> str:
        return f"not {self.width} finite numbers ([0.1, 0.2...])"

    @property
    def has_order(self) -> bool:
        return False

    @property
    def empty_is_missing(self) -> bool:
        return True


@functools.lru_cache(maxsize=4_096)
def parse_type(declared: str) -> ColumnType | None:
    """The type that a text declares; None if it declares none."""
    name = declared.strip()
    optional = name.endswith("?")
    found = _parse(name.removesuffix("?").strip())
    return found and dataclasses.replace(found, optional=optional)


def parse_types(
    declared: Mapping[str, str], zone: str = "UTC", clock: str = ""
) -> dict[str, ColumnType]:
    """Column -> its type, of columns that the reader of a spec has checked.

    Args:
        declared: Column -> declared type.
        zone: See `ColumnType.in_zones`.
        clock: Likewise.

    Raises:
        ValueError: A type is none.
    """
    types = {}
    for column, text in declared.items():
        found = parse_type(text)
        if found is None:
            raise ValueError(f"Column {column!r}: {TYPES_RULE} Got {text!r}.")
        types[column] = found.in_zones(zone, clock)
    return types


def _parse(name: str) -> ColumnType | None:
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain(name=name)
    if match := _WHOLE.fullmatch(name):
        return _whole(name, bool(match[1]), int(match[2]))
    if match := _FLOATING.fullmatch(name):
        return Floating(name=name) if int(match[1]) in (32, 64) else None
    if match := _VECTOR.fullmatch(name):
        width = int(match[1])
        fits = 1 <= width <= _MOST_WIDTH
        return Vector(name=f"vector<{width}>", width=width) if fits else None
    if match := _LIST.fullmatch(name):
        inner = _parse(match[1].strip().removesuffix("?"))
        if inner is not None and inner.has_order:
            return ListOf(name=f"list<{inner.name}>", inner=inner)
    return None


_PLAIN: dict[str, type[ColumnType]] = {
    "bool": Bool,
    "string": Text,
    "date": Date,
    "timestamp": Timestamp,
}


def _whole(name: str, unsigned: bool, bits: int) -> Whole | None:
    if bits not in _BITS:
        return None
    if unsigned:
        return Whole(name=name, low=0, high=min(2**bits - 1, _LARGEST))
    return Whole(name=name, low=-(2 ** (bits - 1)), high=2 ** (bits - 1) - 1)
