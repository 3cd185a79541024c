"""Weights that nothing learns."""

from __future__ import annotations

import tensorflow as tf

from trainer.objective.weighting.base import TaskWeights, task_weights


@task_weights("fixed")
class Fixed(TaskWeights):
    """`loss_weight` (SFV sec. 5.2), decaying where the preset says so (PLE eq. 10)."""

    def current(self, step: tf.Tensor) -> tf.Tensor:
        return self.scheduled(step)
