"""Honest rankers to compare with: they know the truth, or nothing, and say which.

A ranker of a model is in `served`; it sees features alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pipeline.arrays import Array, Ints
from pipeline.experiment import viewers
from pipeline.experiment.retrieval import Candidates
from pipeline.simulator import behaviour, exposure, world


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One request each of Q users on a day.

    Attributes:
        made: The world.
        constants: Of behaviour in the feed.
        day: Of the world.
        trails: [Q] the trail that each request opens; `start_ms` is after the day's
            first midnight.
        candidates: [N] of all requests.
    """

    made: world.World
    constants: behaviour.Intercepts
    day: int
    trails: exposure.Trails
    candidates: Candidates

    @property
    def user(self) -> Ints:
        """[N] user of each candidate."""
        return self.trails.user[self.candidates.request]

    def take(self, keep: Array) -> Round:
        """The same with some of the candidates; `keep` is bool [N]."""
        return dataclasses.replace(self, candidates=self.candidates.take(keep))

    def shown(self, places: Ints, position: Ints) -> exposure.Impressions:
        """Candidates at places [M] as impressions at positions [M]."""
        found = self.candidates
        return exposure.Impressions(
            trail=found.request[places],
            position=position,
            video=found.video[places],
            match=found.match[places],
            is_random=np.zeros(len(places), bool),
        )


Score = Callable[[np.random.Generator, Round], Array]


def _oracle(rng: np.random.Generator, asked: Round) -> Array:
    """Expected seconds well spent, by the truth, at the start of a trail."""
    del rng
    places = np.arange(len(asked.candidates))
    shown = asked.shown(places, np.zeros_like(places))
    causes = asked.made.causes(asked.trails, shown)
    law = behaviour.play_law(causes, asked.constants)
    seconds = law.mean_capped(np.full(len(places), behaviour.PLAY_CAP_S))
    return seconds * _worth(asked)


def _antioracle(rng: np.random.Generator, asked: Round) -> Array:
    return -_oracle(rng, asked)


def _feed(rng: np.random.Generator, asked: Round) -> Array:
    """The simulator's own feed: of every few candidates, drawn by chance, the one that
    it takes for the best goes first, by match and quality seen through noise."""
    users, videos, found = asked.made.users, asked.made.videos, asked.candidates
    group = users.group[asked.user]
    seen = exposure.GROUP_MATCH[group] * found.match
    quality = exposure.GROUP_QUALITY[group] * videos.quality[found.video]
    seen += exposure.FEED_QUALITY * quality
    seen += rng.normal(0, exposure.FEED_NOISE, len(found))
    chance = rng.random(len(found))
    order = np.lexsort((chance, found.request))
    begins = np.searchsorted(found.request, found.request)
    heat = np.empty(
        len(found), np.int64
    )  # rivals, a number unlike others' of a request
    heat[order] = (np.arange(len(found)) - begins) // exposure.CANDIDATES
    best = np.lexsort((-seen, heat, found.request))
    wins = np.empty(len(found), bool)
    same = np.diff(heat[best], prepend=-1) == 0
    same &= np.diff(found.request[best], prepend=-1) == 0
    wins[best] = ~same
    return wins + chance


def _popular(rng: np.random.Generator, asked: Round) -> Array:
    """The videos that the world shows most, the same for everybody."""
    del rng
    weight = np.diff(asked.made.videos.weight_cdf)
    return weight[asked.candidates.video]


def _random(rng: np.random.Generator, asked: Round) -> Array:
    return rng.random(len(asked.candidates))


def _worth(asked: Round) -> Array:
    made, found = asked.made, asked.candidates
    return viewers.worth(made.users, made.videos, asked.user, found.video, found.match)


# Name -> scores [N] of a round's candidates; the higher the better.
REFERENCES: dict[str, Score] = {
    "oracle": _oracle,
    "feed": _feed,
    "popular": _popular,
    "random": _random,
    "antioracle": _antioracle,
}


def best_first(scores: Array, asked: Round) -> tuple[Ints, Ints]:
    """(places [M] of what is shown, each one's position [M]) by trail, then order.

    At most `trails.length` of a request's candidates; of equal scores the earlier one
    is first.
    """
    request = asked.candidates.request
    order = np.lexsort((-scores, request))
    begins = np.searchsorted(request, np.arange(len(asked.trails)))
    position = np.arange(len(order)) - begins[request[order]]
    kept = position < asked.trails.length[request[order]]
    return order[kept], position[kept]
