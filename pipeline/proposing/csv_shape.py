"""How a CSV file is written, from its first lines: its separator and its header."""

from __future__ import annotations

import collections
import csv
import dataclasses
import re
from collections.abc import Sequence

SEPARATORS = (",", "\t", ";", "|")
_NUMBER = re.compile(r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")
_MOST_LINES = 200


@dataclasses.dataclass(frozen=True)
class CsvShape:
    """How a CSV file is written.

    Attributes:
        separator: Between the fields.
        header: Names of the columns; c0, c1... where the file has none.
        has_header: Whether they are in its first line.
    """

    separator: str
    header: tuple[str, ...]
    has_header: bool


def csv_shape(head: str) -> CsvShape | None:
    """The shape of a file that begins with `head`; None if it is no table.

    The separator is the one that cuts most lines into as many fields as the first, more
    than one. A first line with a number in it, or with a field twice, names no columns.
    """
    lines = [line for line in head.splitlines()[:_MOST_LINES] if line.strip()]
    if not lines:
        return None
    separator, share = max(
        ((s, _fitting(lines, s)) for s in SEPARATORS), key=lambda found: found[1]
    )
    if share < 0.5:
        return None
    first = next(csv.reader([lines[0]], delimiter=separator))
    if _names_columns(first):
        header = tuple(name.strip().removeprefix("\ufeff") for name in first)
        return CsvShape(separator, header, has_header=True)
    made_up = tuple(f"c{place}" for place in range(len(first)))
    return CsvShape(separator, made_up, has_header=False)


def _fitting(lines: Sequence[str], separator: str) -> float:
    """The share of lines with as many fields as the first; 0 if that is one field."""
    try:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
    except csv.Error:
        return 0.0
    if widths[0] < 2:
        return 0.0
    return collections.Counter(widths)[widths[0]] / len(widths)


def _names_columns(fields: Sequence[str]) -> bool:
    names = [field.strip() for field in fields]
    if len(set(names)) < len(names) or not all(names):
        return False
    return not any(_NUMBER.match(name) for name in names)
