"""The types of values in examples and requests, and what stands for a missing one."""

from __future__ import annotations

import math
from typing import Literal

import polars as pl

Dtype = Literal["int64", "float32", "string"]
AUTO: Literal["auto"] = "auto"  # a `size` that is counted on the training days
MOST_COUNTED = 100_000  # values; of more, the rarest share the row of all others

# A missing value is written, and sent in a request, as this value of its type.
MISSING: dict[str, int | float | str] = {
    "int64": -1,
    "float32": math.nan,
    "string": "",
}


def example_type(found: pl.DataType) -> Dtype | None:
    """The type of a column in examples; None for lists, times and all else."""
    if found.is_integer() or found == pl.Boolean:
        return "int64"
    if found.is_numeric():
        return "float32"
    return "string" if found == pl.String else None
