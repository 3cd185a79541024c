"""The weights that are best on some rows, under constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.fusion_search import evolution
from pipeline.fusion_search.candidates import VALUE, Candidates, Sums
from pipeline.fusion_search.constraints import Constraint
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.fusion_search.evolution import Trial

_Floats: TypeAlias = "npt.NDArray[np.float64]"
_DIGITS = (4, 6, 9)  # of the weights; fewer read better


def search(
    candidates: Candidates,
    start: _Floats,
    constraints: Sequence[Constraint] = (),
    *,
    default: _Floats | None = None,
    evaluations: int,
    seed: int = 0,
    keep_signs: bool = False,
    scale_free: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[_Floats, list[Trial]]:
    """The best weights [J], and all that were tried.

    Weights that keep no constraint are worse than any that keep all; the nearer, the
    better.

    Args:
        candidates: The rows.
        start: [J], where the search begins.
        constraints: On changes from the default.
        default: [J], the start if it is None.
        evaluations: How many weights are tried.
        seed: Of the draws.
        keep_signs: Whether no weight may pass 0.
        scale_free: Whether a multiple of all weights is the same order: then the sum of
            their sizes stays the default's.
        report: Is called with the number of trials so far.

    Raises:
        FusionSearchError: No weights that were tried keep the constraints, or a rate
            that one is on is 0.
    """
    before = start if default is None else default
    loss = _Loss(candidates, before, constraints, report)
    trials = evolution.minimise(
        loss,
        start,
        candidates.spread,
        evaluations=evaluations,
        seed=seed,
        keep_signs=keep_signs,
    )
    found = evolution.best(trials)
    if found.loss > 0:
        raise FusionSearchError(
            f"None of {len(trials):,} weights keeps "
            f"{', '.join(map(str, constraints))}. Allow more, search more weights "
            "(--tasks), or try more of them (--evaluations)."
        )
    if found is trials[0]:
        return start, trials
    weights = anchored(found.weights, start) if scale_free else found.weights
    return _shortest(weights, found.loss, loss), trials


def anchored(weights: _Floats, start: _Floats) -> _Floats:
    """The multiple of weights whose sizes add up to those of the default."""
    total = float(np.abs(weights).sum())
    return weights * (np.abs(start).sum() / total) if total else weights


class _Loss:
    """Less is better: -value in [-1, 0] if the constraints hold, else above 1."""

    def __init__(
        self,
        candidates: Candidates,
        default: _Floats,
        constraints: Sequence[Constraint],
        report: Callable[[int], None],
    ):
        self._candidates, self._constraints = candidates, constraints
        self._names = list(dict.fromkeys([VALUE, *(c.task for c in constraints)]))
        self._before = candidates.measure(default, self._names)
        self._report, self._done = report, 0
        if math.isnan(self._before[VALUE].ratio):
            raise FusionSearchError(
                "In no group of the searched rows do the gains differ, so no order is "
                "better than another. State another --utility, or more --days."
            )
        for name in self._names[1:]:
            if not self._before[name].ratio > 0:
                raise FusionSearchError(
                    f"--constraint: the searched rows have no {name!r} among the first "
                    f"{candidates.k}, so its rate cannot change by a share. Leave it "
                    "out, or search more --days."
                )

    def __call__(self, weights: _Floats) -> float:
        found = self._candidates.measure(weights, self._names)
        self._done += 1
        self._report(self._done)
        beyond = violation(self._constraints, found, self._before)
        return 1 + beyond if beyond else -found[VALUE].ratio


def violation(
    constraints: Sequence[Constraint],
    found: dict[str, Sums],
    before: dict[str, Sums],
) -> float:
    """By how much, all together, constraints are not kept."""
    return sum(
        c.violation(found[c.task].ratio / before[c.task].ratio - 1) for c in constraints
    )


def _shortest(weights: _Floats, most: float, loss: _Loss) -> _Floats:
    """With as few digits as lose nothing."""
    for digits in _DIGITS:
        rounded = np.array([float(f"{weight:.{digits}g}") for weight in weights])
        if loss(rounded) <= most:
            return rounded
    return weights
