"""The shipped KuaiRand spec's SQL, once more as Python functions of a row.

A per-row pipeline cannot run SQL over columns; its authors write such functions. They
are found by the text of the spec: where that changes, `function_of` says what to write.
A row is a dict of typed values, None for an empty one, with `event_time`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Function = Callable[[Row], Any]


@functools.cache
def function_of(sql: str) -> Function:
    """The function for an expression; KeyError if nobody has written it yet."""
    if not sql or sql.upper() == "TRUE":
        return lambda r: True
    if re.fullmatch(r"-?\d+(\.\d+)?", sql):
        number = float(sql)
        return lambda r: number
    column = re.fullmatch(r'"?([a-z_]\w*)"?', sql)
    if column:
        name = column.group(1)
        return lambda r: r[name]
    equal = re.fullmatch(r"([a-z_]\w*) = (-?\d+)", sql)
    if equal:
        return _equals(equal.group(1), int(equal.group(2)))
    whole = re.fullmatch(r"CAST\((\w+) AS BIGINT\)", sql)
    if whole:
        return _whole(whole.group(1))
    if sql not in _FUNCTIONS:
        raise KeyError(
            f"No function for the spec's {sql!r}. Write one in {__file__}: what it "
            "gives for a row, None where the SQL gives null."
        )
    return _FUNCTIONS[sql]


def _equals(name: str, wanted: int) -> Function:
    return lambda r: None if r[name] is None else r[name] == wanted


def _whole(name: str) -> Function:
    return lambda r: None if r[name] is None else int(r[name])


def _tags(r: Row) -> list[str] | None:
    return r["tag"].split(",") if r["tag"] else None


_FUNCTIONS: dict[str, Function] = {
    # Filters
    "duration_ms BETWEEN 5000 AND 10800000": lambda r: (
        5000 <= r["duration_ms"] <= 10_800_000
    ),
    "play_time_ms BETWEEN 0 AND 20 * duration_ms": lambda r: (
        0 <= r["play_time_ms"] <= 20 * r["duration_ms"]
    ),
    # History
    "long_view = 1 OR is_like = 1": lambda r: r["long_view"] == 1 or r["is_like"] == 1,
    # Statistics and what is derived from them
    "LEAST(play_time_ms, 10800000) / 60000": lambda r: (
        min(r["play_time_ms"], 10_800_000) / 60_000
    ),
    "CASE WHEN user_minutes = 0 THEN 'new' WHEN user_minutes < 60 THEN 'low' "
    "ELSE 'high' END": lambda r: (
        ("low" if r["user_minutes"] < 60 else "high") if r["user_minutes"] else "new"
    ),
    "CASE WHEN user_minutes = 0 THEN 0 WHEN user_minutes < 60 THEN 1 ELSE 2 END": (
        lambda r: (1 if r["user_minutes"] < 60 else 2) if r["user_minutes"] else 0
    ),
    # Features
    "STRING_TO_ARRAY(NULLIF(tag, ''), ',')": _tags,
    "duration_ms / 1000": lambda r: r["duration_ms"] / 1000,
    "EXTRACT(hour FROM event_time)": lambda r: r["event_time"].hour,
    # Labels
    "play_time_ms >= duration_ms": lambda r: r["play_time_ms"] >= r["duration_ms"],
    "play_time_ms >= 0.8 * duration_ms": lambda r: (
        r["play_time_ms"] >= 0.8 * r["duration_ms"]
    ),
    "comment_stay_time > 0": lambda r: r["comment_stay_time"] > 0,
    "play_time_ms < LEAST(3000, duration_ms)": lambda r: (
        r["play_time_ms"] < min(3000, r["duration_ms"])
    ),
    "LEAST(play_time_ms / duration_ms, 3)": lambda r: min(
        r["play_time_ms"] / r["duration_ms"], 3
    ),
    "LN(1 + play_time_ms / 1000)": lambda r: math.log(1 + r["play_time_ms"] / 1000),
    "LEAST(play_time_ms / 1000, 600)": lambda r: min(r["play_time_ms"] / 1000, 600),
    "LN(1 + comment_stay_time / 1000)": lambda r: math.log(
        1 + r["comment_stay_time"] / 1000
    ),
    "is_like + is_follow + is_comment + is_forward > 0": lambda r: (
        r["is_like"] + r["is_follow"] + r["is_comment"] + r["is_forward"] > 0
    ),
}
