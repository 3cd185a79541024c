"""Losses by hand; a row outside a task's sample space does not count."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.objective.imbalance import class_weights, log_sampling
from trainer.objective.losses import (
    initial_bias,
    loss_weights,
    predictions,
    task_losses,
)

CLICK = TaskSpec(name="click", kind="binary", label="x")
WATCH = TaskSpec(name="watch", kind="regression", label="x", loss_weight=3.0)
SECONDS = TaskSpec(name="seconds", kind="regression", label="x", loss="huber")
LOGGED = TaskSpec(name="logged", kind="regression", label="x", loss="log_target")
MEDIAN = TaskSpec(
    name="median", kind="regression", label="x", loss="quantile", quantile=0.8
)
RANK = TaskSpec(name="rank", kind="regression", label="x", loss="ordinal")
LIKE = TaskSpec(name="like", kind="binary", label="x", loss="focal")
SHARE = TaskSpec(
    name="share",
    kind="binary",
    label="x",
    loss="class_balanced",
    class_balance_beta=0.9,
)
RARE = TaskSpec(name="rare", kind="binary", label="x", negative_rate=0.25)
HATE = TaskSpec(name="hate", kind="binary", label="x", positive_weight=50.0)
ALL = [CLICK, WATCH, SECONDS, LOGGED, LIKE, SHARE, RARE, HATE, MEDIAN, RANK]
LEVELS = (np.arange(20) + 0.5) / 20


def _losses(task, logits, labels, masks, **kwargs):
    columns = [tf.constant(v, tf.float32)[:, None] for v in (logits, labels, masks)]
    return task_losses([task], *columns, **kwargs)


class TaskLossesTest(tf.test.TestCase):
    def test_binary_is_cross_entropy(self):
        found = _losses(CLICK, [0.0, math.log(3)], [1, 0], [1, 1])
        # -log(1/2) and -log(1 - 3/4), their mean
        self.assertAllClose(found, [(math.log(2) + math.log(4)) / 2])

    def test_regression_is_squared_error(self):
        self.assertAllClose(_losses(WATCH, [3.0, 1.0], [1.0, 2.0], [1, 1]), [2.5])

    def test_squared_error_is_the_default_by_name(self):
        named = dataclasses.replace(WATCH, loss="squared_error")
        self.assertAllClose(_losses(named, [3.0], [1.0], [1]), [4.0])

    def test_huber_is_linear_far_away(self):
        # 0.5 * 0.5^2 near, 1 * (3 - 0.5) far
        found = _losses(SECONDS, [0.5, -3.0], [0.0, 0.0], [1, 1])
        self.assertAllClose(found, [(0.125 + 2.5) / 2])

    def test_log_target_compares_logarithms(self):
        # (2 - log(1 + 0))^2 and (0.5 - log 4)^2; a label below 0 counts as 0
        found = _losses(LOGGED, [2.0, 0.5, 1.0], [0, 3, -5], [1, 1, 1])
        self.assertAllClose(found, [(4 + (0.5 - math.log(4)) ** 2 + 1) / 3])

    def test_quantile_weighs_what_is_above_and_below(self):
        # 0.8 * 2 above, 0.2 * 3 below
        found = _losses(MEDIAN, [1.0, 4.0], [3.0, 1.0], [1, 1])
        self.assertAllClose(found, [(1.6 + 0.6) / 2])

    def test_ordinal_is_the_cross_entropy_of_each_level(self):
        """At z = 0 a label is above a level t with chance 1 - t: 0.5 is above ten."""
        terms = np.where(LEVELS < 0.5, -np.log(1 - LEVELS), -np.log(LEVELS))
        self.assertAllClose(_losses(RANK, [0.0], [0.5], [1]), [terms.mean()])
        # Beyond 0 and 1 labels are above no level, and above all.
        odds = 2 - np.log(LEVELS / (1 - LEVELS))
        none, all_ = np.log1p(np.exp(odds)).mean(), np.log1p(np.exp(-odds)).mean()
        found = _losses(RANK, [2.0, 2.0], [-3.0, 7.0], [1, 1])
        self.assertAllClose(found, [(none + all_) / 2])

    def test_focal_counts_rows_predicted_well_for_less(self):
        # p = 1/4 and 3/4: (1 - p_y)^2 -log p_y is the same for both rows
        logit = math.log(3)
        hard = 0.75**2 * math.log(4)
        self.assertAllClose(_losses(LIKE, [-logit, logit], [1, 0], [1, 1]), [hard])
        easy = 0.25**2 * math.log(4 / 3)
        self.assertAllClose(_losses(LIKE, [logit, -logit], [1, 0], [1, 1]), [easy])

    def test_focal_without_gamma_is_cross_entropy(self):
        plain = dataclasses.replace(LIKE, focal_gamma=0.0)
        rows = ([-2.0, 0.3, 4.0], [1, 0, 0], [1, 1, 1])
        self.assertAllClose(_losses(plain, *rows), _losses(CLICK, *rows))

    def test_class_balanced_weighs_the_rows_label(self):
        # -log(1/2) * (0.5 for the negative, 1.5 for the positive)
        weights = tf.constant([[0.5, 1.5]])
        found = _losses(SHARE, [0.0, 0.0], [0, 1], [1, 1], class_weights=weights)
        self.assertAllClose(found, [math.log(2) * (0.5 + 1.5) / 2])
        found = _losses(SHARE, [0.0, 0.0], [1, 1], [1, 1], class_weights=weights)
        self.assertAllClose(found, [math.log(2) * 1.5])

    def test_a_positive_counts_its_weight(self):
        # -log(1/2), 50 times for the one positive
        found = _losses(HATE, [0.0, 0.0], [0, 1], [1, 1])
        self.assertAllClose(found, [math.log(2) * (1 + 50) / 2])

    def test_class_balanced_needs_its_weights(self):
        with pytest.raises(ValueError, match="needed for class_balanced"):
            _losses(SHARE, [0.0], [1], [1])

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

    def test_each_column_has_its_own_loss(self):
        tasks = [LIKE, WATCH, CLICK, LOGGED, SECONDS, LIKE]
        logits = tf.constant([[0.0, 3.0, 0.0, 1.0, -3.0, 1.0]])
        labels = tf.constant([[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]])
        own = math.log1p(math.exp(-1)) * (1 / (1 + math.e)) ** 2
        expected = [0.25 * math.log(2), 4.0, math.log(2), 1.0, 2.5, own]
        found = task_losses(tasks, logits, labels, tf.ones([1, 6]))
        self.assertAllClose(found, expected)

    def test_weights_follow_the_tasks(self):
        self.assertAllEqual(loss_weights([CLICK, WATCH]), [1.0, 3.0])


@pytest.mark.parametrize("jit", [False, True])
def test_no_loss_breaks_the_gradient_of_another(jit):
    """Each function sees the labels of all; only its own columns count."""
    logits = np.repeat([-100.0, -1.0, 0.0, 1.0, 100.0], 6).astype(np.float32)
    labels = np.tile([-5e8, -1.0, 0.0, 1.0, 300.0, 1e9], 5).astype(np.float32)
    weights = class_weights(ALL, [3] * len(ALL), [9] * len(ALL))
    raised = log_sampling(ALL, np.array([t.negative_rate for t in ALL], np.float32))

    @tf.function(jit_compile=jit, autograph=False)
    def gradient_of(z, y, mask):
        with tf.GradientTape() as tape:
            tape.watch(z)
            found = task_losses(ALL, z, y, mask, class_weights=weights, sampling=raised)
        return found, tape.gradient(found, z)

    count = len(ALL)
    z, y = (tf.constant(np.stack([v] * count, axis=1)) for v in (logits, labels))
    found, gradient = gradient_of(z, y, tf.ones_like(z))
    assert np.isfinite(found).all() and np.isfinite(gradient).all()
    # what the others are has no influence on a column
    alone = np.stack([_alone(task, logits, labels) for task in ALL], axis=1)
    np.testing.assert_allclose(gradient, alone, rtol=1e-5, atol=1e-7)


def _alone(task, logits, labels):
    """The gradient of the loss's formula in one column, in float64."""
    z, y, rows = logits.astype(np.float64), labels.astype(np.float64), len(logits)
    shifted = z - math.log(task.negative_rate)
    p = 1 / (1 + np.exp(-shifted))
    if task.loss == "quantile":
        return np.where(y >= z, -0.8, 0.2) / rows
    if task.loss == "ordinal":
        odds = np.clip(z[:, None] - np.log(LEVELS / (1 - LEVELS)), -500, 500)
        return (1 / (1 + np.exp(-odds)) - (y[:, None] > LEVELS)).mean(axis=1) / rows
    if task.loss == "log_target":
        return 2 * (z - np.log1p(np.maximum(y, 0))) / rows
    if task.kind == "regression":
        error = z - y
        return (np.clip(error, -1, 1) if task.loss == "huber" else 2 * error) / rows
    if task.loss == "focal":
        sign = np.where(y > 0.5, 1.0, -1.0)
        own, other = 1 / (1 + np.exp(-sign * z)), 1 / (1 + np.exp(sign * z))
        log_own = np.minimum(sign * z, 0) - np.log1p(np.exp(-np.abs(z)))
        # d/ds of -(1 - p)^2 log p with p = sigmoid(s): (1 - p)^2 (2 p log p - (1 - p))
        return sign * other**2 * (2 * own * log_own - other) / rows
    weight = np.where(y > 0.5, task.positive_weight, 1.0)
    if task.loss == "class_balanced":
        weight = np.where(y > 0.5, *_by_hand(0.9, 3, 9))
    return weight * (p - y) / rows


