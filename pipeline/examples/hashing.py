"""A 64-bit hash of columns that never changes: not with the process, not with versions.

Shards, files and the order inside a day come from it, so that a rerun gives the same
bytes. Polars' and Python's own hashes promise no such thing.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pipeline.arrays import Hashes, Ints

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, as in splitmix64
_TEXT_SEED = np.uint64(0x51_7C_C1_B7_27_22_0A_95)


def hash_columns(columns: list[pl.Series], seed: int = 0) -> Hashes:
    """One uint64 a row, of int, float or text columns [B] without nulls."""
    with np.errstate(over="ignore"):
        start = _mix(np.asarray([seed], np.int64).view(np.uint64))
        hashed = np.broadcast_to(start, (len(columns[0]),))
        for column in columns:
            hashed = _mix(hashed * _GOLDEN + _hash_one(column))
    return hashed


def hash_shards(column: pl.Series, shards: int) -> Ints:
    """The shard in [0, shards) of each key [B]; equal keys share one."""
    return bucket_of(hash_columns([column]), shards)


def bucket_of(hashed: Hashes, buckets: int) -> Ints:
    """Cuts the range of uint64 hashes [B] into `buckets` equal parts, int64 [B].

    Parts are in the order of the hashes: sorting each part sorts the whole.
    """
    high = hashed >> np.uint64(32)
    return ((high * np.uint64(buckets)) >> np.uint64(32)).astype(np.int64)


def _hash_one(column: pl.Series) -> Hashes:
    if column.dtype == pl.String:
        return _hash_text(column)
    if column.dtype.is_float():
        return _mix(column.cast(pl.Float64).to_numpy().view(np.uint64))
    return _mix(column.cast(pl.Int64).to_numpy().view(np.uint64))


def _hash_text(column: pl.Series) -> Hashes:
    """Mixes the UTF-8 bytes in, eight at a time, for all rows that still have some."""
    lengths = column.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    text = "".join(column.to_list()).encode()
    data = np.frombuffer(text + b"\0" * 8, np.uint8)
    hashed = _mix(lengths.view(np.uint64) + _TEXT_SEED)
    for position in range(0, int(lengths.max(initial=0)), 8):
        rows = np.flatnonzero(lengths > position)
        words = data[(starts[rows] + position)[:, np.newaxis] + np.arange(8)]  # [R, 8]
        beyond = position + np.arange(8) >= lengths[rows, np.newaxis]
        words = np.where(beyond, np.uint8(0), words)
        hashed[rows] = _mix(hashed[rows] * _GOLDEN + words.view("<u8")[:, 0])
    return hashed


def _mix(values: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele et al. 2014): every bit reaches every bit."""
    values = values + _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
