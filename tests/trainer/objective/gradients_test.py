"""Per-task gradients against the formula of a small linear model."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.model.layers import BatchedMLP, BranchedMLP, Gates
from trainer.objective.gradients import gram, norms, task_gradients

ROWS, INPUTS, LEAVES = 12, 5, 3


def _data():
    rng = np.random.default_rng(1)
    shapes = {"x": (ROWS, INPUTS), "w": (INPUTS,), "v": (LEAVES,), "y": (ROWS, LEAVES)}
    return {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("jit", [False, True])
def test_each_leaf_has_the_gradient_of_its_own_loss(jit):
    data = _data()
    shared, own, idle = map(tf.Variable, (data["w"], data["v"], [1.0, 1.0]))

    @tf.function(jit_compile=jit, autograph=False)
    def both():
        with tf.GradientTape(persistent=True) as tape:
            z = tf.linalg.matvec(data["x"], shared)[:, None] * own
            losses = tf.reduce_mean(tf.square(z - data["y"]), axis=0)
            total = tf.reduce_sum(losses)
        return (
            task_gradients(tape, losses, [shared, own, idle]),
            tape.gradient(total, [shared, own]),
        )

    found, of_sum = both()
    x, w, v, y = (data[k].astype(np.float64) for k in "xwvy")
    error = 2 * ((x @ w)[:, None] * v - y) / ROWS  # dL_k / dz_k
    np.testing.assert_allclose(found[0], (error * v).T @ x, rtol=1e-4, atol=1e-6)
    expected = np.diag((error * (x @ w)[:, None]).sum(axis=0))
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[2], np.zeros([LEAVES, 2]))
    for gradients, whole in zip(found, of_sum, strict=False):
        np.testing.assert_allclose(
            tf.reduce_sum(gradients, axis=0), whole, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_layers_of_the_ranker_have_gradients_by_leaf(policy, request):
    """A gated mixture; each leaf's gradient as an ordinary tape gives it."""
    if policy == "mixed_bfloat16":
        request.getfixturevalue("bfloat16_products")
    bottom = BatchedMLP(1, [8], dtype=policy)
    experts = BranchedMLP(1, 3, [4], dtype=policy)
    gates = Gates(1, LEAVES, 3, dtype=policy)
    x = tf.constant(_data()["x"])

    def losses_of():
        h = bottom(x[:, tf.newaxis])
        mixed = tf.einsum("bgqe,bgeh->bgqh", gates(h), tf.cast(experts(h), tf.float32))
        return tf.reduce_mean(tf.square(mixed[:, 0] - 1), axis=[0, 2])

    losses_of()
    variables = [v for m in (bottom, experts, gates) for v in m.trainable_variables]
    with tf.GradientTape() as tape:
        losses = losses_of()
    found = task_gradients(tape, losses, variables)
    for leaf in range(LEAVES):
        with tf.GradientTape() as tape:
            loss = losses_of()[leaf]
        for gradients, alone in zip(found, tape.gradient(loss, variables), strict=True):
            np.testing.assert_allclose(gradients[leaf], alone, rtol=1e-5, atol=1e-7)


def test_norms_and_products_are_over_all_variables():
    first = tf.constant([[[3.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]], [[-3.0, 0.0]]])
    second = tf.constant([[4.0], [0.0], [0.0], [0.0]])
    gradients = [first, second]  # (3, 0, 4), (0, 1, 0), 0 and (-3, 0, 0)
    np.testing.assert_allclose(norms(gradients), [5, 1, 0, 3])
    expected = [[25, 0, 0, -9], [0, 1, 0, 0], [0, 0, 0, 0], [-9, 0, 0, 9]]
    np.testing.assert_allclose(gram(gradients), expected)
