"""PCGrad against the algorithm of the paper, one projection after the other."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.objective.weighting import surgery

SEED = tf.constant([5, 3])


def _correction(gradients, weights=None, seed=SEED):
    leaves = len(gradients[0])
    weights = np.ones(leaves) if weights is None else weights
    gradients = [tf.constant(g, tf.float32) for g in gradients]
    return surgery.correction(gradients, tf.constant(weights, tf.float32), seed)


# g_1 . g_2 = -3, both of length^2 5
CONFLICT = [[2.0, 1.0], [-2.0, 1.0]]


def test_two_conflicting_gradients_by_hand():
    # g_1 + 3/5 g_2 = (0.8, 1.6), g_2 + 3/5 g_1 = (-0.8, 1.6); the sum was (0, 2)
    (found,) = _correction([CONFLICT])
    np.testing.assert_allclose(found, [0.0, 1.2], atol=1e-6)


def test_gradients_that_agree_stay():
    (found,) = _correction([[[1.0, 0.5], [0.2, 1.0]]])
    np.testing.assert_array_equal(found, [0.0, 0.0])


def test_weights_are_factors_of_the_gradients():
    # With 2 g_2: (0.8, 1.6) and (-4, 2) + 6/5 (2, 1) = (-1.6, 3.2); it was (-2, 3)
    (found,) = _correction([CONFLICT], [1.0, 2.0])
    np.testing.assert_allclose(found, [1.2, 1.8], rtol=1e-6)


def test_a_leaf_of_weight_0_pulls_at_nothing():
    (found,) = _correction([CONFLICT], [1.0, 0.0])
    np.testing.assert_array_equal(found, [0.0, 0.0])


# In a plane a gradient is turned so far that it points against what it was at first.
@pytest.mark.parametrize("shapes", [[(4, 3), (3,), (2, 1, 2)], [(2,)]])
@pytest.mark.parametrize(("leaves", "jit"), [(2, False), (17, False), (17, True)])
def test_as_the_paper_s_loop(leaves, jit, shapes):
    rng = np.random.default_rng(leaves)
    gradients = [rng.normal(size=(leaves, *s)) for s in shapes]
    weights = rng.uniform(0.5, 2, leaves)
    # XLA draws other numbers from the same seed
    draw = tf.function(tf.random.stateless_uniform, jit_compile=jit, autograph=False)
    orders = np.argsort(draw((leaves, leaves), SEED, alg="philox"), axis=1)
    expected = _pcgrad(
        [_flat(gradients, i) * weights[i] for i in range(leaves)], orders
    )
    constants = [tf.constant(g, tf.float32) for g in gradients]
    run = tf.function(surgery.correction, jit_compile=jit, autograph=False)
    found = run(constants, tf.constant(weights, tf.float32), SEED)
    plain = [np.tensordot(weights, g, 1) for g in gradients]
    together = [f.numpy() + p for f, p in zip(found, plain, strict=True)]
    assert [t.shape for t in together] == shapes
    flat = np.concatenate([t.ravel() for t in together])
    np.testing.assert_allclose(flat, expected, rtol=1e-4, atol=1e-4)


def _flat(gradients, leaf):
    return np.concatenate([g[leaf].ravel() for g in gradients])


def _pcgrad(gradients, orders):
    """Yu et al., 2020, algorithm 1."""
    total = 0
    for i, order in enumerate(orders):
        own = gradients[i].copy()
        for j in order:
            product = own @ gradients[j]
            if j != i and product < 0:
                own -= product / (gradients[j] @ gradients[j]) * gradients[j]
        total = total + own
    return total


def test_orders_differ_by_leaf_and_by_step():
    first = surgery._orders(17, tf.constant([5, 3])).numpy()
    second = surgery._orders(17, tf.constant([5, 4])).numpy()
    np.testing.assert_array_equal(np.sort(first, axis=1), [np.arange(17)] * 17)
    assert (first != second).any() and (first[0] != first[1]).any()


def test_what_one_leaf_moves_alone_is_left_alone():
    """Columns 3 to 5 are gates and experts of one leaf each."""
    own = [[7.0, 0.0, 0.0], [0.0, -9.0, 1.0]]
    both = np.concatenate([CONFLICT, own], axis=1)
    (found,) = _correction([both])
    np.testing.assert_allclose(found, [0.0, 1.2, 0.0, 0.0, 0.0], atol=1e-6)
    found, alone = _correction([CONFLICT, own])
    np.testing.assert_allclose(found, [0.0, 1.2], atol=1e-6)
    np.testing.assert_array_equal(alone, [0.0, 0.0, 0.0])
