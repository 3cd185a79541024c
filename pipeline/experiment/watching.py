"""What the users of a round do with what they are shown: log lines, and the truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl

from pipeline.arrays import Array, Ints
from pipeline.experiment import viewers
from pipeline.experiment.rankers import Round
from pipeline.simulator import behaviour, block, exposure

WORTH = "_worth"
WELL_SPENT_S = "_well_spent_s"
TRUTH = (WORTH, WELL_SPENT_S)  # columns beside those of the log
MOST_SWIPE_MS = 60_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watched:
    """What a round brought.

    Attributes:
        log: [I] lines as `simulate` writes them, with `video` (the row in Videos) and
            `TRUTH`, by user and time.
        ends_ms: [Q] when each trail was over, after the day's first midnight.
    """

    log: pl.DataFrame
    ends_ms: Ints


def watch(
    asked: Round,
    places: Ints,
    position: Ints,
    midnight_ms: int,
    streams: tuple[np.random.Generator, np.random.Generator],
) -> Watched:
    """Plays what is shown until the user leaves or the day ends.

    Args:
        asked: Of the users.
        places: [M] the candidates shown, in the order of trails.
        position: [M] of each in its trail, from 0.
        midnight_ms: When the day began, unix milliseconds.
        streams: Of watching, and of leaving.
    """
    rng, leaving = streams
    made, users, videos = asked.made, asked.made.users, asked.made.videos
    shown = asked.shown(places, position)
    user = asked.trails.user[shown.trail]
    bored = viewers.boredom(videos.topic[shown.video], shown.trail)
    causes = made.causes(asked.trails, shown)
    causes = dataclasses.replace(
        causes, watch=causes.watch - viewers.WATCH_BORED * bored
    )
    play_time_ms = behaviour.play_law(causes, asked.constants).sample_ms(rng)
    swipe_ms = 200 + rng.exponential(900, len(shown)).astype(np.int64)
    step_ms = play_time_ms + np.minimum(swipe_ms, MOST_SWIPE_MS)
    after_ms = _since_begin(step_ms, shown.trail)
    start_ms = asked.trails.start_ms[shown.trail] + after_ms - step_ms
    worth = viewers.worth(users, videos, user, shown.video, shown.match, bored)
    left = viewers.leaves(leaving, position, bored, worth)
    stays = ~_later(left, shown.trail) & (start_ms < exposure.DAY_MS)
    draws = block.Draws(
        trails=asked.trails,
        shown=shown,
        causes=causes,
        constants=asked.constants,
        play_time_ms=play_time_ms,
        time_ms=midnight_ms + start_ms,
        dirty=np.full(len(shown), ""),
    )
    log = block.log_frame(rng, made, draws).with_columns(
        pl.Series(WORTH, worth),
        pl.Series(WELL_SPENT_S, worth * play_time_ms / 1000),
    )
    ends_ms = asked.trails.start_ms.copy()
    np.maximum.at(ends_ms, shown.trail[stays], (start_ms + step_ms)[stays])
    return Watched(log=log.filter(pl.Series(stays)), ends_ms=ends_ms)


def _since_begin(step: Ints, trail: Ints) -> Ints:
    """[M] sum of the steps of a trail up to and with each impression."""
    total = np.cumsum(step)
    first = np.searchsorted(trail, trail)
    since: Ints = total - (total - step)[first]
    return since


def _later(left: Array, trail: Ints) -> Array:
    """[M] whether the user has left at an earlier impression of the trail."""
    number = np.cumsum(left) - left
    first = np.searchsorted(trail, trail)
    gone: Array = number > number[first]
    return gone
