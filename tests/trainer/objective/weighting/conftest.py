"""A model of three layers, and a training step with all ways of weighting."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.model.layers import BatchedDense, BatchedMLP
from trainer.objective import weighting
from trainer.objective.gradients import norms, task_gradients
from trainer.objective.imbalance import (
    class_weights,
    log_sampling,
    negative_rates,
    sampled_masks,
)
from trainer.objective.losses import task_losses
from trainer.objective.weighting import surgery

ROWS, INPUTS = 24, 6

TASKS = [
    TaskSpec(name="click", kind="binary", label="x"),
    TaskSpec(name="watch", kind="regression", label="x", loss_weight=3.0),
    TaskSpec(name="like", kind="binary", label="x", negative_rate=0.5),
    TaskSpec(name="share", kind="binary", label="x", loss="class_balanced"),
    TaskSpec(name="never", kind="regression", label="x", loss="log_target"),
]
RATES = negative_rates(TASKS, [0.4] * len(TASKS))


class Small(tf.Module):
    """x [B, INPUTS] -> logits [B, L]; two shared layers, then one a leaf."""

    def __init__(self, seed=0):
        super().__init__()
        tf.keras.utils.set_random_seed(3 + seed)
        self.bottom = BatchedMLP(1, [8, 4])
        self.heads = BatchedDense(len(TASKS), 1)
        self(tf.zeros([1, INPUTS]))

    def __call__(self, x):
        shared = tf.repeat(self.bottom(x[:, tf.newaxis]), len(TASKS), axis=1)
        return self.heads(shared)[:, :, 0]


def make_batch(rows=ROWS, seed=0):
    """x, labels and masks; `watch` has rows in the second half only, `never` none."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, INPUTS))
    labels = rng.random((rows, len(TASKS))) < 0.4
    masks = np.ones([rows, len(TASKS)])
    masks[: rows // 2, 1] = 0
    masks[:, 4] = 0
    return tuple(tf.constant(v, tf.float32) for v in (x, labels, masks))


class Training:
    """What a ranker does in a step, with `config` for the weights."""

    def __init__(self, config, seed=0):
        self.model, self.surgery = Small(seed), config.surgery
        self.weights = weighting.create(config, TASKS)
        self.bends = self.surgery or self.weights.bends()
        self.optimizer = tf.keras.optimizers.legacy.SGD(0.1)
        # As in training: with its variables in place a step is traced once.
        self.optimizer._create_all_weights(self._variables)
        self.balance = class_weights(TASKS, [9] * 5, [900] * 5)
        self.steps = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    @property
    def _variables(self):
        moved = (self.model.bottom, self.model.heads, self.weights)
        return [v for part in moved for v in part.trainable_variables]

    def step(self, x, labels, masks):
        seed = tf.stack([7, tf.cast(self.steps, tf.int32)])
        masks = sampled_masks(TASKS, labels, masks, RATES, seed)
        rows = tf.reduce_sum(masks, axis=0)
        by_leaf = self.bends or self.weights.reads_gradients
        with tf.GradientTape(persistent=by_leaf) as tape:
            losses = task_losses(
                TASKS,
                self.model(x),
                labels,
                masks,
                class_weights=self.balance,
                sampling=log_sampling(TASKS, RATES),
            )
            total = self.weights.total(losses, rows, self.steps)
        shared = self.model.bottom.trainable_variables
        gradients = tape.gradient(total, self._variables)
        if by_leaf:
            own = task_gradients(tape, losses, shared)
            if self.bends:
                gradients, own = self._bent(gradients, own, seed)
            self.weights.update(norms(own[-2:]), losses, rows)
        self.optimizer.apply_gradients(zip(gradients, self._variables, strict=True))
        self.steps.assign_add(1)
        return total

    def _bent(self, gradients, own, seed):
        current = self.weights.current(self.steps)
        bend = surgery.correction if self.surgery else self.weights.correction
        for index, change in enumerate(bend(own, current, seed)):
            gradients[index] += change
        return surgery.after(current, gradients), surgery.after(current, own)

    def run(self, batch, steps, jit=False):
        """The totals of some steps on one batch."""
        step = tf.function(self.step, jit_compile=jit, autograph=False)
        return [float(step(*batch)) for _ in range(steps)]

    def values(self):
        """Everything that training moves, under its place and short name."""
        variables = [*self.model.variables, *self.weights.variables]
        names = [variable.name.split("/")[-1] for variable in variables]
        return {f"{i} {n}": variables[i].numpy() for i, n in enumerate(names)}


@pytest.fixture
def make_training(any_seed):
    return lambda config: Training(config, any_seed)


@pytest.fixture
def batch(any_seed):
    return make_batch(seed=any_seed)
