"""Which class is which kind."""

from __future__ import annotations

from collections.abc import Sequence

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective.weighting.base import TaskWeights
from trainer.objective.weighting.fixed import Fixed
from trainer.objective.weighting.gradnorm import GradNorm
from trainer.objective.weighting.uncertainty import Uncertainty

_KINDS: dict[str, type[TaskWeights]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
}


def create(config: WeightsConfig, tasks: Sequence[TaskSpec]) -> TaskWeights:
    """The weights that a preset names.

    Args:
        config: Its `surgery` is the train step's business: see `surgery.correction`.
        tasks: L tasks, one a leaf, in the order of the losses.
    """
    return _KINDS[config.kind](config, tasks)
