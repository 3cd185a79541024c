"""Watch trails: stretches of watching without a long silence (SFV sec. 4.1).

They are computed over all readable impressions, before any filter, and do not care for
midnight. Which columns there are, and which of them know the whole trail, is in
`feature_specs.past.TRAIL_COLUMNS`; the others know what was known when the impression
began.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import TRAIL_COLUMNS, TRAIL_LAST
from pipeline.arrays import Bools, Ints, Numbers
from pipeline.examples.columns.past import Past
from pipeline.examples.columns.timeline import Timeline, milliseconds, watched_ms


def add_trails(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> pl.DataFrame:
    """Adds the columns of the trail.

    They are those of `TRAIL_COLUMNS` whose needs the spec has, and
    `trail_last_<column>` (of the trail's last known impression, for each of
    `trail.last`).

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `trail` section the frame comes back as it is.
        timeline: The frame's.
    """
    if spec.trail is None:
        return frame
    begins_trail = _begins_trail(frame, spec, timeline)  # [B]
    trails = np.cumsum(begins_trail) - 1  # [B]
    past = Past.of(timeline, trails, np.ones(frame.height, bool))
    last = pl.Series(past.last)
    last = last.set(last < 0, None)
    found: dict[str, Numbers | pl.Series] = {
        **_positions(timeline, np.flatnonzero(begins_trail), trails),
        **_watched_shares(frame, spec, past),
    }
    return frame.with_columns(
        *(
            pl.Series(name, found[name], column.dtype)
            for name, column in TRAIL_COLUMNS.items()
            if name in found
        ),
        *(
            frame[name].gather(last).alias(f"{TRAIL_LAST}{name}")
            for name in spec.trail.last
        ),
    )


def _begins_trail(frame: pl.DataFrame, spec: Spec, timeline: Timeline) -> Bools:
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


def _positions(timeline: Timeline, firsts: Ints, trails: Ints) -> dict[str, Numbers]:
    """Where each impression stands in its trail; seconds are since its first begin.

    Args:
        timeline: Of all rows.
        firsts: First row of each trail, int64 [T].
        trails: Each row's trail, int64 [B].
    """
    first = firsts[trails]  # [B]
    position = np.arange(len(trails)) - first + 1
    length = np.diff(firsts, append=len(trails))[trails]
    seconds = (timeline.begins - timeline.begins[first]) / 1000
    return {
        "trail_position": position,
        "trail_seconds": seconds,
        "trail_length": length,
        "trail_relative": position / length,
    }


def _watched_shares(
    frame: pl.DataFrame, spec: Spec, past: Past
) -> dict[str, pl.Series]:
    """Of the lengths of the trail's known impressions the share watched.

    One of which the watch or the length is missing counts in neither sum. Null if there
    are no others; no column without both lengths.
    """
    time = spec.log.time
    if time.watched is None or time.length is None:
        return {}
    told = [frame[duration.column] for duration in (time.watched, time.length)]
    known = ~(told[0].is_null() | told[1].is_null()).to_numpy()
    length = np.where(known, milliseconds(frame, time.length, spec), 0)
    watched = past.sums(np.minimum(watched_ms(frame, spec), length))
    lengths = past.sums(length)
    share = pl.Series(watched / np.maximum(lengths, 1))
    return {"trail_watched_share": share.set(pl.Series(lengths == 0), None)}
