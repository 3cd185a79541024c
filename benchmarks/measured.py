"""How a measurement is told: its spread, the machine and the commit."""

from __future__ import annotations

import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Sequence

COLUMNS = 118  # of the tables


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Of each round: the median, and how far it goes."""
    found = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "median": round(statistics.median(found), 2),
        "min": round(min(found), 2),
        "max": round(max(found), 2),
    }


def ratio_text(ratio: dict[str, float]) -> str:
    """`2.1 (2.0-2.4)`, of what `ratios` gave."""
    return f"{ratio['median']} ({ratio['min']}-{ratio['max']})"


def spread(values: Sequence[float], form: str) -> str:
    """`2.1 (2.0-2.4)`: median and range, formatted by `form`; one value alone."""
    middle = f"{statistics.median(values):{form}}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}}-{max(values):{form}})"


def machine() -> str:
    """What it was measured on."""
    return f"{platform.machine()}, {os.cpu_count()} cores"


def commit() -> str:
    """Of this tree, short."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    here = pathlib.Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
