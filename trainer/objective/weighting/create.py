"""Which class is which kind: each registers itself as its file is imported."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective.weighting import (  # noqa: F401  the shipped ones
    fixed,
    graddrop,
    gradnorm,
    mgda,
    uncertainty,
    uniform,
)
from trainer.objective.weighting.base import TASK_WEIGHTS, TaskWeights


def create(config: WeightsConfig, tasks: Sequence[TaskSpec]) -> TaskWeights:
    """The weights that a preset names.

    Args:
        config: Its `surgery` is the train step's business: see `surgery.correction`.
        tasks: L tasks, one a leaf, in the order of the losses.
    """
    return TASK_WEIGHTS[config.kind](config, tasks)
