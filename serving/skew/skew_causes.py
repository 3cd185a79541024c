"""What a feature's values of training and of a request have between them, in words.

It names a cause that most of the differing rows agree with; whoever mends it looks
there first. A cause is likely, and never proved.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from feature_specs import FeatureSpec

MOST = 0.9  # share of the differing rows that a cause must hold for

_FACTORS = {  # sent over expected -> what may be mixed up
    1000.0: "1,000 times too large: milliseconds for seconds?",
    1 / 1000: "1,000 times too small: seconds for milliseconds?",
    60.0: "60 times too large: seconds for minutes?",
    1 / 60: "60 times too small: minutes for seconds?",
    3600.0: "3,600 times too large: seconds for hours?",
    1 / 3600: "3,600 times too small: hours for seconds?",
    100.0: "100 times too large: percent for a share?",
    1 / 100: "100 times too small: a share for percent?",
    1e6: "1,000,000 times too large: microseconds for seconds?",
    1e-6: "1,000,000 times too small: seconds for microseconds?",
}
_CLOSE = 1e-4  # of a factor: float32 and a backend's own rounding
_ROUNDED_DIGITS = range(5)

Pair = tuple[Any, Any]  # a raw value of training, and the one that was sent


def likely_cause(
    feature: FeatureSpec,
    pairs: Sequence[Pair],
    vocabulary: Collection[str] | None = None,
) -> str:
    """The first cause that most pairs agree with; "" if none is recognised.

    Args:
        feature: Whose values they are.
        pairs: Raw values of the rows that differ; None was not sent.
        vocabulary: Values that have an id of their own, as text, if there is one.
    """
    if not pairs:
        return ""
    for told, holds in _CAUSES.items():
        if _is_most(pairs, functools.partial(holds, feature)):
            return told
    sent_default = _default_for_missing(feature, pairs)
    if sent_default:
        return sent_default
    found = _of_single_values(_single_values(pairs))
    if found:
        return found
    if vocabulary is not None:
        known = frozenset(vocabulary)
        if _is_most(pairs, lambda _, sent: _text(sent) not in known):
            return "sent values that the vocabulary does not have"
    return ""


def is_missing(feature: FeatureSpec, value: Any) -> bool:
    """Whether a value is missing: not sent, null, or what stands for it."""
    if value is None:
        return True
    if isinstance(value, list):
        return all(is_missing(feature, one) for one in value)
    if isinstance(value, float) and math.isnan(value):
        return True
    return type(value) is type(feature.missing) and value == feature.missing


def _is_most(pairs: Sequence[Pair], holds: Callable[[Any, Any], bool]) -> bool:
    return sum(holds(*pair) for pair in pairs) >= MOST * len(pairs)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# --- causes that a pair shows by itself -----------------------------------------------


def _not_sent(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return sent is None


def _sent_as_missing(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return is_missing(feature, sent) and not is_missing(feature, expected)


def _number_as_text(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return feature.dtype != "string" and any(isinstance(v, str) for v in _flat(sent))


def _text_as_number(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return feature.dtype == "string" and any(
        isinstance(v, int | float) for v in _flat(sent)
    )


def _integer_as_float(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return feature.dtype == "int64" and any(isinstance(v, float) for v in _flat(sent))


def _first_kept(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return _is_shorter(expected, sent) and expected[: len(sent)] == sent


def _last_kept(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return _is_shorter(expected, sent) and expected[len(expected) - len(sent) :] == sent


def _is_shorter(expected: Any, sent: Any) -> bool:
    lists = isinstance(expected, list) and isinstance(sent, list)
    return lists and 0 < len(sent) < len(expected)


def _longer(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    lists = isinstance(expected, list) and isinstance(sent, list)
    return (
        lists
        and 0 < len(expected) < len(sent)
        and (sent[: len(expected)] == expected or sent[-len(expected) :] == expected)
    )


def _reversed(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    return isinstance(sent, list) and expected != sent and expected == sent[::-1]


def _other_order(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    lists = isinstance(expected, list) and isinstance(sent, list)
    return lists and expected != sent and sorted(expected) == sorted(sent)


def _other_case(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    texts = isinstance(expected, str) and isinstance(sent, str)
    return texts and expected.strip().casefold() == sent.strip().casefold()


def _misread_utf8(feature: FeatureSpec, expected: Any, sent: Any) -> bool:
    if not (isinstance(expected, str) and isinstance(sent, str)):
        return False
    return expected.encode("utf-8", "replace").decode("latin-1") == sent


def _flat(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# In the order in which they are tried.
_CAUSES: dict[str, Callable[[FeatureSpec, Any, Any], bool]] = {
    "not sent, so that the model reads a missing value": _not_sent,
    "sent as missing": _sent_as_missing,
    "a number sent as text": _number_as_text,
    "text sent as a number": _text_as_number,
    "a whole number sent as a float": _integer_as_float,
    "the list is cut: the first values are kept, the last are gone": _first_kept,
    "the list is cut: the last values are kept, the first are gone": _last_kept,
    "the list has more values than in training": _longer,
    "the list is in the reverse order": _reversed,
    "the list is in another order": _other_order,
    "other upper and lower case, or blanks at an end": _other_case,
    "UTF-8 that was read as Latin-1": _misread_utf8,
}


# --- causes that show over several rows -----------------------------------------------


def _default_for_missing(feature: FeatureSpec, pairs: Sequence[Pair]) -> str:
    """Missing in training, and one and the same value in requests."""
    sent = {repr(sent) for _, sent in pairs}
    if len(sent) > 1 or not all(is_missing(feature, wanted) for wanted, _ in pairs):
        return ""
    return (
        f"a missing value sent as {sent.pop()}: leave it out, or send null or "
        f"{feature.missing!r}"
    )


def _single_values(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of numbers that differ, those in lists of one length one by one."""
    found = []
    for expected, sent in pairs:
        left, right = _flat(expected), _flat(sent)
        if len(left) == len(right):
            found += [
                (a, b)
                for a, b in zip(left, right, strict=True)
                if _is_number(a) and _is_number(b) and a != b
            ]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _of_single_values(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    for factor, told in _FACTORS.items():
        if _is_most(pairs, functools.partial(_is_times, factor)):
            return told
    return _rounded(pairs) or _constant(pairs)


def _is_times(factor: float, expected: float, sent: float) -> bool:
    """Of numbers near 0 every factor is right, so those say nothing."""
    return expected != 0 and math.isclose(sent / expected, factor, rel_tol=_CLOSE)


def _rounded(pairs: Sequence[Pair]) -> str:
    if all(isinstance(expected, int) for expected, _ in pairs):
        for kind, told in ((np.float64, "a double"), (np.float32, "float32")):
            if _is_most(pairs, functools.partial(_went_through, kind)):
                return f"a whole number that went through {told}, which rounds it"
        return ""
    if _is_most(pairs, lambda expected, sent: math.trunc(expected) == sent):
        return "cut to whole numbers"
    for digits in _ROUNDED_DIGITS:
        if _is_most(pairs, functools.partial(_is_rounded, digits)):
            return f"rounded to {digits} digits behind the point"
    if _is_most(pairs, functools.partial(math.isclose, rel_tol=_CLOSE)):
        return "rounding: the values are equal within a ten-thousandth"
    return ""


def _went_through(kind: Callable[[Any], Any], expected: int, sent: Any) -> bool:
    return int(kind(expected)) == sent


def _is_rounded(digits: int, expected: float, sent: float) -> bool:
    """As float32, too, has no number of so few digits."""
    is_short = math.isclose(sent, round(sent, digits), rel_tol=1e-6)
    return is_short and abs(expected - sent) <= 10.0**-digits / 2 * (1 + _CLOSE)


def _constant(pairs: Sequence[Pair]) -> str:
    """One difference, or one factor, of several different values."""
    if len({expected for expected, _ in pairs}) < 2:
        return ""
    steps = np.array([sent - expected for expected, sent in pairs], float)
    if np.allclose(steps, steps[0], rtol=_CLOSE, atol=0):
        return f"always {steps[0]:+.6g}: another zero, time zone or first number?"
    if all(expected for expected, _ in pairs):
        times = np.array([sent / expected for expected, sent in pairs], float)
        if np.allclose(times, times[0], rtol=_CLOSE, atol=0):
            return f"always {times[0]:.6g} times as large: another unit?"
    return ""
