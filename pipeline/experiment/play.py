"""One day of one shard: who comes, what each is shown, what is watched, what is left.

A pure function of what the day before left: whoever computes it, in whatever order, it
is the same.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from feature_specs import Spec
from pipeline.arrays import Array, Bools, Ints
from pipeline.experiment import knowledge, rankers, viewers
from pipeline.experiment.design import Design, Stream
from pipeline.experiment.knowledge import Knowledge, Known, Sums
from pipeline.experiment.measures import MEAN_WORTH, Measures
from pipeline.experiment.nights import model_of
from pipeline.experiment.rankers import Round, best_first
from pipeline.experiment.retrieval import Catalogue, retrieve
from pipeline.experiment.watching import TRUTH, watch
from pipeline.quiet import quiet_imports
from pipeline.simulator import behaviour, exposure, features, world
from pipeline.simulator.block import LOG_COLUMNS

if TYPE_CHECKING:
    from pipeline.experiment.served import ModelRanker


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """What a day leaves of the M users of a shard.

    Attributes:
        content: [M] see `viewers`.
        free_ms: [M] when each one's last trail ended, ms after the first served
            midnight.
        seen: Sorted keys `user * videos + video` of what each was shown.
        known: For features; None where no arm reads any.
    """

    content: Array
    free_ms: Ints
    seen: Ints
    known: Known | None

    @classmethod
    def at_first(cls, users: int, known: Known | None) -> State:
        return cls(
            content=np.full(users, viewers.CONTENT_AT_FIRST),
            free_ms=np.full(users, -exposure.DAY_MS),
            seen=np.zeros(0, np.int64),
            known=known,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardDay:
    """One day of one shard.

    Attributes:
        log: Lines with `video` and `watching.TRUTH`, by user and time.
        users: `Measures.of_day`.
        state: For the next day.
        sums: What the day adds to the sums of keys.
    """

    log: pl.DataFrame
    users: pl.DataFrame
    state: State
    sums: Sums


@dataclasses.dataclass(frozen=True)
class Player:
    """Everything that serving a day needs and no day changes.

    Attributes:
        design: Of the experiment.
        spec: Whose tasks are measured, and which models read.
        constants: Of behaviour in the feed.
        out: Directory of the experiment, which has retrained models.
    """

    design: Design
    spec: Spec
    constants: behaviour.Intercepts
    out: pathlib.Path
    _loaded: dict[int, tuple[str, ModelRanker]] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )

    @functools.cached_property
    def made(self) -> world.World:
        return world.create_world(self.design.settings)

    @functools.cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The side files that the simulator writes, but for the one that leaks."""
        made = self.made
        rng = made.settings.random_generator(world.TABLES)
        # In the order in which `simulate` draws them: with its logs, these are its own.
        users = features.user_features(rng, made.users)
        videos = features.video_features_basic(rng, made.videos, made.settings.start)
        return {"user_features": users, "video_features_basic": videos}

    @functools.cached_property
    def measures(self) -> Measures:
        return Measures.of(self.spec)

    @property
    def needs_features(self) -> bool:
        return any(arm.is_model for arm in self.design.arms)

    def history(self, shard: int, log: pl.DataFrame) -> tuple[Known | None, Sums]:
        """What the logs before the first served day tell of a shard's users."""
        if not self.needs_features:
            return None, {}
        day = self.design.date(-1)
        members = self.design.shards[shard]
        own = log.filter(pl.col("user_id").is_between(members[0], members[-1]))
        return self._knowledge(0, {}).end_of_day(Known(), own, day)

    def serve(self, day: int, shard: int, before: State, sums: Sums) -> ShardDay:
        """A served day of a shard.

        Args:
            day: 0 is the first one.
            shard: Its number.
            before: What the day before left.
            sums: Of all users' keys, up to the day before.
        """
        users = self.design.shards[shard]
        session = _Session(self, day, shard, before, self._knowledge(day, sums))
        for number, trails in enumerate(session.rounds(self._plan(shard))):
            session.answer(number, trails)
        log = session.log()
        rows = session.knowledge.rows_of(log)
        measured = self.measures.of_day(users, log, rows)
        known, added = before.known, dict[str, pl.DataFrame]()
        if known is not None:
            known, added = session.knowledge.end_of_day(
                known, log, self.design.date(day)
            )
        videos = len(self.made.videos)
        shown = log["user_id"].to_numpy() * videos + log["video"].to_numpy()
        state = State(
            content=viewers.next_content(
                before.content, measured[MEAN_WORTH].to_numpy()
            ),
            free_ms=session.free_ms,
            seen=np.unique(np.concatenate([before.seen, shown])),
            known=known,
        )
        return ShardDay(log=log, users=measured, state=state, sums=added)

    def _knowledge(self, day: int, sums: Sums) -> Knowledge:
        return Knowledge(self.spec, self._sides, self.design.date(day), sums)

    @functools.cached_property
    def _sides(self) -> dict[str, pl.DataFrame]:
        if not self.needs_features:
            return {}
        return knowledge.side_rows(self.spec, self.tables)

    @functools.cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.of(self.made.videos, self.design.settings.days)

    def ranker(self, number: int, day: int) -> ModelRanker:
        """The model that serves an arm on a day; loaded once."""
        with quiet_imports():
            from pipeline.experiment.served import ModelRanker
        arm = self.design.arms[number]
        if self.design.retrain:
            arm = dataclasses.replace(arm, model=model_of(self.out, arm, day))
        if number not in self._loaded or self._loaded[number][0] != arm.model:
            self._loaded[number] = arm.model, ModelRanker(arm, self.spec)
        return self._loaded[number][1]

    def let_go(self) -> None:
        """Frees the models: a session must not outlive TensorFlow."""
        self._loaded.clear()

    def _plan(self, shard: int) -> exposure.Trails:
        """The trails that users have time for, on all served days."""
        design, made = self.design, self.made
        first = design.history_days
        return exposure.plan_trails(
            design.random_generator(Stream.PLAN, shard),
            made.users,
            design.shards[shard],
            rows_per_user_day=design.rows_per_user_day,
            factors=made.day_factors[first : first + design.played],
        )

    def interests(self, shard: int, day: int) -> Array:
        """[M, TOPICS] of a shard's users on a served day."""
        design = self.design
        rng = design.random_generator(Stream.INTEREST, shard)
        constant = self.made.users.interest[design.shards[shard]]
        return exposure.draw_interests(rng, constant, design.played)[:, day]


