"""Floats as TensorFlow Serving writes them in JSON (REST contract sec. 3).

Six significant digits where they read back as the same number, else as many as always
do; whole numbers keep their point, and what is not finite is a bare word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

_SHORT_DIGITS = 6
_DIGITS = {"float32": 9, "float64": 17}  # that always read back
_SMALLEST_PLAIN = 1e-4  # what is smaller has an exponent
_TIE = 1e-4  # units of the last digit; the product with a power of ten errs by 1e-7


def float_tokens(values: npt.NDArray[Any]) -> list[str]:
    """The JSON of each of `values` [n], float32 or float64."""
    with np.errstate(invalid="ignore"):  # a NaN may be one that signals
        printable, is_exact = _printable(values)
    text = orjson.dumps(printable, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    tokens = text[1:-1].split(",") if len(values) else []
    (rest,) = np.nonzero(~is_exact)
    for index in rest.tolist():
        tokens[index] = _token(values[index])
    return tokens


def _token(value: Any) -> str:
    """The JSON of one NumPy float."""
    wide = float(value)
    if wide != wide:
        return "NaN"
    if wide in (float("inf"), float("-inf")):
        return "Infinity" if wide > 0 else "-Infinity"
    text = f"{wide:.{_SHORT_DIGITS}g}"
    if value.dtype.type(text) != value:
        text = f"{wide:.{_DIGITS[value.dtype.name]}g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _printable(
    values: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """float64 numbers [n] whose shortest form is the JSON of `values`, and where.

    A number of up to 15 digits is the shortest form of the float64 that is nearest to
    it. So it is enough to round in the decimal system, which is fast.
    """
    wide = np.abs(values.astype(np.float64))
    plain = (wide >= _SMALLEST_PLAIN) & (wide < 10.0**_SHORT_DIGITS)
    wide = np.where(plain, wide, 1.0)
    exponent = np.floor(np.log10(wide))
    rounded, _ = _round(wide, exponent, _SHORT_DIGITS)
    is_exact = rounded.astype(values.dtype) == np.abs(values)
    if values.dtype == np.float32:
        longer, is_sure = _round(wide, exponent, _DIGITS["float32"])
        rounded = np.where(is_exact, rounded, longer)
        is_exact |= is_sure
    is_exact &= plain
    is_zero = values == 0
    rounded[is_zero] = 0.0
    return np.copysign(rounded, values), is_exact | is_zero


def _round(
    wide: npt.NDArray[np.float64], exponent: npt.NDArray[np.float64], digits: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`wide` [n] with so many significant digits, and where this is surely so.

    Args:
        wide: Positive numbers.
        exponent: Of their first digit; that of a number next to a power of ten may be
            wrong by one.
        digits: At most 15.
    """
    shift = digits - 1 - exponent
    power = 10.0 ** np.abs(shift)  # exact up to 10^22
    scaled = np.where(shift < 0, wide / power, wide * power)
    whole = np.rint(scaled)
    is_sure = np.abs(np.abs(scaled - whole) - 0.5) > _TIE
    is_sure &= (whole >= 10.0 ** (digits - 1)) & (whole <= 10.0**digits)
    return np.where(shift < 0, whole * power, whole / power), is_sure
