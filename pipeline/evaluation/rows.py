"""Scored rows that are gone through column by column, in memory or on disk.

Up to `PART_ROWS` they stay in memory. More are parted by a hash of the user, and each
part lies on disk as one Parquet file, of which a metric reads the few columns that it
is made of: memory does not grow with the rows. A part holds all rows of its users, in
one order whatever the order in which they came.
"""

from __future__ import annotations

import functools
import os
import pathlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl
import pyarrow as pa

from feature_specs import label_key, mask_key
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER

PART_ROWS = 1 << 18
MOST_PARTS = 256  # files open at once while rows come in
_HELD_ROWS = 1 << 16  # in memory, of all parts, until they go to disk

KEY_SPLIT = "key_split"  # the number of the day that a row is of
SCORE = "score"
# In this order: a user's rows lie together, inside them a request's, or a day's.
_SORTED_BY = (KEY_USER, KEY_REQUEST, KEY_SPLIT, KEY_TIME, KEY_ITEM)


def prediction_key(task: str, model: int = 0) -> str:
    """The column with what the model of that number predicts for a task."""
    return _of_model(f"prediction_{task}", model)


def score_key(model: int = 0) -> str:
    """The column with the fused score of the model of that number."""
    return _of_model(SCORE, model)


def oracle_key(task: str) -> str:
    """The column with the true probability of a task's label, where it is known."""
    return f"oracle_{task}"


def _of_model(column: str, model: int) -> str:
    return f"{column}@{model}" if model else column


class Rows:
    """Rows of users, sorted, in parts.

    Args:
        parts: Frames, or Parquet files, with the same columns.
        columns: Their names.
    """

    def __init__(
        self, parts: Sequence[pl.DataFrame | pathlib.Path], columns: Iterable[str]
    ):
        self._parts = tuple(parts)
        self.columns = frozenset(columns)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Rows:
        """A frame of all rows."""
        return cls([_sorted(frame)], frame.columns)

    @functools.cached_property
    def count(self) -> int:
        """How many rows there are."""
        return sum(frame.height for frame in self.read([KEY_USER]))

    def read(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        """Some columns, part by part; those that there are not are left out."""
        known = [name for name in dict.fromkeys(columns) if name in self.columns]
        for part in self._parts:
            if isinstance(part, pl.DataFrame):
                yield part.select(known)
            else:
                yield pl.read_parquet(part, columns=known)

    def read_task(self, task: str, *others: str) -> Iterator[pl.DataFrame]:
        """The rows in a task's sample space: its label, and other columns."""
        mask = mask_key(task)
        for frame in self.read([mask, label_key(task), *others]):
            yield frame.filter(pl.col(mask) > 0).drop(mask)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort([key for key in _SORTED_BY if key in frame.columns])


def collect(
    frames: Iterable[pl.DataFrame],
    rows: int,
    folder: str | os.PathLike[str],
    finish: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame,
    part_rows: int = PART_ROWS,
) -> Rows:
    """Takes rows in, batch by batch.

    Args:
        frames: Batches with the same columns.
        rows: How many will come, about.
        folder: On a local disk; parts that do not stay in memory are put there.
        finish: Adds columns to a whole part, such as an oracle's.
        part_rows: Rows of a part, about.
    """
    parts = min(-(-rows // part_rows), MOST_PARTS)
    if parts <= 1:
        frame = finish(pl.concat(frames))
        return Rows.of(frame)
    spill = _Spill(pathlib.Path(folder), parts)
    try:
        for frame in frames:
            spill.add(frame)
    finally:
        spill.close()
    found, columns = [], []
    for path in spill.paths:
        frame = finish(_read_stream(path))
        path.unlink()
        columns = frame.columns
        found.append(path.with_suffix(".parquet"))
        _sorted(frame).write_parquet(found[-1], compression="lz4", statistics=False)
    return Rows(found, columns)


class _Spill:
    """Files that rows are appended to, one a part of the users."""

    def __init__(self, folder: pathlib.Path, parts: int):
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        self._files = [folder / f"{name}-{part:03d}.arrows" for part in range(parts)]
        self._writers: list[pa.RecordBatchStreamWriter | None] = [None] * parts
        self._held: list[pl.DataFrame] = []
        self._rows = 0

    @property
    def paths(self) -> list[pathlib.Path]:
        """The files that have rows."""
        pairs = zip(self._files, self._writers, strict=True)
        return [path for path, writer in pairs if writer is not None]

    def add(self, frame: pl.DataFrame) -> None:
        self._held.append(frame)
        self._rows += frame.height
        if self._rows >= _HELD_ROWS:
            self._write()

    def close(self) -> None:
        """Writes what is held, and ends the files."""
        if self._held:
            self._write()
        for writer in self._writers:
            if writer is not None:
                writer.close()

    def _write(self) -> None:
        frame = pl.concat(self._held)
        self._held, self._rows = [], 0
        part = pl.col(KEY_USER).hash(seed=0) % len(self._files)
        marked = frame.with_columns(part.alias("_part"))
        for (number,), rows in marked.partition_by(
            "_part", as_dict=True, include_key=False
        ).items():
            table = rows.rechunk().to_arrow()
            writer = self._writers[number]
            if writer is None:
                writer = pa.ipc.new_stream(str(self._files[number]), table.schema)
                self._writers[number] = writer
            writer.write_table(table)


def _read_stream(path: pathlib.Path) -> pl.DataFrame:
    with pa.ipc.open_stream(str(path)) as stream:
        found = pl.from_arrow(stream.read_all())
    assert isinstance(found, pl.DataFrame)
    return found