class _Session:
    """A day of a shard, round after round: the n-th trail of each user of the day."""

    def __init__(
        self, player: Player, day: int, shard: int, before: State, seen_by: Knowledge
    ):
        self._player, self._design, self._made = player, player.design, player.made
        self._day, self._shard, self._before = day, shard, before
        self._members = self._design.shards[shard]
        self._interests = player.interests(shard, day)
        self._arms = self._design.serving(self._members, day)
        self._seen = before.seen
        self._logs: list[pl.DataFrame] = []
        self.knowledge = seen_by
        self.free_ms = before.free_ms.copy()

    def _random(self, stream: Stream, *place: int) -> np.random.Generator:
        return self._design.random_generator(stream, self._day, self._shard, *place)

    def rounds(self, plan: exposure.Trails) -> Iterator[exposure.Trails]:
        """The trails of a round; each user has one at most, by user."""
        opened = viewers.returns(self._random(Stream.RETURN), self._before.content)
        place = np.searchsorted(self._members, plan.user)
        today = plan.take((plan.day == self._day) & opened[place])
        number = np.arange(len(today)) - np.searchsorted(today.user, today.user)
        for count in range(int(number.max(initial=-1)) + 1):
            yield today.take(number == count)

    def answer(self, number: int, planned: exposure.Trails) -> None:
        """Retrieves, ranks, shows; what is watched goes to the log."""
        place = np.searchsorted(self._members, planned.user)
        begun_ms = self._day * exposure.DAY_MS
        free_ms = self.free_ms[place] + planned.gap_ms - begun_ms
        start_ms = np.maximum(np.maximum(planned.start_ms - begun_ms, free_ms), 0)
        in_time = start_ms < exposure.DAY_MS
        world_day = self._design.history_days + self._day
        trails = dataclasses.replace(
            planned, start_ms=start_ms, day=np.full(len(planned), world_day)
        ).take(in_time)
        place = place[in_time]
        if not len(trails):
            return
        candidates = retrieve(
            self._random(Stream.RETRIEVE, number),
            self._player.catalogue,
            self._made.users,
            trails.user,
            self._interests[place],
            world_day,
            self._design.candidates,
            self._seen,
        )
        asked = Round(
            made=self._made,
            constants=self._player.constants,
            day=world_day,
            trails=trails,
            candidates=candidates,
        )
        scores = self._scores(number, asked, self._arms[place])
        shown, position = best_first(scores, asked)
        streams = (
            self._random(Stream.WATCH, number),
            self._random(Stream.LEAVE, number),
        )
        midnight_ms = self._design.midnight_ms(self._day)
        found = watch(asked, shown, position, midnight_ms, streams)
        self.free_ms[place] = begun_ms + found.ends_ms
        self._logs.append(found.log)
        videos = len(self._made.videos)
        keys = found.log["user_id"].to_numpy() * videos + found.log["video"].to_numpy()
        self._seen = np.union1d(self._seen, keys)

    def _scores(self, number: int, asked: Round, arm_of: Ints) -> Array:
        """[N] of all candidates, each by the arm that serves its user."""
        scores = np.empty(len(asked.candidates))
        arm = arm_of[asked.candidates.request]
        arms = self._design.arms
        is_model = np.array([one.is_model for one in arms])[arm]
        if is_model.any():
            scores[is_model] = self._model_scores(asked, arm, is_model)
        for which in np.unique(arm[~is_model]):
            mine = arm == which
            rng = self._random(Stream.RANK, number, int(which))
            score = rankers.REFERENCES[arms[which].kind]
            scores[mine] = score(rng, asked.take(mine))
        return scores

    def _model_scores(self, asked: Round, arm: Ints, mine: Bools) -> Array:
        """[M] of the candidates that are `mine` [N], all of model arms."""
        part, arm = asked.take(mine), arm[mine]
        found, videos = part.candidates, self._made.videos
        order = np.lexsort((videos.video_id[found.video], found.request))
        found = found.take(order)
        trails, known = asked.trails, self._before.known
        assert known is not None  # there are models
        lines = knowledge.candidate_lines(
            user=trails.user[found.request],
            video_id=videos.video_id[found.video],
            time_ms=self._design.midnight_ms(self._day)
            + trails.start_ms[found.request],
            duration_ms=videos.duration_ms[found.video],
            tab=trails.tab[found.request],
        )
        today = self.knowledge.rows_of(self.log()) if self._logs else None
        values = self.knowledge.features(known, today, lines)
        scores = np.empty(len(found))
        for which in np.unique(arm[order]):
            of_arm = arm[order] == which
            model = self._player.ranker(int(which), self._day)
            scores[of_arm] = model.scores(
                values.filter(pl.Series(of_arm)), found.request[of_arm]
            )
        back = np.empty_like(scores)
        back[order] = scores
        return back

    def log(self) -> pl.DataFrame:
        """All lines of the day so far, by user and time."""
        if not self._logs:
            return _no_lines()
        return pl.concat(self._logs).sort("user_id", "time_ms")


def _no_lines() -> pl.DataFrame:
    whole = dict.fromkeys((*LOG_COLUMNS, "video"), pl.Int64)
    return pl.DataFrame(schema={**whole, **dict.fromkeys(TRUTH, pl.Float64)})