def _by_hand(beta, positives, negatives):
    """Cui et al.: w_y = (1 - beta) / (1 - beta^n_y), then scaled to the sum 2."""
    w1, w0 = ((1 - beta) / (1 - beta**n) for n in (positives, negatives))
    return 2 * w1 / (w0 + w1), 2 * w0 / (w0 + w1)


class PredictionsTest(tf.test.TestCase):
    def test_each_task_predicts_in_its_own_way(self):
        logits = tf.constant([[math.log(3), -2.0, math.log(3), -2.0]])
        found = predictions([CLICK, WATCH, LOGGED, LOGGED], logits)
        self.assertAllClose(found, [[0.75, -2.0, 2.0, 0.0]])

    def test_ordinal_predicts_the_mean_of_a_rank(self):
        # A uniform one at 0; with a = exp(-z) the integral of 1 - t over
        # 1 - t + a t is (a log a - a + 1) / (a - 1)^2, the levels' sum is close to it.
        a = math.exp(-1.5)
        mean = (a * math.log(a) - a + 1) / (a - 1) ** 2
        found = predictions([RANK], tf.constant([[0.0], [1.5], [-1.5]]))
        self.assertAllClose(found, [[0.5], [mean], [1 - mean]], atol=1e-3)

    def test_binary_losses_all_predict_a_probability(self):
        found = predictions([CLICK, LIKE, SHARE, RARE], tf.zeros([1, 4]))
        self.assertAllClose(found, [[0.5] * 4])

    def test_every_prediction_is_finite(self):
        logits = tf.constant([[-1e30] * len(ALL), [1e30] * len(ALL)])
        self.assertTrue(np.isfinite(predictions(ALL, logits)).all())


