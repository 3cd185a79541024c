"""Losses by hand; a row outside a task's sample space does not count."""

import math

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.losses import loss_weights, task_losses

CLICK = TaskSpec(name="click", kind="binary", label="x")
WATCH = TaskSpec(name="watch", kind="regression", label="x", loss_weight=3.0)
SECONDS = TaskSpec(name="seconds", kind="regression", label="x", loss="huber")


def _losses(task, logits, labels, masks):
    columns = [tf.constant(v, tf.float32)[:, None] for v in (logits, labels, masks)]
    return task_losses([task], *columns)


class TaskLossesTest(tf.test.TestCase):
    def test_binary_is_cross_entropy(self):
        found = _losses(CLICK, [0.0, math.log(3)], [1, 0], [1, 1])
        # -log(1/2) and -log(1 - 3/4), their mean
        self.assertAllClose(found, [(math.log(2) + math.log(4)) / 2])

    def test_regression_is_squared_error(self):
        self.assertAllClose(_losses(WATCH, [3.0, 1.0], [1.0, 2.0], [1, 1]), [2.5])

    def test_huber_is_linear_far_away(self):
        # 0.5 * 0.5^2 near, 1 * (3 - 0.5) far
        found = _losses(SECONDS, [0.5, -3.0], [0.0, 0.0], [1, 1])
        self.assertAllClose(found, [(0.125 + 2.5) / 2])

    def test_mean_is_over_the_sample_space(self):
        found = _losses(WATCH, [3.0, 9.0, 1.0], [1.0, 0.0, 1.0], [1, 0, 1])
        self.assertAllClose(found, [2.0])  # (4 + 0) / 2, the 81 left out

    def test_empty_sample_space_has_no_loss_and_no_gradient(self):
        logits = tf.constant([[2.0, 2.0]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = task_losses([CLICK, WATCH], logits, [[0.0, 0.0]], [[1.0, 0.0]])
        gradient = tape.gradient(found, logits)
        self.assertAllClose(found, [math.log(1 + math.exp(2)), 0.0])
        self.assertAllClose(gradient, [[1 / (1 + math.exp(-2)), 0.0]])

    def test_weights_follow_the_tasks(self):
        self.assertAllEqual(loss_weights([CLICK, WATCH]), [1.0, 3.0])
