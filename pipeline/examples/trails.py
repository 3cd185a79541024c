"""Watch trails: stretches of watching without a long silence (SFV sec. 4.1).

They are computed over all readable impressions, before any filter, and do not care for
midnight. The trail features are trained on, never served.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.examples.timeline import Timeline


def add_trails(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> pl.DataFrame:
    """Adds `trail_position` (int64, from 1) and `trail_seconds` (float64).

    Args:
        frame: Impressions [B], sorted by user and begin.
        spec: Without a `trail` section the frame comes back as it is.
        timeline: The frame's.
    """
    if spec.trail is None:
        return frame
    begins_trail = _begins_trail(frame, spec, timeline)  # [B]
    first = np.maximum.accumulate(
        np.where(begins_trail, np.arange(frame.height), 0)
    )  # [B], the row that the trail of each row began with
    return frame.with_columns(
        pl.Series("trail_position", np.arange(frame.height) - first + 1, pl.Int64),
        pl.Series(
            "trail_seconds",
            (timeline.begins - timeline.begins[first]) / 1000,
            pl.Float64,
        ),
    )


def _begins_trail(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> np.ndarray:
    """Where a new trail begins, bool [B]: a new user, a new scope, or a long silence.

    Silence is measured from the latest end of all the user's earlier impressions: a
    long video that still runs is no silence.
    """
    assert spec.trail is not None
    latest_end = np.maximum.accumulate(timeline.ends)
    silence_ms = timeline.begins[1:] - latest_end[:-1]
    begins_trail = timeline.starts
    begins_trail[1:] |= silence_ms > spec.trail.gap_minutes * 60_000
    for column in spec.trail.scope[1:]:
        value = pl.col(column)
        changed = frame.select(value.ne_missing(value.shift())).to_series().to_numpy()
        begins_trail[1:] |= changed[1:]
    return begins_trail
