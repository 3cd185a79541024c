"""Figures as JSON, and files that are there when they are whole."""

from __future__ import annotations

import json
import math
import os
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from feature_specs.errors import TrailrankError


class DamagedFileError(TrailrankError, ValueError):
    """A file of our own making that cannot be read any more."""


def significant(value: float, figures: int) -> float | None:
    """A number with so many significant figures; None for NaN and infinity."""
    return float(f"{value:.{figures}g}") if math.isfinite(value) else None


def rounded(value: float, digits: int) -> float | None:
    """A number with so many digits behind the point; None for NaN and infinity."""
    return round(float(value), digits) if math.isfinite(value) else None


def plain(value: Any, figures: int | None = None) -> Any:
    """A value as JSON has it.

    Args:
        value: Of mappings, sequences, arrays, numbers and texts.
        figures: Significant ones of each float; all of them by default.

    Returns:
        Arrays and tuples as lists. JSON has no NaN and no infinity: they become None,
        which says that there is no such number.
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), figures)
    if isinstance(value, float):
        if figures is not None:
            return significant(value, figures)
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(item, figures) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, figures) for item in value]
    return value


def to_json(value: Any, *, indent: int | None = 2, figures: int | None = None) -> bytes:
    """`plain` as a JSON text with a line's end."""
    text = json.dumps(plain(value, figures), indent=indent, allow_nan=False)
    return f"{text}\n".encode()


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a local file in one step, so that no reader sees half of it.

    Args:
        path: Its directory is made if it is not there.
        content: The whole file.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str], remedy: str) -> dict[str, Any]:
    """A JSON object that this package wrote.

    Raises:
        DamagedFileError: It is none (any more); the message ends with the remedy.
        FileNotFoundError: There is no such file.
    """
    return json_object(pathlib.Path(path).read_bytes(), path, remedy)


def json_object(
    content: bytes, path: str | os.PathLike[str], remedy: str
) -> dict[str, Any]:
    """The JSON object that a file of this package's, `path`, holds.

    Raises:
        DamagedFileError: It is none (any more); the message ends with the remedy.
    """
    try:
        found = json.loads(content)
    except ValueError as error:  # no JSON, or no text
        raise DamagedFileError(f"{path}: is damaged ({error}). {remedy}") from None
    if not isinstance(found, dict):
        raise DamagedFileError(
            f"{path}: must hold a JSON object. Got {type(found).__name__}. {remedy}"
        )
    return found


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `to_json` of a value in one step."""
    write_bytes(path, to_json(value))
