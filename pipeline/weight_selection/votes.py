"""From what the runs of G predict to one weight: the majority's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def votes_of(predicted: npt.NDArray[Any], weights: Sequence[float]) -> list[float]:
    """The weight with the largest prediction, a run; of equal ones the smallest.

    Args:
        predicted: [runs, W].
        weights: W of them, from the smallest.
    """
    return [weights[place] for place in np.argmax(predicted, axis=1)]


def majority(
    votes: Sequence[float], predicted: npt.NDArray[Any], weights: Sequence[float]
) -> float:
    """The weight with the most votes.

    Of several with as many, the one that the runs predict the largest mean for; if that
    is equal too, the smallest.

    Args:
        votes: One a run.
        predicted: [runs, W].
        weights: W of them, from the smallest.
    """
    means = dict(zip(weights, predicted.mean(axis=0), strict=True))
    most = max(votes.count(weight) for weight in set(votes))
    tied = [weight for weight in weights if votes.count(weight) == most]
    return max(tied, key=lambda weight: means[weight])
