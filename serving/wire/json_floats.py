"""Floats as TensorFlow Serving writes them in JSON (REST contract sec. 3).

Six significant digits where they read back as the same number, else as many as always
do; whole numbers keep their point, and what is not finite is a bare word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

_SHORT_DIGITS = 6
_DIGITS = {"float32": 9, "float64": 17}  # that always read back
_SMALLEST_PLAIN = 1e-4  # what is smaller has an exponent
_TIE = 1e-4  # units of the last digit; the product with a power of ten errs by 1e-7
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_POWERS = 10.0 ** np.arange(23)  # all exact


def float_tokens(values: npt.NDArray[Any]) -> list[str]:
    """The JSON of each of `values` [n], float32 or float64."""
    return _tokens(values, _printed(values))


def float_lists(lists: Sequence[npt.NDArray[Any]]) -> list[str]:
    """The JSON of each of `lists` [n], all of one type; a call has its fixed price.

    Texts are not made a number at a time where all numbers of a list are printable.
    """
    every = _printed(np.concatenate(lists))
    found, begin = [], 0
    for values in lists:
        own = every.part(begin, begin + len(values))
        if own.is_exact.all():
            text = orjson.dumps(own.numbers, option=orjson.OPT_SERIALIZE_NUMPY)
            found.append(text.decode().replace(",", ", "))
        else:
            found.append(f"[{', '.join(_tokens(values, own))}]")
        begin += len(values)
    return found


class _Printed(NamedTuple):
    """How numbers [n] are written.

    Attributes:
        numbers: float64 whose shortest form is their JSON.
        is_exact: Where that is so.
        is_long: Where six digits surely do not read back.
    """

    numbers: npt.NDArray[np.float64]
    is_exact: npt.NDArray[np.bool_]
    is_long: npt.NDArray[np.bool_]

    def part(self, begin: int, end: int) -> _Printed:
        """Of `numbers[begin:end]`."""
        own = slice(begin, end)
        return _Printed(self.numbers[own], self.is_exact[own], self.is_long[own])


def _tokens(values: npt.NDArray[Any], printed: _Printed) -> list[str]:
    text = orjson.dumps(printed.numbers, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    tokens = text[1:-1].split(",") if len(values) else []
    for is_long in (True, False):
        (rest,) = np.nonzero(~printed.is_exact & (printed.is_long == is_long))
        write = _long_tokens if is_long else _exact_tokens
        for index, token in zip(rest.tolist(), write(values[rest]), strict=True):
            tokens[index] = token
    return tokens


def _exact_tokens(values: npt.NDArray[Any]) -> list[str]:
    """Of any numbers, by C's printf; it is some five times slower."""
    wide = values.astype(np.float64)
    short = [f"%.{_SHORT_DIGITS}g" % number for number in wide.tolist()]
    with np.errstate(over="ignore"):
        read_back = np.array(list(map(float, short))).astype(values.dtype)
    (rest,) = np.nonzero(read_back != values)
    tokens = [_as_json(text) for text in short]
    for index, token in zip(rest.tolist(), _long_tokens(values[rest]), strict=True):
        tokens[index] = token
    return tokens


def _long_tokens(values: npt.NDArray[Any]) -> list[str]:
    """Of numbers that six digits do not give back."""
    form = f"%.{_DIGITS[values.dtype.name]}g"
    return [_as_json(form % number) for number in values.tolist()]


def _as_json(text: str) -> str:
    """What printf gives -> a JSON number with point or exponent, or a bare word."""
    if "." in text or "e" in text:
        return text
    return _WORDS.get(text) or f"{text}.0"


def _printed(values: npt.NDArray[Any]) -> _Printed:
    """By rounding in the decimal system, which is fast.

    A number of up to 15 digits is the shortest form of the float64 that is nearest to
    it.
    """
    with np.errstate(invalid="ignore"):  # a NaN may be one that signals
        size = np.abs(values)
        wide = size.astype(np.float64)
    plain = (wide >= _SMALLEST_PLAIN) & (wide < 10.0**_SHORT_DIGITS)
    wide = np.where(plain, wide, 1.0)
    exponent = np.floor(np.log10(wide)).astype(np.intp)
    rounded, is_sure = _round(wide, exponent, _SHORT_DIGITS)
    reads_back = rounded.astype(values.dtype) == size
    is_exact, is_long = is_sure & reads_back, plain & is_sure & ~reads_back
    if values.dtype == np.float32:
        longer, is_sure = _round(wide, exponent, _DIGITS["float32"])
        rounded = np.where(is_exact, rounded, longer)
        is_exact |= is_sure
    is_zero = values == 0
    rounded[is_zero] = 0.0
    numbers = np.copysign(rounded, values)
    return _Printed(numbers, is_exact & plain | is_zero, is_long)


def _round(
    wide: npt.NDArray[np.float64], exponent: npt.NDArray[np.intp], digits: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`wide` [n] with so many significant digits, and where this is surely so.

    Args:
        wide: From `_SMALLEST_PLAIN` to 10^6.
        exponent: Of their first digit; that of a number next to a power of ten may be
            wrong by one.
        digits: From 6 to 15.
    """
    power = _POWERS[digits - 1 - exponent]
    scaled = wide * power
    whole = np.rint(scaled)
    is_sure = np.abs(np.abs(scaled - whole) - 0.5) > _TIE
    is_sure &= (whole >= 10.0 ** (digits - 1)) & (whole <= 10.0**digits)
    return whole / power, is_sure
