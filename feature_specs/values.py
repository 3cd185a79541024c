"""The types of values in examples and requests, and what stands for a missing one."""

from __future__ import annotations

import math
from typing import Literal

Dtype = Literal["int64", "float32", "string"]

# A missing value is written, and sent in a request, as this value of its type.
MISSING: dict[str, int | float | str] = {
    "int64": -1,
    "float32": math.nan,
    "string": "",
}