class InitialBiasTest(tf.test.TestCase):
    def test_predicts_the_mean(self):
        means = [0.2, 1.5, -0.5, 3.0, 0.01, 0.3, 1e-3, 1e-4, 0.7, 0.4]
        biases = [initial_bias(t, m) for t, m in zip(ALL, means, strict=True)]
        self.assertAllClose(predictions(ALL, tf.constant([biases])), [means])

    def test_stays_finite(self):
        self.assertAllClose(initial_bias(CLICK, 0.0), math.log(1e-6), rtol=1e-4)
        self.assertAllClose(initial_bias(CLICK, 1.0), -math.log(1e-6), rtol=1e-4)
        self.assertEqual(initial_bias(LOGGED, -3.0), 0.0)


@pytest.mark.parametrize(
    ("task", "constant"),
    [(MEDIAN, np.quantile(np.arange(101) / 100, 0.8)), (RANK, 0.0)],
)
def test_what_a_constant_learns_of_ranks(task, constant):
    """Of uniform labels: their quantile, and the logit whose prediction is 1/2."""
    labels = tf.constant(np.arange(101)[:, None] / 100, tf.float32)

    def loss(z):
        return float(task_losses([task], labels * 0 + z, labels, labels * 0 + 1)[0])

    assert loss(constant) < min(loss(constant - 0.05), loss(constant + 0.05))


@pytest.mark.parametrize(
    ("task", "predicted"),
    # The best constant where 1 in 100 is positive; focal's from a grid over Lin's eq. 4
    [(LIKE, 0.153624), (CLICK, 0.01)],
)
def test_what_a_constant_learns(task, predicted):
    """Focal loss calls rare labels too likely, as its docs say."""
    logits = tf.fill([100, 1], math.log(predicted / (1 - predicted)))
    labels = tf.constant([[1.0]] + [[0.0]] * 99)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = task_losses([task], logits, labels, tf.ones([100, 1]))
    slopes = tape.gradient(found, logits).numpy()
    assert slopes.sum() == pytest.approx(0, abs=1e-4 * np.abs(slopes).sum())
