"""Columns -> serialized tf.Examples, in numpy, always the same bytes.

`tfx_bsl`'s encoder writes the features of an example in the order of a hash map that is
seeded anew for every example, so that two runs never give the same file. Here the keys
come in a fixed order: all floats first, then the other columns as they come.

The layout is protobuf's: Example{1: Features{1: map entries{1: key, 2: Feature}}}. A
Feature is one of {1: BytesList, 2: FloatList, 3: Int64List}, whose field 1 has the
values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bytes, Ints, Numbers

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_VARINT_BYTES = 10  # longest varint of 64 bits


def serialize(frame: pl.DataFrame) -> pa.Array:
    """One tf.Example a row [B], as a binary array.

    Args:
        frame: Columns of Int64, Float32 or String without nulls, arrays of Float32, or
            lists of Int64 or String; a null or empty list leaves its key out.
    """
    floats = [name for name, dtype in frame.schema.items() if _is_float(dtype)]
    parts = [_float_entries(frame.select(floats))] if floats else []
    for values in frame.iter_columns():
        if not _is_float(values.dtype):
            parts += _entries(values.name, values)
    lengths = sum(_lengths(part) for part in parts)
    header = _table(lambda size: b"\x0a" + _varint(size), np.asarray(lengths))
    return _join([header, *parts])


def _entries(key: str, values: pl.Series) -> list[pa.Array]:
    """Map entries of one key, as a head and a body [B]."""
    dtype = values.dtype
    if isinstance(dtype, pl.List):
        bodies = _list_bodies(values)
        kind = _INT64_LIST if dtype.inner == pl.Int64 else _BYTES_LIST
        packed = kind == _INT64_LIST
    elif dtype == pl.Int64:
        bodies, kind, packed = _varints(values.to_numpy()), _INT64_LIST, True
    elif dtype == pl.String:
        bodies, kind, packed = _delimited(_binary(values)), _BYTES_LIST, False
    else:
        raise TypeError(f"Column {key!r}: {dtype} has no place in a tf.Example.")
    heads = _table(lambda size: _entry_head(key, kind, packed, size), _lengths(bodies))
    return [heads, bodies]


def _list_bodies(values: pl.Series) -> pa.Array:
    """The values of each list [B], one after the other."""
    lists = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    flat = lists.flatten()
    if flat.type == pa.int64():
        elements = _varints(flat.to_numpy())
    else:
        elements = _delimited(flat.cast(pa.binary()))
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return _rebuilt(_data(elements), _offsets(elements)[edges])


def _is_float(dtype: pl.DataType) -> bool:
    """Whether a column has one float a row, or always as many."""
    inner = dtype.inner if isinstance(dtype, pl.Array) else dtype
    return inner == pl.Float32


def _float_entries(frame: pl.DataFrame) -> pa.Array:
    """The entries of all float columns [B]: the same length in every row."""
    values = [_floats(column) for column in frame.iter_columns()]  # [B, W] each
    template, places = bytearray(), []
    for key, floats in zip(frame.columns, values, strict=True):
        size = 4 * floats.shape[1]
        template += _entry_head(key, _FLOAT_LIST, True, size)
        places.append(len(template))
        template += b"\0" * size
    rows = np.tile(np.frombuffer(bytes(template), np.uint8), (frame.height, 1))
    for place, floats in zip(places, values, strict=True):
        as_bytes = floats.view(np.uint8)  # [B, 4 * W]
        rows[:, place : place + as_bytes.shape[1]] = as_bytes
    offsets = np.arange(frame.height + 1) * len(template)
    return _rebuilt(rows, offsets)


def _floats(values: pl.Series) -> npt.NDArray[np.float32]:
    """The floats of each row [B, W], W = 1 for a column of one."""
    width = values.dtype.size if isinstance(values.dtype, pl.Array) else 1
    flat = values.explode() if isinstance(values.dtype, pl.Array) else values
    return np.ascontiguousarray(flat.to_numpy().astype("<f4").reshape(-1, width))


def _entry_head(key: str, kind: int, packed: bool, size: int) -> bytes:
    """What stands before an entry's `size` bytes of values; nothing for no values."""
    if not size:
        return b""
    head = b"\x0a" + _varint(size) if packed else b""
    head = _tag(kind) + _varint(len(head) + size) + head  # Feature
    inside = len(head) + size
    name = key.encode()
    head = b"\x0a" + _varint(len(name)) + name + b"\x12" + _varint(inside) + head
    return b"\x0a" + _varint(len(head) + size) + head


def _delimited(texts: pa.Array) -> pa.Array:
    """Each text as field 1 of a message: tag, length, bytes."""
    heads = _table(lambda size: b"\x0a" + _varint(size), _lengths(texts))
    return _join([heads, texts])


def _varints(values: Numbers) -> pa.Array:
    """Each int64 as a varint of 7 bits a byte; negative ones take ten bytes."""
    rest = values.astype(np.int64).view(np.uint64)
    shifts = (np.arange(_VARINT_BYTES) * 7).astype(np.uint64)
    used = np.ones(len(rest), np.int64)
    for shift in shifts[1:]:
        used += rest >= (np.uint64(1) << shift)
    width = int(used.max(initial=1))
    digits = (rest[:, np.newaxis] >> shifts[:width]).astype(np.uint8) & np.uint8(0x7F)
    columns = np.arange(width)
    digits |= (columns < used[:, np.newaxis] - 1).astype(np.uint8) << np.uint8(7)
    return _ragged(digits, used)


def _table(encode: Callable[[int], bytes], sizes: npt.NDArray[np.int32]) -> pa.Array:
    """`encode(size)` of each size [B]; called once for each different one."""
    present = np.bincount(sizes) > 0
    entries = pa.array(
        [encode(int(size)) for size in np.flatnonzero(present)], pa.binary()
    )
    places = np.cumsum(present) - 1
    return entries.take(pa.array(places[sizes]))


def _ragged(rows: Bytes, used: Ints) -> pa.Array:
    """The first `used` [B] bytes of each row of a uint8 matrix [B, W]."""
    data = rows[np.arange(rows.shape[1]) < used[:, np.newaxis]]
    return _rebuilt(data, np.concatenate([[0], np.cumsum(used)]))


def _rebuilt(data: Bytes, offsets: Ints) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def _binary(texts: pl.Series) -> pa.Array:
    return texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.binary())


def _join(parts: list[pa.Array]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.binary()))


def _offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    offsets = np.frombuffer(array.buffers()[1], np.int32)
    return offsets[array.offset : array.offset + len(array) + 1]


def _data(array: pa.Array) -> Bytes:
    return np.frombuffer(array.buffers()[2] or b"", np.uint8)


def _lengths(array: pa.Array) -> npt.NDArray[np.int32]:
    return np.diff(_offsets(array))


def _tag(field: int) -> bytes:
    """A length-delimited field's first byte."""
    return bytes([field << 3 | 2])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
