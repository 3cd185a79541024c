"""What a user engaged with before an impression began; never the future.

Only events that ended by then count: a video that still runs has no outcome yet. Two
impressions that begin together never see each other.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from feature_specs import Spec, expressions
from pipeline.examples.timeline import Timeline


def add_history(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> pl.DataFrame:
    """Adds `history_<column>` (lists, the newest end last) for `history.columns`.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `history` section the frame comes back as it is.
        timeline: The frame's.
    """
    history = spec.history
    if history is None:
        return frame
    condition = expressions.parse(history.positive).fill_null(False)
    # As a column beside the others: a literal (TRUE) then holds for every row.
    marked = frame.with_columns(condition.cast(pl.Boolean).alias("_positive"))
    positive = np.flatnonzero(marked["_positive"])
    # An event without length is seen from the next millisecond on.
    seen_from = np.maximum(timeline.ends, timeline.begins + 1)[positive]
    order = np.argsort(seen_from, kind="stable")
    seen_from, positive = seen_from[order], positive[order]
    stop = np.searchsorted(seen_from, timeline.begins, side="right")  # [B]
    stretch = timeline.users * timeline.stride
    start = np.searchsorted(seen_from, stretch, side="left")  # [B]
    start = np.maximum(start, stop - history.length)
    rows = positive[_ranges(start, stop)]
    offsets = np.concatenate([[0], np.cumsum(stop - start)])
    return frame.with_columns(
        _lists(frame[column][rows], offsets).alias(f"history_{column}")
        for column in history.columns
    )


def _ranges(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """start[0]..stop[0]-1, start[1]..stop[1]-1, ... in one array."""
    lengths = stop - start
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(start - before, lengths)


def _lists(values: pl.Series, offsets: np.ndarray) -> pl.Series:
    """Lists [B] of flat values, list i from offsets[i] to offsets[i + 1]."""
    flat = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    return pl.Series(pl.from_arrow(lists))
