"""Weights from the noise that each task's loss seems to have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective.tasks import objective_of
from trainer.objective.weighting.base import TaskWeights, task_weights
from trainer.replicas import global_sum, replica_count


@task_weights("uncertainty")
class Uncertainty(TaskWeights):
    """UR (Kendall et al., 2018, eq. 7 and 10), with s = log sigma^2 a leaf.

    A regression gives exp(-s) L / 2 + s / 2, a binary leaf exp(-s) L + s / 2, each
    times its scheduled weight. At the optimum s is log L, or log 2L: all leaves give
    gradients as if their losses were of one size, and the scheduled weights tell how
    much more one counts than another.

    The network's optimizer trains s. A leaf without a row in the global batch gives its
    s no gradient (Adam's momentum may carry it on a little).

    Attributes:
        log_variances: s, [L]; 0 at the start.
    """

    def __init__(self, config: WeightsConfig, tasks: Sequence[TaskSpec]):
        super().__init__(config, tasks)
        factors = [objective_of(task).noise_factor for task in tasks]
        self._factors = np.array(factors, np.float32)
        self.log_variances = tf.Variable(tf.zeros([len(tasks)]), name="log_variances")

    def current(self, step: tf.Tensor) -> tf.Tensor:
        return self.scheduled(step) * self._factors * tf.exp(-self.log_variances)

    def total(self, losses: tf.Tensor, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        present = tf.cast(global_sum(rows) > 0, tf.float32)
        # The same on every replica, whose shares are summed: each gives a part.
        penalties = present * self.log_variances / 2 / replica_count()
        weighted = self.current(step) * losses
        return tf.reduce_sum(weighted + self.scheduled(step) * penalties)
