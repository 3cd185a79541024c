"""What an experiment fixes before its first request: arms, days, users, streams.

Streams of random numbers are numbered by purpose, day, shard and round of requests, so
that what is drawn does not hang on who computes it, nor in which order.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Mapping

import numpy as np
import polars as pl

from pipeline.arrays import Array, Ints
from pipeline.examples.hashing import bucket_of, hash_columns
from pipeline.experiment.errors import ExperimentError
from pipeline.simulator import exposure, world

SHARD_USERS = 125  # about so many users of all arms are served together
MOST_CANDIDATES = 5_000
MOST_ARMS = 32


class Stream(enum.IntEnum):
    """Purposes of random numbers; the numbers are part of what a seed means."""

    PLAN = 100
    INTEREST = 101
    RETURN = 102
    RETRIEVE = 103
    RANK = 104
    WATCH = 105
    LEAVE = 106
    SPLIT = 107
    TABLES = 108


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One ranker of an experiment.

    Attributes:
        name: In tables.
        kind: One of `rankers.REFERENCES`, or `model`.
        model: Directory of the SavedModel, for `model`.
        run: Directory of the run that trained it; "" where none is named.
        weights: Task -> exponent of the fused score; tasks left out keep the model's.
    """

    name: str
    kind: str
    model: str = ""
    run: str = ""
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def is_model(self) -> bool:
        return self.kind == "model"

    def serves_as(self, other: Arm) -> bool:
        """Whether both give the same orders: an A/A comparison."""
        return dataclasses.replace(self, name=other.name) == other


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """An experiment.

    Attributes:
        arms: The control first.
        days: Days on which every arm serves its own users.
        pre_days: Days before them on which the control serves all.
        history_days: Days of logs before those, which only features see.
        settings: Of the world.
        seed: Of everything that the experiment draws.
        candidates: Most candidates of a request.
        rows_per_user_day: Impressions that the mean user has time for on a day.
        retrain: Whether models are trained each night on what their arm showed.
    """

    arms: tuple[Arm, ...]
    days: int
    pre_days: int
    history_days: int
    settings: world.Settings
    seed: int
    candidates: int
    rows_per_user_day: float
    retrain: bool = False

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("pre_days", 0), ("seed", 0)):
            self._demand(name, f"at least {least}", getattr(self, name) >= least)
        rule = f"1 to {MOST_CANDIDATES:,}"
        self._demand("candidates", rule, 1 <= self.candidates <= MOST_CANDIDATES)
        rule = f"above 0 and at most {world.MOST_ROWS_PER_USER_DAY}"
        holds = 0 < self.rows_per_user_day <= world.MOST_ROWS_PER_USER_DAY
        self._demand("rows_per_user_day", rule, holds)
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ExperimentError(
                f"Arms: each needs a name of its own. Got {', '.join(names)}. Write "
                "NAME=ARM."
            )
        if not 2 <= len(names) <= MOST_ARMS:
            raise ExperimentError(
                f"Arms: a control and 1 to {MOST_ARMS - 1} treatments. Got "
                f"{len(names)}."
            )

    def _demand(self, name: str, rule: str, holds: bool) -> None:
        if not holds:
            raise ExperimentError(
                f"--{name}: must be {rule}, got {getattr(self, name)}."
            )

    @property
    def played(self) -> int:
        """Days that are served: with and without treatments."""
        return self.pre_days + self.days

    @property
    def users(self) -> int:
        return self.settings.users

    def date(self, day: int) -> datetime.date:
        """Calendar day of a served day; 0 is the first of them."""
        offset = datetime.timedelta(days=self.history_days + day)
        return self.settings.start + offset

    def midnight_ms(self, day: int) -> int:
        """Unix milliseconds at which a served day begins."""
        days = self.history_days + day
        return self.settings.origin_ms + days * exposure.DAY_MS

    @functools.cached_property
    def shards(self) -> list[Array]:
        """User ids of each shard, ascending."""
        count = max(1, round(self.users / SHARD_USERS))
        return np.array_split(np.arange(self.users), count)

    def assign(self, users: Array) -> Ints:
        """The arm [U] of each user id: a hash of it with the seed, in equal parts."""
        hashed = hash_columns(
            [pl.Series(users.astype(np.int64))], self.seed * 1_000 + Stream.SPLIT
        )
        return bucket_of(hashed, len(self.arms))

    def serving(self, users: Array, day: int) -> Ints:
        """The arm [U] that serves each user on a day: the control before the start."""
        if day < self.pre_days:
            return np.zeros(len(users), np.int64)
        return self.assign(users)

    def random_generator(self, stream: Stream, *place: int) -> np.random.Generator:
        """The numbers of a purpose at a place: shard, or day, shard and round."""
        return np.random.default_rng([self.seed, int(stream), *place])
