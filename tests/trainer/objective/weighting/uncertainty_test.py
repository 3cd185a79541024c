"""UR (Kendall et al., 2018) by hand."""

import math

import numpy as np
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting

CLICK = TaskSpec(name="click", kind="binary", label="x")
WATCH = TaskSpec(name="watch", kind="regression", label="x")
LIKE = TaskSpec(name="like", kind="binary", label="x", loss_weight=5.0)
STEP = tf.constant(0, tf.int64)


def _weights(tasks, log_variances):
    weights = weighting.create(WeightsConfig(kind="uncertainty"), tasks)
    np.testing.assert_array_equal(weights.log_variances, np.zeros(len(tasks)))
    weights.log_variances.assign(log_variances)
    return weights


def _slopes(weights, losses, rows):
    losses = tf.constant(losses)
    with tf.GradientTape() as tape:
        tape.watch(losses)
        total = weights.total(losses, tf.constant(rows), STEP)
    return total, *tape.gradient(total, [losses, weights.log_variances])


def test_total_and_slopes_are_the_formula_s():
    weights = _weights([CLICK, WATCH, LIKE], [0.5, -1.0, 0.2])
    total, by_loss, by_s = _slopes(weights, [0.7, 3.0, 0.1], [4.0, 4.0, 2.0])
    click = math.exp(-0.5) * 0.7 + 0.25
    watch = math.exp(1.0) / 2 * 3 - 0.5
    like = 5 * (math.exp(-0.2) * 0.1 + 0.1)
    np.testing.assert_allclose(total, click + watch + like, rtol=1e-6)
    factors = [math.exp(-0.5), math.exp(1.0) / 2, 5 * math.exp(-0.2)]
    np.testing.assert_allclose(by_loss, factors, rtol=1e-6)
    np.testing.assert_allclose(weights.current(STEP), factors, rtol=1e-6)
    expected = [
        0.5 - math.exp(-0.5) * 0.7,
        0.5 - math.exp(1.0) / 2 * 3,
        5 * (0.5 - math.exp(-0.2) * 0.1),
    ]
    np.testing.assert_allclose(by_s, expected, rtol=1e-5)


def test_the_optimum_is_the_logarithm_of_the_loss():
    weights = _weights([CLICK, WATCH], [math.log(2 * 0.7), math.log(3.0)])
    _, _, by_s = _slopes(weights, [0.7, 3.0], [1.0, 1.0])
    np.testing.assert_allclose(by_s, [0, 0], atol=1e-6)


def test_a_leaf_without_rows_does_not_move():
    weights = _weights([CLICK, WATCH], [0.5, -1.0])
    total, _, by_s = _slopes(weights, [0.7, 0.0], [1.0, 0.0])
    np.testing.assert_allclose(total, math.exp(-0.5) * 0.7 + 0.25, rtol=1e-6)
    assert by_s[1] == 0


def test_an_optimizer_finds_the_optimum():
    """On losses that stay as they are."""
    weights = _weights([CLICK, WATCH], [0.0, 0.0])
    assert [v.name for v in weights.trainable_variables] == ["log_variances:0"]
    optimizer = tf.keras.optimizers.legacy.Adam(0.1)
    losses, rows = tf.constant([0.05, 30.0]), tf.ones([2])

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            total = weights.total(losses, rows, STEP)
        variables = weights.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(total, variables), variables, strict=True)
        )

    for _ in range(600):
        step()
    found = weights.log_variances.numpy()
    np.testing.assert_allclose(found, [math.log(0.1), math.log(30)], atol=1e-2)
