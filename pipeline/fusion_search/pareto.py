"""What two or three tasks' rates can come to together.

The front are the weights tried for which no others tried are better in one rate and no
worse in the rest. They are searched for by weighted sums of the rates (each relative to
the default's), an evolution for each of some shares of the tasks.

The knee is the point of the front that lies farthest from the line (plane) through the
best of each task, with every rate scaled to 0..1 over the front: there a little more of
one begins to cost much of another (Das, 1999).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.fusion_search import evolution
from pipeline.fusion_search.candidates import Candidates
from pipeline.fusion_search.errors import FusionSearchError

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_STEPS = {2: 4, 3: 2}  # tasks -> steps of a share from 0 to 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Front:
    """Rates that weights came to on the searched rows.

    Attributes:
        tasks: T names.
        directions: [T] 1 where more is better, -1 where less is.
        weights: [P, J] all that were tried; the first are the default's.
        rates: [P, T].
    """

    tasks: tuple[str, ...]
    directions: _Floats
    weights: _Floats
    rates: _Floats

    @property
    def members(self) -> npt.NDArray[np.int64]:
        """Places of the front, each point once, by the first task's rate."""
        places = np.flatnonzero(undominated(self.rates * self.directions))
        first = np.unique(self.rates[places], axis=0, return_index=True)[1]
        return places[first]

    @property
    def knee(self) -> int:
        """The place of the knee."""
        members = self.members
        return int(members[knee_of(self.rates[members] * self.directions)])


def search_front(
    candidates: Candidates,
    start: _Floats,
    tasks: Sequence[str],
    directions: Sequence[int],
    *,
    evaluations: int,
    seed: int = 0,
    keep_signs: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Front:
    """Tries weights for every share of the tasks; see `search.search`.

    Raises:
        FusionSearchError: A task's rate is 0.
    """
    measured: list[tuple[_Floats, list[float]]] = []

    def rates(weights: _Floats) -> _Floats:
        found = candidates.measure(weights, tasks)
        measured.append((weights, [found[name].ratio for name in tasks]))
        report(len(measured))
        return np.array(measured[-1][1])

    before = rates(start)
    if bad := [n for n, rate in zip(tasks, before, strict=True) if not rate > 0]:
        raise FusionSearchError(
            f"--pareto: the searched rows have no {', '.join(bad)} among the first "
            f"{candidates.k}. Name other tasks, or search more --days."
        )
    every = shares(len(tasks))
    for place, share in enumerate(every):
        aim = share * np.asarray(directions) / before

        def loss(weights: _Floats, aim: _Floats = aim) -> float:
            return -float(aim @ rates(weights))

        evolution.minimise(
            loss,
            start,
            candidates.spread,
            evaluations=max(2, evaluations // len(every)),
            seed=seed + place,
            keep_signs=keep_signs,
        )
    return Front(
        tasks=tuple(tasks),
        directions=np.asarray(directions, np.float64),
        weights=np.array([weights for weights, _ in measured]),
        rates=np.array([found for _, found in measured]),
    )


def shares(tasks: int) -> list[_Floats]:
    """Shares of 2 or 3 tasks that add up to 1, evenly spread."""
    steps = _STEPS[tasks]
    every = itertools.product(range(steps + 1), repeat=tasks)
    return [np.array(one) / steps for one in every if sum(one) == steps]


def undominated(values: _Floats) -> npt.NDArray[np.bool_]:
    """[P] whether no other point [P, T] is better in one and no worse in the rest."""
    found = np.ones(len(values), bool)
    for place, value in enumerate(values):
        no_worse = (values >= value).all(axis=1)
        found[place] = not (no_worse & (values > value).any(axis=1)).any()
    return found


def knee_of(values: _Floats) -> int:
    """The place of the knee among the points of a front [P, T]; more is better."""
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    return int(np.argmax(scaled.sum(axis=1)))
