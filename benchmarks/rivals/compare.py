"""Whether two contenders wrote the same examples."""

from __future__ import annotations

import gzip
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
from tfx_bsl.coders import example_coder

from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER

_BATCH = 10_000
_KEY = [KEY_USER, KEY_TIME, KEY_ITEM]


def differences(one: str, other: str, split: str) -> dict[str, int]:
    """What differs between the examples below two folders, with the number of rows.

    Of all splits the numbers of examples are compared, of one also the values.

    Args:
        one: Folder with `*.gz` files, each with the name of its split in its path.
        other: Likewise.
        split: The split to decode.
    """
    sizes = [_count(folder) for folder in (one, other)]
    if sizes[0] != sizes[1]:
        return {"number of examples": abs(sizes[0] - sizes[1])}
    a, b = (_read(folder, split) for folder in (one, other))
    names = sorted({*a.columns, *b.columns})
    counts = {name: _differing(a, b, name) for name in names}
    return {name: count for name, count in counts.items() if count}


def _count(folder: str) -> int:
    """Examples in all files."""
    return sum(1 for path in _files(folder) for _ in _records(path))


def _read(folder: str, split: str) -> pl.DataFrame:
    """A split's examples, sorted by their keys.

    A column holds lists; a key that an example leaves out is null.
    """
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    frames = []
    for path in _files(folder):
        records = list(_records(path)) if split in str(path) else []
        for start in range(0, len(records), _BATCH):
            batch = decoder.DecodeBatch(records[start : start + _BATCH])
            frames.append(pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]))))
    rows = pl.concat(frames, how="diagonal")
    return rows.sort(pl.col(name).list.first() for name in _KEY)


def _differing(one: pl.DataFrame, other: pl.DataFrame, name: str) -> int:
    if name not in one.columns or name not in other.columns:
        return max(one.height, other.height)
    a, b = one[name], other[name]
    if a.dtype.inner.is_float():  # type: ignore[attr-defined]  # all are lists
        x, y = (series.list.first().to_numpy() for series in (a, b))
        return int((~np.isclose(x, y, rtol=1e-6, equal_nan=True)).sum())
    return int(a.ne_missing(b).sum())


def _files(folder: str) -> list[pathlib.Path]:
    return sorted(pathlib.Path(folder).rglob("*.gz"))


def _records(path: pathlib.Path) -> Iterator[bytes]:
    """The records of a TFRecord file."""
    data, place = gzip.decompress(path.read_bytes()), 0
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        yield data[place + 12 : place + 12 + size]
        place += 16 + size
