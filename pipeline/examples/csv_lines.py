"""A block of CSV lines -> typed columns, and every line that cannot be read.

The whole block is parsed at once; only lines that something is wrong with are looked at
again. Lines follow RFC 4180, but one line is one record: a quoted field may hold
separators and doubled quotes, no line break, so that a stray quote costs one line and
not the rest of the file.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from feature_specs import expressions

LINE = "_line"  # position of a row's line in its block, from 0

_NEWLINE, _QUOTE = ord("\n"), ord('"')
_BLANK = "blank line"  # counted apart: neither a row nor a reject


@dataclasses.dataclass(frozen=True)
class Reject:
    """A line that holds no readable row.

    Attributes:
        line: Position in the block, from 0.
        reason: What is wrong, of a few kinds.
        text: The raw line; bytes that are no UTF-8 are written as `\\xff`.
    """

    line: int
    reason: str
    text: str


@dataclasses.dataclass(frozen=True)
class Block:
    """What a block of lines holds.

    Attributes:
        rows: The declared columns, and `LINE`.
        rejects: In the order of their lines.
        lines: All lines, blank ones included.
        blank_lines: Lines without a character.
    """

    rows: pl.DataFrame
    rejects: tuple[Reject, ...]
    lines: int
    blank_lines: int


def parse_block(
    data: bytes,
    header: Sequence[str],
    declared: Mapping[str, str],
    separator: str = ",",
    limits: Mapping[str, tuple[int, int]] | None = None,
) -> Block:
    """Reads a block of whole lines, without the header.

    Args:
        data: Lines that end in LF or CRLF; the last one may have no end.
        header: Names of the file's columns, in order.
        declared: The columns to read -> `int64`, `float64` or `string`, with `?` if
            they may be empty; all of them are in `header`.
        separator: One ASCII character.
        limits: Column -> lowest and highest value that can be believed.
    """
    lines = _Lines(data)
    reasons = _shape_reasons(lines, len(header), separator)
    good = np.flatnonzero(reasons == "")
    rows = _typed(lines, good, header, declared, separator)
    wrong = _value_reasons(lines, good, rows, header, declared, separator)
    for column, (low, high) in (limits or {}).items():
        beyond = ~rows[column].is_between(low, high).fill_null(False).to_numpy()
        wrong[beyond & (wrong == "")] = f"{column}: not a plausible value"
    reasons[good] = wrong
    rows = (
        rows.with_columns(pl.col(pl.Float64).fill_nan(None))
        .with_columns(pl.Series(LINE, good, pl.Int64))
        .filter(wrong == "")
    )
    rejects = [
        Reject(int(line), str(reasons[line]), lines.text(line))
        for line in np.flatnonzero((reasons != "") & (reasons != _BLANK))
    ]
    blank = int((reasons == _BLANK).sum())
    return Block(rows, tuple(rejects), len(lines), blank)


class _Lines:
    """The lines of a block, by the positions of their first and last bytes."""

    def __init__(self, data: bytes):
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if data and not data.endswith(b"\n"):
            data += b"\n"
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self.ends = np.flatnonzero(self.bytes == _NEWLINE)
        self.starts = np.concatenate([[0], self.ends[:-1] + 1])[: len(self.ends)]

    def __len__(self) -> int:
        return len(self.ends)

    def positions(self, byte: int) -> np.ndarray:
        """Where a byte stands in the block."""
        return np.flatnonzero(self.bytes == byte)

    def count(self, positions: np.ndarray) -> np.ndarray:
        """How many of the sorted byte positions lie in each line [L]."""
        return np.searchsorted(positions, self.ends) - np.searchsorted(
            positions, self.starts
        )

    def line_of(self, positions: np.ndarray) -> np.ndarray:
        """The line that each byte position lies in."""
        return np.searchsorted(self.ends, positions)

    def raw(self, line: int) -> bytes:
        """One line without its end."""
        return self.data[self.starts[line] : self.ends[line]]

    def text(self, line: int) -> str:
        """One line as text, whatever its bytes."""
        return self.raw(line).decode("utf-8", errors="backslashreplace")

    def join(self, lines: np.ndarray) -> bytes:
        """The bytes of some lines (positions in order), each with its end."""
        if len(lines) == len(self):
            return self.data
        chosen = np.zeros(len(self), bool)
        chosen[lines] = True
        return self.bytes[np.repeat(chosen, self.ends - self.starts + 1)].tobytes()


def _shape_reasons(lines: _Lines, columns: int, separator: str) -> np.ndarray:
    """Why a line cannot be cut into its columns, "" if it can; object [L]."""
    reasons = np.full(len(lines), "", object)
    separators = lines.positions(ord(separator))
    quotes = lines.positions(_QUOTE)
    if len(quotes):
        misplaced, quoted = _judge_quotes(lines, quotes, separators, separator)
        separators = separators[~quoted]
    found = lines.count(separators) + 1
    reasons[found != columns] = "wrong number of columns"
    if len(quotes):
        reasons[misplaced] = "misplaced quote"
    for line in _not_utf8(lines):
        reasons[line] = "not UTF-8"
    reasons[lines.ends == lines.starts] = _BLANK
    return reasons


def _judge_quotes(
    lines: _Lines, quotes: np.ndarray, separators: np.ndarray, separator: str
) -> tuple[np.ndarray, np.ndarray]:
    """(lines with a misplaced quote [?], separators that stand inside quotes [S]).

    An opening quote (first, third... of its line) begins a field or doubles the quote
    before it; a closing one ends a field or is doubled.
    """
    before_line = np.searchsorted(quotes, lines.starts)
    line = lines.line_of(quotes)
    opening = (np.arange(len(quotes)) - before_line[line]) % 2 == 0
    edges = np.array([_NEWLINE, _QUOTE, ord(separator)], np.uint8)
    previous = np.where(quotes > 0, lines.bytes[quotes - 1], _NEWLINE)
    following = lines.bytes[quotes + 1]  # a block ends in a newline
    fits = np.where(opening, np.isin(previous, edges), np.isin(following, edges))
    odd = np.flatnonzero(lines.count(quotes) % 2)
    misplaced = np.union1d(line[~fits], odd)
    of_separator = lines.line_of(separators)
    open_quotes = np.searchsorted(quotes, separators) - before_line[of_separator]
    return misplaced, open_quotes % 2 == 1


def _not_utf8(lines: _Lines) -> list[int]:
    try:
        lines.data.decode("utf-8")
    except UnicodeDecodeError:
        suspects = np.unique(lines.line_of(np.flatnonzero(lines.bytes >= 0x80)))
        return [line for line in suspects if not _is_utf8(lines.raw(line))]
    return []


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _typed(
    lines: _Lines,
    good: np.ndarray,
    header: Sequence[str],
    declared: Mapping[str, str],
    separator: str,
) -> pl.DataFrame:
    """The declared columns of well-formed lines; null where a value does not parse."""
    types = {
        column: expressions.polars_type(kind) or pl.String()
        for column, kind in declared.items()
    }
    return _read(lines, good, header, types, separator)


def _read(
    lines: _Lines,
    chosen: np.ndarray,
    header: Sequence[str],
    types: Mapping[str, pl.DataType],
    separator: str,
) -> pl.DataFrame:
    if not len(chosen):
        return pl.DataFrame(schema=dict(types))
    places = {column: header.index(column) for column in types}
    named = {
        str(place): types.get(column, pl.String())
        for place, column in enumerate(header)
    }
    text = lines.join(chosen)
    frame = pl.read_csv(
        io.BytesIO(text),
        has_header=False,
        schema=named,
        columns=sorted(places.values()),
        separator=separator,
        quote_char='"' if b'"' in text else None,
        ignore_errors=True,
    )
    if frame.height != len(chosen):
        raise RuntimeError(
            f"{len(chosen)} lines gave {frame.height} rows. This is a fault of "
            "Trailrank; please report it with the file."
        )
    strings = pl.col(pl.String)
    return frame.select(
        pl.col(str(place)).alias(column) for column, place in places.items()
    ).with_columns(pl.when(strings != "").then(strings))


def _value_reasons(
    lines: _Lines,
    good: np.ndarray,
    rows: pl.DataFrame,
    header: Sequence[str],
    declared: Mapping[str, str],
    separator: str,
) -> np.ndarray:
    """Why a well-formed line's values cannot be used, "" if they can; object [G]."""
    reasons = np.full(len(good), "", object)
    suspects = np.flatnonzero(
        rows.select(
            pl.any_horizontal(_is_suspect(column, rows) for column in declared)
        ).to_series()
    )
    if not len(suspects):
        return reasons
    texts = _read(
        lines, good[suspects], header, dict.fromkeys(declared, pl.String()), separator
    )
    values = rows[suspects]
    found = np.full(len(suspects), "", object)
    for column, kind in declared.items():
        for reason, holds in _column_reasons(column, kind, values, texts):
            found[holds.to_numpy() & (found == "")] = f"{column}: {reason}"
    reasons[suspects] = found
    return reasons


def _is_suspect(column: str, rows: pl.DataFrame) -> pl.Expr:
    value = pl.col(column)
    if rows.schema[column].is_float():
        return value.is_null() | ~value.is_finite().fill_null(False)
    return value.is_null()


def _column_reasons(
    column: str, kind: str, values: pl.DataFrame, texts: pl.DataFrame
) -> list[tuple[str, pl.Series]]:
    """(reason, the suspect rows that it holds for); an optional NaN is an empty one."""
    value, text = values[column], texts[column]
    required = not kind.endswith("?")
    empty = ("empty", text.is_null() & required)
    if value.dtype == pl.String:
        return [empty]
    unreadable = value.is_null() & text.is_not_null()
    if not value.dtype.is_float():
        return [empty, ("not a whole number", unreadable)]
    odd = value.is_infinite().fill_null(False) | (
        value.is_nan().fill_null(False) & required
    )
    return [empty, ("not a number", unreadable | odd)]
