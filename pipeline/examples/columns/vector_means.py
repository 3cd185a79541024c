"""Means of the vectors of past events, without a list of vectors for every row."""

from __future__ import annotations

from typing import cast

import numpy as np
import polars as pl

from pipeline.arrays import Ints, Numbers

_FLOATS_AT_ONCE = 100_000  # of sums, which then stay in the processor's cache


def mean_vectors(events: pl.Series, start: Ints, stop: Ints) -> pl.Series:
    """The mean of the known vectors in each stretch of events [P]; null if none is.

    Each is added up by itself, in order and in float64: whatever came before a stretch,
    and whoever else shares the shard, leaves no trace in it.

    Args:
        events: Array of Float32 [E]; a null is no vector.
        start: Position of the first event of each stretch, int64 [P].
        stop: Position after its last one, int64 [P].
    """
    width = cast(pl.Array, events.dtype).size
    before = np.concatenate([[0], np.cumsum(events.is_not_null().to_numpy())])
    start, stop = before[start], before[stop]
    known = np.array(events.drop_nulls().explode(), np.float32).reshape(-1, width)
    # An impression after another one without a new event sees the same stretch.
    is_new = (np.diff(start, prepend=-1) != 0) | (np.diff(stop, prepend=-1) != 0)
    firsts, owner = np.flatnonzero(is_new), np.cumsum(is_new) - 1
    means = np.zeros([len(firsts), width], np.float32)
    at_once = max(1, _FLOATS_AT_ONCE // width)
    for first in range(0, len(firsts), at_once):
        part = slice(first, first + at_once)
        means[part] = _means(known, start[firsts[part]], stop[firsts[part]])
    found = pl.Series(means[owner], dtype=events.dtype)
    return pl.select(pl.when(pl.Series(stop > start)).then(found)).to_series()


def _means(known: Numbers, start: Ints, stop: Ints) -> Numbers:
    """Of the rows of `known` [K, N] in each stretch; zeros of an empty one [P, N]."""
    lengths = stop - start
    order = np.argsort(-lengths, kind="stable")  # those that go on come first
    sums = np.zeros([len(start), known.shape[1]])
    for step in range(int(lengths.max(initial=0))):
        longer = order[: np.count_nonzero(lengths > step)]
        sums[longer] += known[start[longer] + step]
    return sums / np.maximum(lengths, 1)[:, np.newaxis]
