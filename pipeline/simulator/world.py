"""Everything that a simulation fixes before the first impression.

The settings, the users and videos, the days, and the calibrated constants. Streams of
random numbers are numbered by purpose and block, so that a block draws the same
whatever was drawn before it.
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np

from pipeline.arrays import Array
from pipeline.simulator import behaviour, calibration, exposure, population
from pipeline.simulator.errors import SimulationError

CHINA = datetime.timezone(datetime.timedelta(hours=8))
ROWS_PER_VIDEO = 14  # 27K has 10, and the published skew needs the larger number
FEWEST_VIDEOS = 160  # ten a topic
MOST_ROWS_PER_USER_DAY = 2_000  # the most that a day of 24 hours has room for
ROWS_PER_POOL_VIDEO = 50  # a Poisson spread of this mean has the published Gini, 0.08
BLOCK_ROWS = 250_000  # rows in memory at a time
CALIBRATION_ROWS = 250_000
DAY_EFFECT_STD = 0.03  # the day's valid play rate moves between 0.367 and 0.402
WEEKEND_EFFECT = 0.05
MOST_TRAIL_EFFECT = 5.0
WORLD, PLAN, SHOW, PLAY, THIN, TABLES = range(6)  # streams of random numbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `simulate`, checked."""

    users: int
    days: int
    seed: int
    start: datetime.date
    rows_per_user_day: float
    videos: int | None
    random_share: float
    dirty_share: float
    trail_effect: float

    def __post_init__(self) -> None:
        for name, least in (("users", 1), ("days", 1), ("seed", 0)):
            self._demand(name, f"at least {least}", getattr(self, name) >= least)
        if self.videos is not None:
            rule = f"at least {FEWEST_VIDEOS}"
            self._demand("videos", rule, self.videos >= FEWEST_VIDEOS)
        rate = self.rows_per_user_day
        rule = f"above 0 and at most {MOST_ROWS_PER_USER_DAY}"
        self._demand("rows_per_user_day", rule, 0 < rate <= MOST_ROWS_PER_USER_DAY)
        for name, most in (("random_share", 1.0), ("dirty_share", 0.1)):
            value = getattr(self, name)
            self._demand(name, f"between 0 and {most}", 0 <= value <= most)
        rule = f"between 0 and {MOST_TRAIL_EFFECT:g}"
        holds = 0 <= self.trail_effect <= MOST_TRAIL_EFFECT
        self._demand("trail_effect", rule, holds)

    def _demand(self, name: str, rule: str, holds: bool) -> None:
        if not holds:
            raise SimulationError(
                f"simulate: {name} must be {rule}, got {getattr(self, name)}. "
                f"Change --{name}."
            )

    @property
    def rows(self) -> float:
        """Expected rows."""
        return self.users * self.days * self.rows_per_user_day

    @property
    def video_count(self) -> int:
        """Videos, given or in proportion to the expected rows."""
        if self.videos is not None:
            return self.videos
        return max(FEWEST_VIDEOS, round(self.rows / ROWS_PER_VIDEO))

    @property
    def last_day(self) -> datetime.date:
        return self.start + datetime.timedelta(days=self.days - 1)

    @property
    def origin_ms(self) -> int:
        """Unix milliseconds of the first midnight."""
        midnight = datetime.datetime.combine(self.start, datetime.time(), CHINA)
        return int(midnight.timestamp()) * 1000

    def blocks(self) -> list[Array]:
        """User ids, split so that a block has about BLOCK_ROWS rows."""
        count = min(self.users, max(1, round(self.rows / BLOCK_ROWS)))
        return np.array_split(np.arange(self.users), count)

    def random_generator(self, stream: int, block: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, block])


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """Everything that does not depend on single impressions.

    Attributes:
        day_factors: [days] traffic of each day relative to a weekday.
        day_effect: [days] log-odds to watch on each day.
    """

    settings: Settings
    users: population.Users
    videos: population.Videos
    day_factors: Array
    day_effect: Array

    def plan(self, block: int, members: Array) -> exposure.Trails:
        return exposure.plan_trails(
            self.settings.random_generator(PLAN, block),
            self.users,
            members,
            rows_per_user_day=self.settings.rows_per_user_day,
            factors=self.day_factors,
        )

    def show(
        self, block: int, trails: exposure.Trails, random_share: float
    ) -> exposure.Impressions:
        return exposure.show(
            self.settings.random_generator(SHOW, block),
            self.users,
            self.videos,
            trails,
            days=self.settings.days,
            random_share=random_share,
        )

    def causes(
        self, trails: exposure.Trails, shown: exposure.Impressions
    ) -> behaviour.Utilities:
        causes = behaviour.utilities(
            self.users, self.videos, trails, shown, self.day_effect
        )
        # All effects are linear in it.
        trail = self.settings.trail_effect * causes.trail
        return dataclasses.replace(causes, trail=trail)


def create_world(settings: Settings) -> World:
    rng = settings.random_generator(WORLD)
    factors = exposure.day_factors(settings.start, settings.days)
    day_effect = rng.normal(0, DAY_EFFECT_STD, settings.days)
    pool = max(10, round(settings.rows * settings.random_share / ROWS_PER_POOL_VIDEO))
    return World(
        settings=settings,
        users=population.draw_users(rng, settings.users),
        videos=population.draw_videos(
            rng,
            settings.video_count,
            days=settings.days,
            pool=pool,
            dirty_share=settings.dirty_share / 3,
        ),
        day_factors=factors,
        day_effect=day_effect + WEEKEND_EFFECT * (factors > 1),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constants:
    """Calibrated constants of both kinds of exposure."""

    feed: behaviour.Intercepts
    random: behaviour.Intercepts


def calibrate(world: World) -> Constants:
    """Constants of feed and random slice, on a sample of trails of all users.

    Both samples are these trails, once filled by the feed alone, once at random. Up to
    CALIBRATION_ROWS the sample is every trail that `simulate` will write.
    """
    settings = world.settings
    keep = min(1.0, CALIBRATION_ROWS / settings.rows)
    samples: tuple[list[behaviour.Utilities], list[behaviour.Utilities]] = ([], [])
    for block, members in enumerate(settings.blocks()):
        trails = world.plan(block, members)
        thin = settings.random_generator(THIN, block)
        trails = trails.take(thin.random(len(trails)) < keep)
        for share, sample in zip((0.0, 1.0), samples, strict=True):
            if len(trails):
                shown = world.show(block, trails, share)
                sample.append(world.causes(trails, shown))
    if not samples[0]:
        raise SimulationError(
            f"simulate: {settings.rows:.3g} expected rows gave no impression at all. "
            "Raise --users, --days or --rows_per_user_day."
        )
    feed, random = (behaviour.Utilities.concatenate(sample) for sample in samples)
    return Constants(
        feed=calibration.calibrate(feed, calibration.FEED_RATES),
        random=calibration.calibrate(random, calibration.RANDOM_RATES),
    )
