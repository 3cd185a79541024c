"""A block of JSON lines -> typed columns, and every line that cannot be read.

A line is one object. Keys that are not declared are ignored; a key that is missing is
empty; of a key that is written twice the last one counts. NaN and Infinity, which
Python's `json` writes though JSON has neither, are read as numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl

from feature_specs.column_types import ColumnType, Whole
from pipeline.arrays import Ints
from pipeline.examples.reading import whole_numbers
from pipeline.examples.reading.begins import Begin
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.conversions import from_python
from pipeline.examples.reading.lines import Lines, find_damage
from pipeline.examples.reading.values import (
    JsonValues,
    add_begin,
    add_reasons,
    note_local_texts,
)


def parse_block(
    data: bytes,
    types: Mapping[str, ColumnType],
    begin: Begin | None = None,
) -> Block:
    """Reads a block of whole lines.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        types: The keys to read.
        begin: How a row of a log tells when it begins.
    """
    lines = Lines(data)
    reasons = Reasons(len(lines))
    find_damage(lines, reasons)
    objects = _read_objects(lines, reasons)
    good = reasons.none()
    raw = {key: _values(objects, key) for key in types}
    rows = pl.DataFrame({k: from_python(raw[k], kind) for k, kind in types.items()})
    looked_at = JsonValues(raw, types)
    _find_inexact(raw, rows, good, types, reasons)
    for key, kind in types.items():
        if kind.has_clock:
            note_local_texts(looked_at.texts(key, np.arange(len(good))), kind, reasons)
    add_reasons(reasons, good, rows, looked_at, types)
    rows = add_begin(rows, begin, good, reasons)
    return reasons.block(rows, good, lines.text)


def _values(objects: list[dict[str, Any]], key: str) -> list[Any]:
    """The values of a key, or of a path into objects: `author.id`."""
    if "." not in key:
        return [row.get(key) for row in objects]
    return [_at(row, key) for row in objects]


def _at(value: Any, path: str) -> Any:
    """The value at a path; a key that is spelt like all of it comes first."""
    if not isinstance(value, dict):
        return None
    if path in value or "." not in path:
        return value.get(path)
    name, _, rest = path.partition(".")
    return _at(value.get(name), rest)


def _find_inexact(
    raw: Mapping[str, list[Any]],
    rows: pl.DataFrame,
    lines: Ints,
    types: Mapping[str, ColumnType],
    reasons: Reasons,
) -> None:
    """Marks the lines with a whole number that was read as a float and rounded."""
    for column, kind in types.items():
        if not isinstance(kind, Whole):
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
