"""Where a watch trail ends: the valley between short pauses and long ones.

Between two impressions of a user pass seconds while he watches, and hours when he was
away. On a logarithmic axis these are two hills. The proposal is the lowest point
between the highest one under five minutes and the highest one above half an hour.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from pipeline.proposing.sampling import STRETCH

DEFAULT_MINUTES = 30
_BINS_A_DECADE = 5
_SHORT_S, _LONG_S, _LONGEST_S = 300.0, 1800.0, 30 * 86_400.0
_FEWEST = 500  # pauses: fewer draw no hills
_ROUND = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240)


@dataclasses.dataclass(frozen=True)
class GapGuess:
    """How long a silence ends a trail.

    Attributes:
        minutes: The proposal.
        why: What it rests on, or why nothing could be known.
        is_known: Whether the pauses tell it.
    """

    minutes: int
    why: str
    is_known: bool


def guess_gap(
    rows: pl.DataFrame, user: str, time_ms: str, watched_ms: str | None
) -> GapGuess:
    """The gap of a log's sampled rows.

    Args:
        rows: With `STRETCH`: a pause across two stretches is none.
        user: Column of the user.
        time_ms: Column of begins, unix milliseconds.
        watched_ms: Column of the milliseconds watched, if there is one.
    """
    watched = pl.col(watched_ms).fill_null(0) if watched_ms else pl.lit(0)
    ends = (pl.col(time_ms) + watched).alias("_end")
    ordered = rows.with_columns(ends).sort(STRETCH, user, time_ms)
    latest = pl.col("_end").cum_max().shift().over(STRETCH, user)
    pause_s = ordered.select((pl.col(time_ms) - latest) / 1000).to_series().drop_nulls()
    return valley(pause_s.filter(pause_s >= 1).to_numpy())


def valley(pause_s: np.ndarray) -> GapGuess:
    """The gap of some pauses, in seconds."""
    if len(pause_s) < _FEWEST:
        return GapGuess(
            DEFAULT_MINUTES,
            f"could not know: {len(pause_s):,} pauses in the sample, too few to see "
            "when a user is away",
            is_known=False,
        )
    edges = np.logspace(
        0, np.log10(_LONGEST_S), int(_BINS_A_DECADE * np.log10(_LONGEST_S))
    )
    counts, _ = np.histogram(pause_s, edges)
    middles = np.sqrt(edges[:-1] * edges[1:])
    short = np.flatnonzero(middles < _SHORT_S)
    long = np.flatnonzero(middles > _LONG_S)
    first, last = short[counts[short].argmax()], long[counts[long].argmax()]
    between = np.arange(first, last + 1)
    lowest = between[counts[between] == counts[between].min()]
    if counts[lowest[0]] > 0.5 * min(counts[first], counts[last]) or not counts[last]:
        return GapGuess(
            DEFAULT_MINUTES,
            f"could not know: {len(pause_s):,} pauses of the sample show no two hills, "
            "one of watching and one of being away",
            is_known=False,
        )
    minutes = float(np.exp(np.log(middles[lowest]).mean())) / 60
    rounded = min(_ROUND, key=lambda value: abs(np.log(value / minutes)))
    return GapGuess(
        rounded,
        f"the valley between pauses of about {_shown(middles[first])} and of about "
        f"{_shown(middles[last])}, of {len(pause_s):,} in the sample",
        is_known=True,
    )


def _shown(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
