"""What every way of weighting takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from feature_specs.preset_kinds import WEIGHTS_KINDS, WeightsKind, declare
from feature_specs.registry import Registry
from trainer.objective.losses import loss_weights


class TaskWeights(tf.Module):
    """How much the loss of each of L leaves counts.

    Every kind multiplies what it finds by the scheduled weight: `loss_weight` (SFV sec.
    5.2), times its decay.

    Args:
        config: Kind and rates.
        tasks: L tasks, one a leaf.

    Attributes:
        reads_gradients: Whether `update` wants the norms of the leaves' gradients after
            each step.
    """

    reads_gradients = False

    def __init__(self, config: WeightsConfig, tasks: Sequence[TaskSpec]):
        super().__init__(name=f"{config.kind}_weights")
        self._first = loss_weights(tasks)
        gammas = np.array([config.decay.get(task.name, 1.0) for task in tasks])
        self._decay_rates = (np.log(gammas) / config.decay_steps).astype(np.float32)

    @classmethod
    def bends(cls) -> bool:
        """Whether it has a `correction` of the shared weights' gradient."""
        return cls.correction is not TaskWeights.correction

    def scheduled(self, step: tf.Tensor) -> tf.Tensor:
        """w_k gamma_k^t, float32 [L]: PLE eq. 10.

        The paper's t counts epochs. Here an epoch is `decay_steps` steps, and t has a
        fraction: the weight falls a little in each step.
        """
        if not self._decay_rates.any():
            return tf.constant(self._first)
        return self._first * tf.exp(self._decay_rates * tf.cast(step, tf.float32))

    def current(self, step: tf.Tensor) -> tf.Tensor:
        """The factor of each leaf's loss in `total`, float32 [L]."""
        raise NotImplementedError

    def total(self, losses: tf.Tensor, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The scalar to minimise; on several replicas this replica's share.

        Args:
            losses: [L], this replica's shares.
            rows: [L], this replica's rows in each leaf's sample space.
            step: Scalar, the steps taken before this one.
        """
        return tf.reduce_sum(self.current(step) * losses)

    def update(self, norms: tf.Tensor, losses: tf.Tensor, rows: tf.Tensor) -> None:
        """Moves the weights after a step, where `reads_gradients`.

        Args:
            norms: [L], of the gradients of the unweighted losses, over the global
                batch, in the last layer that all leaves share.
            losses: As in `total`.
            rows: As in `total`.
        """

    def correction(
        self, gradients: Sequence[tf.Tensor], weights: tf.Tensor, seed: tf.Tensor
    ) -> list[tf.Tensor]:
        """What to add to the gradient of the weighted sum; nothing by default.

        Args:
            gradients: V of [L, *shape], over the global batch and of the unweighted
                losses, of the dense variables that leaves share.
            weights: [L], the factor of each loss, `current`.
            seed: int32 [2], the same on every replica, another one in each step.

        Returns:
            V of [*shape]; on several replicas this replica's share.
        """
        return [tf.zeros_like(gradient[0]) for gradient in gradients]


TASK_WEIGHTS: Registry[type[TaskWeights]] = Registry(
    "kind of task weights", "@trainer.objective.weighting.task_weights(name)"
)

_Class = TypeVar("_Class", bound=type[TaskWeights])


def task_weights(name: str) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a preset's weights means."""

    def register(cls: _Class) -> _Class:
        TASK_WEIGHTS.add(name, cls)
        declare(WEIGHTS_KINDS, WeightsKind(name=name, bends=cls.bends()))
        return cls

    return register
