"""A block of JSON lines -> typed columns, and every line that cannot be read.

A line is one object. Keys that are not declared are ignored; a key that is missing is
empty; of a key that is written twice the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl

from pipeline.arrays import Ints
from pipeline.examples.reading.blocks import Block, Reasons
from pipeline.examples.reading.lines import Lines, find_damage
from pipeline.examples.reading.values import Limits, add_reasons, from_python


def parse_block(data: bytes, declared: Mapping[str, str], limits: Limits) -> Block:
    """Reads a block of whole lines.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        declared: The keys to read -> `int64`, `float64` or `string`, with `?` if they
            may be empty.
        limits: Column -> lowest and highest value that can be believed.
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
            {key: [raw[key][n] in (None, "") for n in suspects] for key in declared}
        )

    add_reasons(reasons, good, rows, is_empty, declared, limits)
    return reasons.block(rows, good, lines.text)


def _read_objects(lines: Lines, reasons: Reasons) -> list[dict[str, Any]]:
    """The object of every line that has one; the others get their reason."""
    objects, others = [], []
    candidates = reasons.none()
    texts = lines.data.split(b"\n")
    for line in candidates.tolist():
        try:
            value = orjson.loads(texts[line])
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            objects.append(value)
        else:
            others.append(line)
    reasons.add("not a JSON object", np.array(others, np.int64))
    return objects
