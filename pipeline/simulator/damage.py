"""Corrupts lines of a log file, in ways that a strict reader must notice.

For tests and for studies of what happens to unreadable lines: the pipeline may lose
none of them silently.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from pipeline.simulator.errors import SimulationError

_USER, _VIDEO, _TIME = 0, 1, 4  # positions of the key columns in a log line


@dataclasses.dataclass(frozen=True)
class DamagedLine:
    """A line that `damage` made unreadable.

    Attributes:
        line_number: Counted from 1, the header included.
        kind: A key of KINDS.
        raw: The line's bytes as they now are in the file, without the newline.
    """

    line_number: int
    kind: str
    raw: bytes


def _join_without_last(rng: np.random.Generator, fields: list[bytes]) -> bytes:
    return b",".join(fields[: -int(rng.integers(1, 6))])


def _join_with_extra(rng: np.random.Generator, fields: list[bytes]) -> bytes:
    return b",".join([*fields, str(rng.integers(10)).encode()])


def _join_with_text(rng: np.random.Generator, fields: list[bytes]) -> bytes:
    texts = (b"abc", b"true", b"12x", b"-", b"0x1F", b"1 2")
    return _replaced(fields, int(rng.integers(len(fields))), rng.choice(texts))


def _replaced(fields: list[bytes], column: int, value: bytes) -> bytes:
    return b",".join([*fields[:column], value, *fields[column + 1 :]])


def _first_half(rng: np.random.Generator, fields: list[bytes]) -> bytes:
    """At least one comma falls into the cut half: the column count is wrong."""
    line = b",".join(fields)
    return line[: int(rng.integers(1, len(line) // 2))]


def _garbage(rng: np.random.Generator, fields: list[bytes]) -> bytes:
    """Bytes that are no UTF-8 (0xff never is); no newline and no quote among them."""
    allowed = np.setdiff1d(np.arange(256), [0x0A, 0x0D, 0x22]).astype(np.uint8)
    return b"\xff" + rng.choice(allowed, len(b",".join(fields))).tobytes()


KINDS: dict[str, Callable[[np.random.Generator, list[bytes]], bytes]] = {
    "missing_columns": _join_without_last,
    "extra_column": _join_with_extra,
    "text_in_number": _join_with_text,
    "empty_user_id": lambda rng, fields: _replaced(fields, _USER, b""),
    "empty_video_id": lambda rng, fields: _replaced(fields, _VIDEO, b""),
    "empty_time_ms": lambda rng, fields: _replaced(fields, _TIME, b""),
    "nan_time_ms": lambda rng, fields: _replaced(fields, _TIME, b"NaN"),
    "negative_time_ms": lambda rng, fields: _replaced(
        fields, _TIME, b"-" + fields[_TIME]
    ),
    "half_line": _first_half,
    "garbage": _garbage,
}


def damage(log_csv_path: str, share: float, seed: int) -> list[DamagedLine]:
    """Corrupts `share` of the data lines of one log file, in place.

    The ten KINDS appear equally often. The header stays. Reads the whole file.

    Returns:
        The damaged lines in the order of the file.
    """
    if not 0 < share <= 1:
        raise SimulationError(
            f"damage({log_csv_path!r}): share must be above 0 and at most 1, got "
            f"{share}. Pass the part of the lines to corrupt, 0.01 for 1 %."
        )
    path = pathlib.Path(log_csv_path)
    lines = path.read_bytes().splitlines()
    count = round(share * (len(lines) - 1))
    if count < 1:
        raise SimulationError(
            f"damage({log_csv_path!r}): share {share} of {len(lines) - 1} data lines "
            "is no whole line. Pass a larger share or a longer log."
        )
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(lines) - 1, count, replace=False)) + 1
    kinds = rng.permutation(np.resize(list(KINDS), count))
    damaged = []
    for row, kind in zip(rows.tolist(), kinds.tolist(), strict=True):
        lines[row] = KINDS[kind](rng, lines[row].split(b","))
        damaged.append(DamagedLine(row + 1, kind, lines[row]))
    path.write_bytes(b"\n".join(lines) + b"\n")
    return damaged
