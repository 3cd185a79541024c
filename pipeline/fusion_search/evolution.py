"""CMA-ES over weights (Hansen, 2016), by the library `cmaes`; restarted as IPOP is.

MFH III-A has an evolution strategy find the weights of its fused score. Coordinates are
standardised: a step of 1 in any of them moves the log score by the weight that one
standard deviation of its factor inside the groups has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Floats: TypeAlias = "npt.NDArray[np.float64]"

REACH = 4.0  # a weight's bound, in the largest standardised default


@dataclasses.dataclass(frozen=True)
class Trial:
    """Weights that were tried.

    Attributes:
        weights: [J].
        loss: What is made small.
    """

    weights: _Floats
    loss: float


def minimise(
    loss: Callable[[_Floats], float],
    start: _Floats,
    spread: _Floats,
    *,
    evaluations: int,
    seed: int,
    keep_signs: bool = False,
) -> list[Trial]:
    """All weights that were tried, the start first; the best one is wanted.

    Args:
        loss: Of weights [J].
        start: [J].
        spread: [J] of the factors; one of 0 cannot matter, and is told by 1.
        evaluations: How many trials, at least 1.
        seed: Of the draws; the same one gives the same trials.
        keep_signs: Whether no weight may pass 0.
    """
    from cmaes import CMA

    scale = np.where(spread > 0, spread, 1.0)
    origin = start * scale
    reach = REACH * (np.abs(origin).max() or 1.0)
    bounds = np.repeat([[-reach, reach]], len(start), axis=0)
    if keep_signs:
        bounds[origin > 0, 0], bounds[origin < 0, 1] = 0, 0
    draws = np.random.default_rng(seed)
    trials = [Trial(start, loss(start))]
    mean, size = origin, 4 + int(3 * np.log(len(start)))
    while len(trials) < evaluations:
        strategy = CMA(
            mean=mean,
            sigma=reach / (2 * REACH),
            bounds=bounds,
            seed=int(draws.integers(2**31)),
            population_size=size,
        )
        while len(trials) < evaluations and not strategy.should_stop():
            asked = [strategy.ask() for _ in range(size)]
            asked = asked[: evaluations - len(trials)]
            found = [Trial(x / scale, loss(x / scale)) for x in asked]
            trials += found
            if len(asked) == size:
                told = zip(asked, (trial.loss for trial in found), strict=True)
                strategy.tell(list(told))
        # Another start, twice as many at a time (Auger and Hansen, 2005).
        mean, size = draws.uniform(bounds[:, 0], bounds[:, 1]), 2 * size
    return trials


def best(trials: list[Trial]) -> Trial:
    """The first one of least loss: the start, where nothing is better."""
    return min(trials, key=lambda trial: trial.loss)
