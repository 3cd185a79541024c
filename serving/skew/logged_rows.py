"""Rows as a backend sent them, from its own log."""

from __future__ import annotations

import dataclasses
from typing import Any

from feature_specs import FeatureSpec, Spec
from feature_specs.errors import TrailrankError
from feature_specs.places import Place
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER
from serving.load.json_lines import JsonLine, read_json_lines

KEYS = (KEY_USER, KEY_ITEM, KEY_TIME)

Key = tuple[Any, ...]  # user, item, time in ms


class LoggedRowError(TrailrankError, ValueError):
    """Rows that cannot be compared; the message names the file's line."""


@dataclasses.dataclass(frozen=True)
class LoggedRows:
    """What a backend sent.

    Attributes:
        rows: Key -> feature -> value, of the served features; others are left out.
        unknown: Names in it that the spec does not serve.
    """

    rows: dict[Key, dict[str, Any]]
    unknown: tuple[str, ...]


def read_logged(file: Place, spec: Spec) -> LoggedRows:
    """Rows that a backend logged: a JSON object on each line.

    It holds `key_user`, `key_item` and `key_time_ms`, by which the row is found in the
    examples, and the features as they were sent, by their names.

    Raises:
        LoggedRowError: It cannot be read, or a line is no such object.
    """
    served = {feature.name for feature in spec.served_features}
    rows: dict[Key, dict[str, Any]] = {}
    unknown: set[str] = set()
    for line in read_json_lines(file, LoggedRowError):
        key, values = _logged(line)
        if key in rows:
            raise LoggedRowError(
                f"{line.where}: the row of user, item and time {key} was on an earlier "
                "line, too. Keep one of them."
            )
        unknown |= values.keys() - served - {KEY_REQUEST}
        rows[key] = {name: values[name] for name in served & values.keys()}
    if not rows:
        raise LoggedRowError(f"--requests {file}: no row in it; one a line.")
    return LoggedRows(rows, tuple(sorted(unknown)))


def _logged(line: JsonLine) -> tuple[Key, dict[str, Any]]:
    where, values, begin = line
    if not isinstance(values, dict) or not set(KEYS) <= values.keys():
        raise LoggedRowError(
            f"{where}: must be an object with {', '.join(KEYS)} and the features by "
            f"their names. Got {begin}"
        )
    key = tuple(values.pop(name) for name in KEYS)
    if any(isinstance(part, bool) or not isinstance(part, int | str) for part in key):
        raise LoggedRowError(
            f"{where}: {', '.join(KEYS)} must be whole numbers or text. Got {key}."
        )
    return key, values


# --- what a server refuses ------------------------------------------------------------


def refusal(feature: FeatureSpec, value: Any) -> str:
    """Why a server refuses a value of a feature, by TensorFlow Serving's rules; or "".

    None and an absent value are missing, which a client fills in.
    """
    if value is None:
        return ""
    if not (feature.is_sequence or feature.width):
        return _refusal_of_one(feature, value)
    if not isinstance(value, list):
        return "must be a list"
    if feature.width and len(value) not in (0, feature.width):
        return f"must have {feature.width} numbers"
    if feature.is_sequence and None in value:
        return "must have no null in it"
    told = (_refusal_of_one(feature, one) for one in value if one is not None)
    return next((text for text in told if text), "")


def _refusal_of_one(feature: FeatureSpec, value: Any) -> str:
    if feature.dtype == "string":
        return "" if isinstance(value, str | bytes) else "must be text"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if feature.dtype == "int64":
        if not isinstance(value, int):
            return "must be a whole number"
        return "" if -(2**63) <= value < 2**63 else "must fit in 64 bits"
    return ""
