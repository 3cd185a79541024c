"""Chooses the intercepts so that the simulated rates are KuaiRand's.

Play times have three constants and three published rates (valid play, long view,
complete play): a Levenberg-Marquardt search. Each interaction has one: bisection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pipeline.arrays import Array
from pipeline.simulator import behaviour, population

# Published rates, but for follow, comment and forward: only "around 1e-3 each" is
# known of these, and `is_like` is what "any positive interaction" leaves.
FEED_RATES = {
    "is_click": 0.379,
    "long_view": 0.318,
    "complete": 0.143,
    "any_positive": 0.0214,
    "is_follow": 0.0012,
    "is_comment": 0.0017,
    "is_forward": 0.0009,
    "is_profile_enter": 0.0190,
    "is_hate": 0.00079,
}
RANDOM_RATES = {
    "is_click": 0.176,
    "long_view": 0.085,
    "complete": 0.033,
    "any_positive": 0.0056,
    "is_follow": 0.0003,
    "is_comment": 0.0004,
    "is_forward": 0.00024,
    "is_profile_enter": 0.0056,
    "is_hate": 0.00114,
}
POSITIVE = ("is_like", "is_follow", "is_comment", "is_forward")
# Constants outside these bounds would describe no viewer: they appear only where a
# tiny sample cannot reach the published rates, and the nearest is then good enough.
PLAY_BOUNDS = np.array([[-6.0, 6.0], [0.7, 5.5], [-1.0, 2.0]])
START_DEPTHS = (2.9, 2.4, 2.0)
TOLERANCE = 1e-4  # of a log-odds
MAX_STEPS = 20
BISECTION_STEPS = 30


def calibrate(
    causes: behaviour.Utilities, rates: dict[str, float]
) -> behaviour.Intercepts:
    """Fits the constants of one kind of exposure on a sample of impressions."""
    constants = _fit_play(causes, rates)
    law = behaviour.play_law(causes, constants)
    is_click = behaviour.play_probabilities(law, causes.duration_ms)["is_click"]
    return dataclasses.replace(
        constants, interactions=_fit_interactions(causes, constants, is_click, rates)
    )


def _logit(rate: Array) -> Array:
    rate = np.clip(rate, 1e-9, 1 - 1e-9)
    logits: Array = np.log(rate / (1 - rate))
    return logits


def _play_constants(point: Array) -> behaviour.Intercepts:
    return behaviour.Intercepts(
        watch=float(point[0]),
        depth=float(point[1]),
        length_exponent=float(point[2]),
        interactions=np.zeros(len(population.INTERACTIONS)),
    )


def _fit_play(
    causes: behaviour.Utilities, rates: dict[str, float]
) -> behaviour.Intercepts:
    """The best of one search from each of START_DEPTHS: valleys are many."""
    plays = behaviour.plays_from_s(causes.duration_ms)
    target = _logit(np.array([rates[name] for name in plays]))

    def miss(point: Array) -> Array:
        law = behaviour.play_law(causes, _play_constants(point))
        shares = [law.survival(seconds).mean() for seconds in plays.values()]
        return _logit(np.array(shares)) - target

    best = np.zeros(3)
    best_miss = np.inf
    for depth in START_DEPTHS:
        point = _search(miss, np.array([-1.2, depth, 0.3]))
        if (now := np.abs(miss(point)).max()) < best_miss:
            best, best_miss = point, now
        if best_miss < TOLERANCE:
            break
    return _play_constants(best)


def _search(miss: Callable[[Array], Array], point: Array) -> Array:
    """Levenberg-Marquardt for miss(point) = 0 [3] within PLAY_BOUNDS."""
    now, damping, moved = miss(point), 1e-3, True
    for _ in range(MAX_STEPS):
        if np.abs(now).max() < TOLERANCE:
            break
        if moved:  # else the slope is the one before
            ahead = [miss(point + h) - now for h in 1e-4 * np.eye(3)]
            slope = np.stack(ahead).T / 1e-4
        normal = slope.T @ slope + damping * np.eye(3)
        step = np.linalg.solve(normal, slope.T @ now)
        trial = np.clip(point - step, *PLAY_BOUNDS.T)
        then = miss(trial)
        moved = bool(then @ then < now @ now)
        if moved:
            point, now, damping = trial, then, damping / 5
        else:
            damping *= 5
    return point


def _fit_interactions(
    causes: behaviour.Utilities,
    constants: behaviour.Intercepts,
    is_click: Array,
    rates: dict[str, float],
) -> Array:
    """[interactions]: a bisection each; `is_like` last, from what is left to it."""
    even = behaviour.interaction_given_play(causes, constants)  # at zero log-odds
    columns = np.log(even / (1 - even)).T
    logits = dict(zip(population.INTERACTIONS, columns, strict=True))
    always = np.ones_like(is_click)
    fitted: dict[str, float] = {}
    others_absent = always
    for name in population.INTERACTIONS[1:]:
        reached = always if name == "is_hate" else is_click
        fitted[name] = _bisect(logits[name], reached, rates[name])
        if name in POSITIVE:
            others_absent = others_absent * behaviour.sigmoid(
                -logits[name] - fitted[name]
            )
    left = rates["any_positive"] - float((is_click * (1 - others_absent)).mean())
    fitted["is_like"] = _bisect(logits["is_like"], is_click * others_absent, left)
    return np.array([fitted[name] for name in population.INTERACTIONS])


def _bisect(logits: Array, reached: Array, target: float) -> float:
    """The c at which the mean of reached * sigmoid(logits + c) is `target`."""
    low, high = -25.0, 10.0
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        if (reached * behaviour.sigmoid(logits + middle)).mean() < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
