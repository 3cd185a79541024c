"""A block of JSON lines -> typed columns, and every line that cannot be read.

A line is one object. Keys that are not declared are ignored; a key that is missing is
empty; of a key that is written twice the last one counts. NaN and Infinity, which
Python's `json` writes though JSON has neither, are read as numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl

from pipeline.arrays import Ints
from pipeline.examples.reading import whole_numbers
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.lines import Lines, find_damage
from pipeline.examples.reading.times import TimeUnit
from pipeline.examples.reading.values import (
    Limits,
    add_reasons,
    declared_type,
    from_python,
)


def parse_block(
    data: bytes,
    declared: Mapping[str, str],
    limits: Limits,
    units: Mapping[str, TimeUnit] | None = None,
) -> Block:
    """Reads a block of whole lines.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        declared: The keys to read -> `int64`, `float64` or `string`, with `?` if they
            may be empty.
        limits: Column -> lowest and highest value that can be believed.
        units: Time column -> its unit.
    """
    lines = Lines(data)
    reasons = Reasons(len(lines))
    find_damage(lines, reasons)
    objects = _read_objects(lines, reasons)
    good = reasons.none()
    raw = {key: [row.get(key) for row in objects] for key in declared}
    rows = pl.DataFrame(
        {key: from_python(raw[key], kind) for key, kind in declared.items()}
    )

    def is_empty(suspects: Ints) -> pl.DataFrame:
        return pl.DataFrame(
            {
                key: [_is_empty(raw[key][n], kind) for n in suspects]
                for key, kind in declared.items()
            }
        )

    _find_inexact(raw, rows, good, declared, reasons)
    add_reasons(reasons, good, rows, is_empty, declared, limits, units or {})
    return reasons.block(rows, good, lines.text)


def _is_empty(value: Any, kind: str) -> bool:
    if isinstance(value, float):
        return math.isnan(value) and kind.endswith("?")
    return value is None or value == ""


def _find_inexact(
    raw: Mapping[str, list[Any]],
    rows: pl.DataFrame,
    lines: Ints,
    declared: Mapping[str, str],
    reasons: Reasons,
) -> None:
    """Marks the lines with a whole number that was read as a float and rounded."""
    for column, kind in declared.items():
        if declared_type(kind) != pl.Int64:
            continue
        unread = np.flatnonzero(rows[column].is_null())
        values = pl.Series(
            [v if isinstance(v := raw[column][n], float) else None for n in unread],
            dtype=pl.Float64,
        )
        inexact = whole_numbers.is_inexact(values).to_numpy()
        reasons.add(f"{column}: {whole_numbers.INEXACT}", lines[unread[inexact]])


def _read_objects(lines: Lines, reasons: Reasons) -> list[dict[str, Any]]:
    """The object of every line that has one; the others get their reason."""
    objects, others = [], []
    candidates = reasons.none()
    texts = lines.data.split(b"\n")
    for line in candidates.tolist():
        try:
            value = orjson.loads(texts[line])
        except orjson.JSONDecodeError:
            value = _with_nan(texts[line])
        if isinstance(value, dict):
            objects.append(value)
        else:
            others.append(line)
    reasons.add("not a JSON object", np.array(others, np.int64))
    return objects


def _with_nan(text: bytes) -> Any:
    """A line with NaN or Infinity, which Python writes and JSON has not; else None."""
    if b"NaN" not in text and b"Infinity" not in text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
