"""The last events that a user engaged with before an impression began."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from feature_specs import Spec
from pipeline.arrays import Ints
from pipeline.examples.columns.evaluate import holds
from pipeline.examples.columns.past import Past
from pipeline.examples.columns.timeline import Timeline
from pipeline.examples.columns.vector_means import mean_vectors


def add_history(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> pl.DataFrame:
    """Adds `history_<column>` (lists, the newest end last) for `history.columns`.

    Of a column of vectors it is their mean, one vector a row.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `history` section the frame comes back as it is.
        timeline: The frame's.
    """
    history = spec.history
    if history is None:
        return frame
    past = Past.of(timeline, timeline.users, holds(frame, history.positive))
    start = np.maximum(past.start, past.stop - history.length)
    places = pl.Series(ranges(start, past.stop))
    offsets = np.concatenate([[0], np.cumsum(past.stop - start)])
    found = []
    for column in history.columns:
        events = frame[column][past.events]
        if isinstance(events.dtype, pl.Array):
            made = mean_vectors(events, start, past.stop)
        else:
            made = lists_of(events[places], offsets)
        found.append(made.alias(f"history_{column}"))
    return frame.with_columns(found)


def ranges(start: Ints, stop: Ints) -> npt.NDArray[np.uint32]:
    """start[0]..stop[0]-1, start[1]..stop[1]-1, ... in one array, uint32.

    That is the type Polars gathers by; what is negative in between wraps back.
    """
    lengths = stop - start
    before = np.cumsum(lengths) - lengths
    shifts = np.repeat((start - before).astype(np.uint32), lengths)
    places: npt.NDArray[np.uint32] = np.arange(len(shifts), dtype=np.uint32) + shifts
    return places


def lists_of(values: pl.Series, offsets: Ints) -> pl.Series:
    """Lists [B] of flat values, list i from offsets[i] to offsets[i + 1]."""
    flat = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    return pl.Series(pl.from_arrow(lists))
