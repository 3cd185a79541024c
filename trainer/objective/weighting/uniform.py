"""The same weight for every task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective.weighting.base import task_weights
from trainer.objective.weighting.fixed import Fixed


@task_weights("uniform")
class Uniform(Fixed):
    """Uniform scaling (SFV table 3, US): 1, whatever `loss_weight` says.

    But for a `loss_weight` of 0, which says that a task is not trained.
    """

    def __init__(self, config: WeightsConfig, tasks: Sequence[TaskSpec]):
        super().__init__(config, tasks)
        self._first = (self._first > 0).astype(np.float32)
