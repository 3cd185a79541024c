"""Weights that give every task its part of the shared layer's gradient."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective.weighting.base import TaskWeights, task_weights
from trainer.replicas import global_sum

_UNKNOWN = -1.0  # no loss is negative


@task_weights("gradnorm")
class GradNorm(TaskWeights):
    """GradNorm (Chen et al., 2018): slow tasks get larger gradients.

    G_k is the norm of the gradient of w_k L_k in the last shared layer, and
    r_k = (L_k / L_k(0)) / mean over the leaves. The weights go down the slope of
    sum_k |G_k - mean(G) r_k^alpha|, the target held constant, and are scaled to the
    sum L. L_k(0) is the leaf's loss in the first step in which it has rows.

    The paper leaves the rule of descent open. Here it is in log w, with the sum in
    units of mean(G): weights stay positive, and `learning_rate` has no unit. In w
    itself, norms that differ by a factor of 1000 had not evened out in 3000 steps.

    A leaf without rows or without a gradient keeps its weight and has no part in the
    means. The scheduled weight is a factor on top, in `total` only, or its effect
    would be evened out as well.

    Attributes:
        weights: w, [L]; 1 at the start.
        first_losses: L_k(0), [L]; -1 while unknown.
    """

    reads_gradients = True

    def __init__(self, config: WeightsConfig, tasks: Sequence[TaskSpec]):
        super().__init__(config, tasks)
        self._alpha, self._rate = config.alpha, config.learning_rate
        self.weights = _state("weights", len(tasks), 1.0)
        self.first_losses = _state("first_losses", len(tasks), _UNKNOWN)

    def current(self, step: tf.Tensor) -> tf.Tensor:
        return self.scheduled(step) * self.weights

    def update(self, norms: tf.Tensor, losses: tf.Tensor, rows: tf.Tensor) -> None:
        losses, rows = tf.unstack(global_sum(tf.stack([losses, rows])))
        self._remember(losses, rows > 0)
        counted = tf.cast((rows > 0) & (norms > 0), tf.float32)
        sizes = self.weights * norms  # G
        mean = _mean(sizes, counted)
        targets = mean * tf.pow(self._paces(losses, counted), self._alpha)
        # By log w, the slope of |w norm - target| is sign(G - target) G.
        slopes = tf.math.divide_no_nan(tf.sign(sizes - targets) * sizes, mean)
        moved = self.weights * tf.exp(-self._rate * slopes)
        self.weights.assign(_rescaled(self.weights, moved, counted))

    def _remember(self, losses: tf.Tensor, present: tf.Tensor) -> None:
        new = present & (self.first_losses < 0)
        self.first_losses.assign(tf.where(new, losses, self.first_losses))

    def _paces(self, losses: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
        """r, [L]: above 1 for a leaf that learns more slowly than the others."""
        known = self.first_losses > 0
        ratios = tf.where(known, losses / tf.where(known, self.first_losses, 1.0), 1.0)
        return tf.math.divide_no_nan(ratios, _mean(ratios, counted))


def _mean(values: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    total = tf.reduce_sum(values * counted)
    return tf.math.divide_no_nan(total, tf.reduce_sum(counted))


def _rescaled(old: tf.Tensor, moved: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """The moved weights where `counted`, scaled so that all sum to L."""
    left = old.shape[0] - tf.reduce_sum(old * (1 - counted))
    scale = tf.math.divide_no_nan(left, tf.reduce_sum(moved * counted))
    return tf.where(counted > 0, moved * scale, old)


def _state(name: str, leaves: int, value: float) -> tf.Variable:
    return tf.Variable(
        tf.fill([leaves], value),
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
