"""What a reader makes of a part of a file: typed rows, and every line without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import polars as pl

from pipeline.arrays import Ints

LINE = "_line"  # position of a row's line in its range, from 0

_BLANK = "blank line"  # counted apart: neither a row nor a reject
_MOST_TEXT = 1 << 16
_MOST_SHOWN = 120  # characters of a sample


@dataclasses.dataclass(frozen=True)
class Reject:
    """A line that holds no readable row.

    Attributes:
        line: Position in the range, from 0.
        reason: What is wrong, of a few kinds.
        text: The raw line, or its beginning where it is very long; bytes that are no
            UTF-8 are written as `\\xff`. Of a binary format the declared columns, JSON.
    """

    line: int
    reason: str
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """What a part of a file holds; a line is a record or a row in a binary format.

    Attributes:
        rows: The declared columns, and `LINE`.
        rejects: In the order of their lines.
        lines: All lines, blank ones included.
        blank_lines: Lines without a character.
        broken: Why the rest of the file cannot be read; "" if it can.
        inner_lines: Lines that go on with the record of the line before.
        notes: What was assumed about values -> of how many rows.
        rejected: As `rows`, of the rejects that have values; null where unreadable.
        samples: Reason -> a value that it was given for.
    """

    rows: pl.DataFrame
    rejects: tuple[Reject, ...]
    lines: int
    blank_lines: int
    broken: str = ""
    inner_lines: int = 0
    notes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rejected: pl.DataFrame | None = None
    samples: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def records(self) -> int:
        """Rows and rejects."""
        return self.lines - self.blank_lines - self.inner_lines


class Reasons:
    """Why each of a number of lines holds no row; the first reason found counts."""

    def __init__(self, lines: int):
        self._codes = np.zeros(lines, np.int16)  # places in `_names`
        self._names = [""]
        self._notes: dict[str, int] = {}
        self._samples: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, reason: str, lines: Ints) -> None:
        """Sets the reason of lines [?], by their positions, that have none yet."""
        lines = lines[self._codes[lines] == 0]
        if len(lines):
            if reason not in self._names:
                self._names.append(reason)
            self._codes[lines] = self._names.index(reason)

    def note(self, what: str, rows: int) -> None:
        """Notes what is assumed about a number of rows that nothing is wrong with."""
        self._notes[what] = self._notes.get(what, 0) + rows

    def show(self, reason: str, value: str) -> None:
        """Keeps a value that a reason was given for, if it is the first."""
        if value and reason in self._names:
            self._samples.setdefault(reason, value[:_MOST_SHOWN])

    def add_blank(self, lines: Ints) -> None:
        """Marks lines [?] that are no row and no reject."""
        self.add(_BLANK, lines)

    def none(self) -> Ints:
        """The positions of the lines that nothing is wrong with, in order."""
        return np.flatnonzero(self._codes == 0)

    def block(
        self, rows: pl.DataFrame, lines: Ints, text: Callable[[int], str]
    ) -> Block:
        """Keeps the rows that nothing is wrong with; the others become rejects.

        Args:
            rows: The declared columns of some lines [G].
            lines: Positions of these lines [G], in order.
            text: Position of a line -> its text for a reject.
        """
        rows = rows.with_columns(pl.col(pl.Float64).fill_nan(None))
        rows = rows.with_columns(pl.Series(LINE, lines, pl.Int64))
        is_good = self._codes[lines] == 0
        found = [
            (int(n), self._names[self._codes[n]]) for n in self._codes.nonzero()[0]
        ]
        rejects = tuple(
            Reject(line, reason, shorten(text(line)))
            for line, reason in found
            if reason != _BLANK
        )
        return Block(
            rows.filter(is_good),
            rejects,
            len(self),
            blank_lines=len(found) - len(rejects),
            notes=self._notes,
            samples=self._samples,
            rejected=rows.filter(~is_good) if rejects else None,
        )


def shorten(text: str) -> str:
    """A text of bounded length; one that is cut says how long it was."""
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}... ({len(text)} characters)"


def number_lines(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks of one range, lines counted on from block to block."""
    before = 0
    for block in blocks:
        yield _shift(block, before) if before else block
        before += block.lines


def _shift(block: Block, lines: int) -> Block:
    return renumber(block, lambda numbers: numbers + lines)


def renumber(block: Block, number: Callable[[Ints], Ints]) -> Block:
    """A block whose lines are counted in another way."""

    def of_frame(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.Series(LINE, number(frame[LINE].to_numpy())))

    lines = number(np.array([reject.line for reject in block.rejects], np.int64))
    rejects = tuple(
        dataclasses.replace(reject, line=line)
        for reject, line in zip(block.rejects, lines.tolist(), strict=True)
    )
    rejected = None if block.rejected is None else of_frame(block.rejected)
    return dataclasses.replace(
        block, rows=of_frame(block.rows), rejects=rejects, rejected=rejected
    )
