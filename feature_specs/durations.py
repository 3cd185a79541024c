"""Lengths of time as people write them: `90s`, `30m`, `24h`, `7d`."""

from __future__ import annotations

import re

_FORM = re.compile(r"([1-9][0-9]{0,8})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MOST_S = 366 * 86_400
RULE = "must be a length of time such as 90s, 30m, 24h or 7d, at most 366d."


def seconds_of(text: str) -> int:
    """A length of time in seconds; ValueError if the text is none."""
    match = _FORM.fullmatch(text.strip())
    seconds = int(match.group(1)) * _SECONDS[match.group(2)] if match else 0
    if not 1 <= seconds <= MOST_S:
        raise ValueError(RULE)
    return seconds


def text_of(seconds: int) -> str:
    """A length of time in the largest unit that makes it a whole number."""
    unit = max((u for u in _SECONDS.items() if not seconds % u[1]), key=lambda u: u[1])
    return f"{seconds // unit[1]}{unit[0]}"
