"""One block of users: from planned trails to log lines and their truth."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from pipeline.arrays import Array
from pipeline.simulator import behaviour, exposure, population, world

LOG_COLUMNS = (
    "user_id",
    "video_id",
    "date",
    "hourmin",
    "time_ms",
    "is_click",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "long_view",
    "play_time_ms",
    "duration_ms",
    "profile_stay_time",
    "comment_stay_time",
    "is_profile_enter",
    "is_rand",
    "tab",
)
KEY = ("user_id", "video_id", "time_ms")
TRAILS_PER_USER = 1_000_000  # trail_id = user_id * this + number of the trail
DIRTY_KINDS = ("duplicate", "play_time", "duration")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
    """What chance decided about N impressions, in the order of user and time.

    Attributes:
        constants: Those of each impression's kind of exposure.
        play_time_ms: [N] absurd values included.
        time_ms: [N] unix milliseconds of the start.
        dirty: [N] one of DIRTY_KINDS, or "".
    """

    trails: exposure.Trails
    shown: exposure.Impressions
    causes: behaviour.Utilities
    constants: behaviour.Intercepts
    play_time_ms: Array
    time_ms: Array
    dirty: Array

    @property
    def user(self) -> Array:
        """[N] user_id."""
        return self.trails.user[self.shown.trail]


def simulate_block(
    made: world.World, block: int, members: Array, kinds: world.Constants
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One block of users -> (log lines of both slices, truth of the same rows).

    Both are sorted by user, then time; the truth has one row for a duplicated line.
    The log carries the extra column `video`, the row in Videos.
    """
    rng = made.settings.random_generator(world.PLAY, block)
    draws = _draw(rng, made, block, members, kinds)
    log, truth = log_frame(rng, made, draws), _truth_frame(made, draws)
    # What starts after the last midnight is not in the log.
    end_ms = made.settings.origin_ms + made.settings.days * exposure.DAY_MS
    kept = np.flatnonzero(draws.time_ms < end_ms)
    copies = 1 + (draws.dirty[kept] == "duplicate")
    return log[np.repeat(kept, copies)], truth[kept]


def _draw(
    rng: np.random.Generator,
    made: world.World,
    block: int,
    members: Array,
    kinds: world.Constants,
) -> Draws:
    share = made.settings.dirty_share / len(DIRTY_KINDS)
    trails = made.plan(block, members)
    shown = made.show(block, trails, made.settings.random_share)
    causes = made.causes(trails, shown)
    constants = behaviour.Intercepts.mixed(kinds.feed, kinds.random, shown.is_random)
    play_time_ms = behaviour.play_law(causes, constants).sample_ms(rng)
    start_ms = exposure.schedule(rng, trails, shown, play_time_ms)
    # Absurd play times come after the clock: they are errors of the log, not of life.
    accident = rng.random(len(shown))  # one draw: no row has both kinds of it
    absurd, duplicate = accident < share, accident > 1 - share
    play_time_ms[absurd] = _absurd_times_ms(rng, int(absurd.sum()))
    broken_video = made.videos.dirty_duration[shown.video]
    return Draws(
        trails=trails,
        shown=shown,
        causes=causes,
        constants=constants,
        play_time_ms=play_time_ms,
        time_ms=made.settings.origin_ms + start_ms,
        dirty=np.select([duplicate, absurd, broken_video], DIRTY_KINDS, default=""),
    )


def _absurd_times_ms(rng: np.random.Generator, count: int) -> Array:
    """[count] play times of 2 to 200 hours."""
    hours = np.exp(rng.uniform(np.log(2), np.log(200), count))
    times_ms: Array = (hours * 3_600_000).astype(np.int64)
    return times_ms


def log_frame(
    rng: np.random.Generator, made: world.World, draws: Draws
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user_id": draws.user,
            "video_id": made.videos.video_id[draws.shown.video],
            "time_ms": draws.time_ms,
            "play_time_ms": draws.play_time_ms,
            "duration_ms": draws.causes.duration_ms,
            "is_rand": draws.shown.is_random.astype(np.int64),
            "tab": draws.trails.tab[draws.shown.trail],
            "video": draws.shown.video,
            **clock_columns(draws.time_ms),
            **_label_columns(rng, draws),
        }
    ).select(*LOG_COLUMNS, "video")


def clock_columns(time_ms: Array) -> dict[str, pl.Series]:
    """China's date and time of day; `time_ms` counts from 1970 in UTC."""
    clock = pl.from_epoch(pl.Series(time_ms), "ms") + datetime.timedelta(hours=8)
    return {
        "date": clock.dt.strftime("%Y%m%d").cast(pl.Int64),
        "hourmin": clock.dt.hour().cast(pl.Int64) * 100 + clock.dt.minute(),
    }


def _label_columns(rng: np.random.Generator, draws: Draws) -> dict[str, Array]:
    """Labels [N] of every signal, and the times on pages, given the play times."""
    labels = behaviour.play_labels(draws.play_time_ms, draws.causes.duration_ms)
    coins = behaviour.interaction_given_play(draws.causes, draws.constants)
    labels |= behaviour.sample_interactions(rng, coins, labels["is_click"])
    reads = rng.random(len(coins)) < 0.03 * labels["is_click"]
    labels["profile_stay_time"] = _stay_time_ms(rng, labels["is_profile_enter"] == 1)
    labels["comment_stay_time"] = _stay_time_ms(
        rng, reads | (labels["is_comment"] == 1)
    )
    return labels


def _stay_time_ms(rng: np.random.Generator, opened: Array) -> Array:
    """[N] time on a page, at least 1 ms where `opened`, else 0."""
    stay = 1 + np.exp(rng.normal(np.log(8_000), 1.0, len(opened)))
    return np.where(opened, stay, 0).astype(np.int64)


def _truth_frame(made: world.World, draws: Draws) -> pl.DataFrame:
    number = draws.trails.number[draws.shown.trail]
    return pl.DataFrame(
        {
            "user_id": draws.user,
            "video_id": made.videos.video_id[draws.shown.video],
            "time_ms": draws.time_ms,
            "is_rand": draws.shown.is_random.astype(np.int64),
            "trail_id": draws.user * TRAILS_PER_USER + number,
            "trail_position": draws.shown.position,
            "user_group": np.array(population.GROUPS)[made.users.group[draws.user]],
            "dirty": draws.dirty,
            **_probability_columns(draws),
        }
    )


def _probability_columns(draws: Draws) -> dict[str, Array]:
    """p_<signal> with the trail effect, u_<signal> without; [N] float32."""
    both = {"p": draws.causes, "u": draws.causes.without_trail()}
    return {
        f"{prefix}_{name}": column.astype(np.float32)
        for prefix, causes in both.items()
        for name, column in behaviour.probabilities(causes, draws.constants).items()
    }
