"""A checkpoint on one encoding -> the same model on another, value by value.

Each value's row of a vocabulary's table goes to the value's new id, with the row's
averages and optimizer slots; the rows of missing values and of all others stay theirs.
A value that was not there before gets the fresh row of a new training. Hashed tables
know no vocabulary, and stay.

A scale cannot be mapped: a missing number is 0 under every scale, so that no other
weights would predict alike.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.days.encoding import Encoding
from trainer.days.state import ResumeError, TrainingState, encoding_of, listed

_MISSING = 0  # the first row of a table
# A table's name between the names of what holds it, in a checkpoint's key; averages
# have the path of what they average, escaped.
_KEY = re.compile(r"(?:^|/|\.S)feature_(.+?)(?:/|\.S)")

Rows = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class RowMap:
    """Where the rows of one vocabulary's table go.

    Attributes:
        before: Rows of the table before [R].
        now: The same values' rows in the new table [R].
        sizes: Rows of the whole table, before and now.
    """

    before: Rows
    now: Rows
    sizes: tuple[int, int]

    def moved(
        self, table: npt.NDArray[Any], fresh: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """`fresh` [rows now, D] with the rows of `table` [rows before, D]."""
        found = fresh.copy()
        found[self.now] = table[self.before]
        return found

    def fits(self, before: list[int], now: list[int]) -> bool:
        """Whether tables of these shapes are the vocabulary's."""
        rows = ([self.sizes[0]], [self.sizes[1]])
        return (before[:1], now[:1]) == rows and before[1:] == now[1:]


def row_maps(before: Encoding, now: Encoding) -> dict[str, RowMap]:
    """Feature -> where its rows go, of each that has a vocabulary in both."""
    both = before.vocabularies.keys() & now.vocabularies.keys()
    return {name: _row_map(before, now, name) for name in sorted(both)}


def _row_map(before: Encoding, now: Encoding, name: str) -> RowMap:
    ids = {value: place + 1 for place, value in enumerate(now.vocabularies[name])}
    pairs = [(_MISSING, _MISSING)]
    for place, value in enumerate(before.vocabularies[name]):
        if value in ids:
            pairs.append((place + 1, ids[value]))
    rooms = before.room[name], now.room[name]
    pairs.append((rooms[0] + 1, rooms[1] + 1))  # of all other values
    old, new = np.array(pairs, np.int64).T
    return RowMap(old, new, (rooms[0] + 2, rooms[1] + 2))


def feature_of(key: str) -> str | None:
    """The feature whose own table a checkpoint's key belongs to, slots included."""
    found = _KEY.search(key)
    return found[1] if found else None


def check_mappable(
    state: TrainingState, now: Encoding | None, checkpoint: str
) -> dict[str, RowMap]:
    """Where rows go from a checkpoint's encoding to another one.

    Raises:
        ResumeError: Something else than vocabularies differs, the checkpoint is in the
            middle of a day, or nothing tells one of the encodings.
    """
    before = encoding_of(state)
    if before is None or now is None:
        raise ResumeError(
            f"--map_encoding {checkpoint}: needs the vocabularies of both encodings. "
            f"Got none {'of the checkpoint' if before is None else 'of the examples'}. "
            f"Train into an empty directory (--checkpoints)."
        )
    if state.position:
        raise ResumeError(
            f"--map_encoding {checkpoint}: must be at the end of a day. Got "
            f"{state.position}. Finish that day with the encoding it was begun with."
        )
    scales = _other_scales(before, now)
    if scales:
        raise ResumeError(
            f"--map_encoding {checkpoint}: numbers must be scaled alike, as no weights "
            f"give the same predictions under another scale. {listed(scales)}. Make "
            f"the new encoding with the scales of the earlier one, or train into an "
            f"empty directory (--checkpoints)."
        )
    return row_maps(before, now)


def _other_scales(before: Encoding, now: Encoding) -> list[str]:
    names = sorted(before.scales.keys() | now.scales.keys())
    return [
        _told(before.scales, now.scales, n) for n in names if _differs(before, now, n)
    ]


def _differs(before: Encoding, now: Encoding, name: str) -> bool:
    return before.scales.get(name) != now.scales.get(name)


def _told(before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> str:
    return f"{name} had {before.get(name)} and has {now.get(name)}"
