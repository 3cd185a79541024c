"""The lines of a text block by their positions, and the damage that no format bears."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np

from pipeline.arrays import Ints
from pipeline.examples.reading.blocks import Reasons

MAX_LINE_BYTES = 1 << 24

_NEWLINE, _NUL, _RETURN = ord("\n"), 0, ord("\r")


class Lines:
    """The lines of a block, by the positions of their first and last bytes.

    Attributes:
        data: Whole lines, each with its LF; CRLF has become LF.
        bytes: The same, uint8 [N].
        starts: Position of each line's first byte [L].
        ends: Position of each line's LF [L].
        numbers: Which line of the block each one is [L], or begins with if lines were
            joined.
        height: Lines of the block, before any were joined.
    """

    def __init__(self, data: bytes, keep_returns: bool = False):
        if b"\r" in data and not keep_returns:
            data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if data and not data.endswith(b"\n"):
            data += b"\n"
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self.ends = np.flatnonzero(self.bytes == _NEWLINE)
        self.starts = np.concatenate([[0], self.ends[:-1] + 1])[: len(self.ends)]
        self.height = len(self.ends)
        self.numbers = np.arange(self.height)
        self._positions: dict[int, Ints] = {}

    def __len__(self) -> int:
        return len(self.ends)

    def joined(self, spans: Iterable[tuple[int, int]]) -> Lines:
        """The same with each span of lines (first and last) as one line."""
        begins, ends = np.ones((2, len(self)), bool)
        for first, last in spans:
            begins[first + 1 : last + 1] = False
            ends[first:last] = False
        lines = copy.copy(self)
        lines.starts, lines.numbers = self.starts[begins], self.numbers[begins]
        lines.ends = self.ends[ends]
        return lines

    def positions(self, byte: int) -> Ints:
        """Where a byte stands in the block."""
        if byte not in self._positions:
            self._positions[byte] = np.flatnonzero(self.bytes == byte)
        return self._positions[byte]

    def count(self, positions: Ints) -> Ints:
        """How many of the sorted byte positions lie in each line [L]."""
        return np.diff(np.searchsorted(positions, self.ends), prepend=0)

    def line_of(self, positions: Ints) -> Ints:
        """The line that each byte position lies in."""
        return np.searchsorted(self.ends, positions)

    def slice(self, first: int, last: int) -> bytes:
        """Some lines that follow each other, with their ends."""
        return self.data[self.starts[first] : self.ends[last] + 1]

    def raw(self, line: int) -> bytes:
        """One line without its end."""
        return self.data[self.starts[line] : self.ends[line]]

    def text(self, line: int) -> str:
        """One line as text, whatever its bytes."""
        return self.raw(line).decode("utf-8", errors="backslashreplace")

    def join(self, lines: Ints) -> bytes:
        """The bytes of some lines (positions in order), each with its end."""
        if len(lines) == len(self):
            return self.data
        chosen = np.zeros(len(self), bool)
        chosen[lines] = True
        kept = np.repeat(chosen, self.ends - self.starts + 1)
        data: bytes = self.bytes[kept].tobytes()
        return data


def find_damage(lines: Lines, reasons: Reasons) -> None:
    """Marks the lines that are blank, far too long, or no text."""
    lengths = lines.ends - lines.starts
    reasons.add_blank(np.flatnonzero(lengths == 0))
    reasons.add("line too long", np.flatnonzero(lengths > MAX_LINE_BYTES))
    for byte, reason in ((_NUL, "NUL byte"), (_RETURN, "carriage return in the line")):
        if bytes([byte]) in lines.data:
            reasons.add(reason, np.unique(lines.line_of(lines.positions(byte))))
    reasons.add("not UTF-8", _not_utf8(lines))


def _not_utf8(lines: Lines) -> Ints:
    """The positions of lines that are no UTF-8."""
    nowhere = np.array([], np.int64)
    if lines.data.isascii():
        return nowhere
    try:
        lines.data.decode("utf-8")
    except UnicodeDecodeError:
        suspects = np.unique(lines.line_of(np.flatnonzero(lines.bytes >= 0x80)))
        wrong = [line for line in suspects if not _is_utf8(lines.raw(line))]
        return np.array(wrong, np.int64)
    return nowhere


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
