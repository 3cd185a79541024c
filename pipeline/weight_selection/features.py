"""The features of G: f(t_new), f(T_exist), w and their crosses (SFV sec. 5.3).

T_exist differs from task to task that plays the new one, so what is known of its tasks
comes as means over them, and the new one's as a share of that: a mean by itself would
tell which task has been left out of it, which no task does that is really new. The
gradients are those of a training with weight 1: f tells of the tasks, and only w and
the crosses of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST = 1e-12  # below which a norm or a mean is as good as 0

WEIGHT = "log weight"
_OTHERS = "mean log weight of others"


def task_features(
    new: str,
    others: Sequence[str],
    tasks: Sequence[str],
    layers: Sequence[Mapping[str, Any]],
    means: Mapping[str, float],
    weights: Mapping[str, float],
) -> dict[str, float]:
    """f(t_new) and f(T_exist): name -> value.

    At each layer the log of the norm of the new task's gradient, the same less the log
    of the others' mean norm, the mean of their cosines with the new one's and the
    smallest of them; then the log of the label mean, the same less the mean of the
    others' logs, and the mean of the logs of their weights.

    Args:
        new: The new task, or the one that plays it.
        others: T_exist.
        tasks: T names, the order of `layers`.
        layers: Each with a `name`, `norms` [T] and `cosines` [T, T], where None stands
            for a task without a gradient: see `trials.Result`.
        means: Binary task -> label mean.
        weights: Task -> weight of its loss.
    """
    place = list(tasks).index(new)
    rest = [list(tasks).index(name) for name in others]
    found: dict[str, float] = {}
    for layer in layers:
        norms, cosines = layer["norms"], layer["cosines"][place]
        known = [cosines[other] for other in rest if cosines[other] is not None] or [
            0.0
        ]
        name = layer["name"]
        own = found[f"log norm, {name}"] = _log(norms[place])
        theirs = _log(_mean([norms[i] for i in rest]))
        found[f"log norm over others', {name}"] = own - theirs
        found[f"mean cosine, {name}"] = _mean(known)
        found[f"least cosine, {name}"] = min(known)
    own = found["log label mean"] = _log(means[new])
    chances = [_log(means[name]) for name in others if name in means]
    found["log label mean over others'"] = own - _mean(chances)
    found[_OTHERS] = _mean([_log(weights[name]) for name in others])
    return found


def with_weight(
    own: Mapping[str, float], weight: float
) -> tuple[list[str], npt.NDArray[Any]]:
    """Names and values of all features: f, the weight, and its product with each of f.

    The weights of the others are told by how much the new one's is above them.

    Args:
        own: What `task_features` gave.
        weight: w.
    """
    log_weight = math.log(weight)
    tasks = {name: value for name, value in own.items() if name != _OTHERS}
    found = {
        **tasks,
        WEIGHT: log_weight,
        f"{WEIGHT} over others'": log_weight - own[_OTHERS],
        **{f"{WEIGHT} x {name}": log_weight * value for name, value in tasks.items()},
    }
    return list(found), np.array(list(found.values()))


def _log(value: float | None) -> float:
    return math.log(max(value or 0.0, _LEAST))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
