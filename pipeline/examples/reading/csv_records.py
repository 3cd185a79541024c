"""Where the records of a CSV file begin, when quoted fields may hold line breaks.

RFC 4180 lets a quoted field hold line breaks, so that a line is a record or a part of
one. Only a line with an odd number of quotes opens or closes such a record: the field
that it opens is closed by the next odd line. The two and what lies between are one
record if they are well formed together, have as many fields as the header, and are not
longer than `MAX_RECORD_BYTES`. If not, the quote is a stray one and costs its own line,
and the next line begins a record: a stray quote never takes the rest of the file.

That rule looks at a neighbourhood only, so a worker that begins in the middle of a file
finds the next record without reading all that comes before, and two workers agree.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from typing import IO

import numpy as np

from pipeline.examples.reading.lines import Lines

MAX_RECORD_BYTES = 1 << 20  # of a record of several lines

_QUOTE = ord('"')
_STEP_BYTES = 1 << 16
_MOST_BYTES = 2 * MAX_RECORD_BYTES  # ... as they stand in a file, CRLF being LF

_Span = tuple[int, int]


class RecordForm:
    """What a record of one file looks like.

    Attributes:
        columns: Fields of a record.
        separator: One ASCII character between them.
    """

    def __init__(self, columns: int, separator: str):
        self.columns, self.separator = columns, separator

    def is_record(self, data: bytes) -> bool:
        """Whether some lines are one record, well formed and whole."""
        data = data.replace(b"\r\n", b"\n")
        if len(data) > MAX_RECORD_BYTES:
            return False
        whole, _ = _patterns(self.columns, self.separator)
        return whole.fullmatch(data) is not None

    def may_close(self, data: bytes) -> bool:
        """Whether some lines can be the rest of a record, from inside a field on."""
        _, rest = _patterns(self.columns, self.separator)
        return rest.fullmatch(data.replace(b"\r\n", b"\n")) is not None

    def records(self, lines: Lines) -> tuple[list[_Span], int | None]:
        """(first and last line of each record of several lines, the line whose field is
        open at the end); the first of the lines begins a record."""
        quotes = lines.positions(_QUOTE)
        odd = np.flatnonzero(lines.count(quotes) % 2).tolist()
        spans: list[_Span] = []
        opened: int | None = None
        for line in odd:
            if opened is not None and self.is_record(lines.slice(opened, line)):
                spans.append((opened, line))
                opened = None
            else:
                opened = line
        return spans, opened


@functools.lru_cache
def _patterns(
    columns: int, separator: str
) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """(a whole record, the rest of one whose first byte is inside a quoted field)."""
    mark = re.escape(separator.encode())
    inside = rb'[^"]*(?:""[^"]*)*"'
    field = rb'(?:"%b|[^"\n%b]*)' % (inside, mark)
    more = rb"(?:%b%b)" % (mark, field)
    return (
        re.compile(rb"%b%b{%d}\n?" % (field, more, columns - 1)),
        re.compile(rb"%b%b{0,%d}\n?" % (inside, more, columns - 1)),
    )


def join_records(lines: Lines, form: RecordForm) -> Lines:
    """The records of some lines, of which the first begins one."""
    if b'"' not in lines.data:
        return lines
    spans, _ = form.records(lines)
    return lines.joined(spans) if spans else lines


def open_record(data: bytes, form: RecordForm) -> int:
    """Where a record begins that whole lines may not have all of; `len(data)` if none.

    Args:
        data: Whole lines; the first begins a record.
        form: Of the file's records.
    """
    if data.rfind(b'"', -_MOST_BYTES) < 0:
        return len(data)
    lines = Lines(data, keep_returns=True)
    _, opened = form.records(lines)
    if opened is None or len(data) - lines.starts[opened] > _MOST_BYTES:
        return len(data)
    return int(lines.starts[opened])


class RecordFinder:
    """Finds the first record after a position of a plain file.

    Args:
        file: The file.
        form: Of its records.
        data: A part of the file that was read already, so that it is not read again.
        start: Where `data` begins.
    """

    def __init__(self, file: IO[bytes], form: RecordForm, data: bytes, start: int):
        self._file, self._form = file, form
        self._data, self._start = data, start

    def record_at(self, begin: int) -> int:
        """The first position from `begin` on where a record begins.

        Args:
            begin: Where a line begins, or the end of the file.
        """
        before, after = max(0, begin - _MOST_BYTES), begin + _MOST_BYTES
        if self._opens_nothing(before, begin) or begin >= self._size:
            return begin
        if self._has_no_quotes(begin, min(after, self._size)):
            return begin
        closing = self._first_odd(begin)
        if closing is None or not self._form.may_close(self._bytes(begin, closing[1])):
            return begin
        opening = self._open_before(begin)
        return closing[1] if opening and self._is_pair(opening, closing) else begin

    @functools.cached_property
    def _size(self) -> int:
        return self._file.seek(0, os.SEEK_END)

    def _has_no_quotes(self, first: int, last: int) -> bool:
        """Whether a part of the file was read already, and holds no quote."""
        first, last = first - self._start, last - self._start
        if first < 0 or last > len(self._data):
            return False
        return self._data.find(b'"', first, last) < 0

    def _opens_nothing(self, first: int, begin: int) -> bool:
        """Whether what was read already up to a position holds no odd line."""
        if first < self._start or begin > self._start + len(self._data):
            return False
        start = first if first == self._start else self._line_start(first)
        return not _odd_lines(self._bytes(start, begin), start)

    def _first_odd(self, begin: int) -> _Span | None:
        """The first odd line from `begin` on: its first byte, and the one after it."""
        width = _STEP_BYTES
        while True:
            end = min(self._size, begin + min(width, _MOST_BYTES))
            data = self._bytes(begin, end)
            whole = data if end == self._size else data[: data.rfind(b"\n") + 1]
            found = _odd_lines(whole, begin)
            if found:
                return found[0]
            if end == self._size or width >= _MOST_BYTES:
                return None
            width *= 2

    def _open_before(self, begin: int) -> _Span | None:
        """The odd line that opens a field and has no partner before `begin`, if any.

        Reads back until it is certain which of the odd lines before begin a record.
        """
        width = _STEP_BYTES
        while True:
            start = self._line_start(max(0, begin - width))
            odd = _odd_lines(self._bytes(start, begin), start)
            if not odd and (start == 0 or width > _MOST_BYTES):
                return None
            first = 0 if start == 0 else self._first_certain(odd)
            if first is not None:
                return self._left_open(odd[first:])
            width *= 2

    def _first_certain(self, odd: Sequence[_Span]) -> int | None:
        """The last odd line of which it is certain that it begins a record."""
        for place in reversed(range(1, len(odd))):
            if not self._is_pair(odd[place - 1], odd[place]):
                return place
        return 0 if odd and not self._form.may_close(self._bytes(*odd[0])) else None

    def _left_open(self, odd: Sequence[_Span]) -> _Span | None:
        opened: _Span | None = None
        for line in odd:
            closes = opened is not None and self._is_pair(opened, line)
            opened = None if closes else line
        return opened

    def _is_pair(self, opening: _Span, closing: _Span) -> bool:
        if closing[1] - opening[0] > _MOST_BYTES:
            return False
        return self._form.is_record(self._bytes(opening[0], closing[1]))

    def _line_start(self, position: int) -> int:
        """The first line that begins at a position or after it."""
        while position:
            data = self._bytes(position - 1, min(self._size, position + _STEP_BYTES))
            end = data.find(b"\n") + 1
            if end or position + _STEP_BYTES >= self._size:
                return position - 1 + (end or len(data))
            position += _STEP_BYTES
        return 0

    def _bytes(self, first: int, last: int) -> bytes:
        """A part of the file."""
        at = first - self._start
        if at >= 0 and last - self._start <= len(self._data):
            return self._data[at : last - self._start]
        self._file.seek(first)
        return read_exactly(self._file, last - first)


def read_exactly(file: IO[bytes], size: int) -> bytes:
    """`size` bytes, or all there are: one `read` may give less."""
    parts, left = [], size
    while left:
        part = file.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _odd_lines(data: bytes, start: int) -> list[_Span]:
    """First byte of each odd line, and the byte after it; `data` begins at `start`."""
    if b'"' not in data:
        return []
    lines = Lines(data, keep_returns=True)
    odd = np.flatnonzero(lines.count(lines.positions(_QUOTE)) % 2)
    ends = np.minimum(lines.ends[odd] + 1, len(data))  # the last may have no end
    return [
        (start + int(first), start + int(end))
        for first, end in zip(lines.starts[odd], ends, strict=True)
    ]
