"""Cosines and norms of gradients that can be written down."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.inspection.conflicts import ALL_LAYERS, GradientMeans


def _layers(*batches):
    means = GradientMeans()
    for layers in batches:
        means.add(8, [tf.constant(g, tf.float32) for g in layers.values()])
    found = means.by_layer(list(batches[0]))
    return {layer.name: layer for layer in found}, means


def _linear(x, y, w):
    """Of each task's mean squared error of x w: 2/n X^T (X w - y)."""
    return 2 / len(x) * np.stack([x.T @ (x @ w - target) for target in y.T])


def test_a_linear_model_with_two_tasks_pulled_apart():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(50, 3)), np.array([0.5, 0.0, -0.5])
    y = np.stack([x @ [1, 1, 1], x @ [0, -1, -2], x @ [1.1, 1, 1]], axis=1)
    gradients = _linear(x, y, w)
    found, _ = _layers({"layer": gradients})
    a, b, c = gradients
    norms = [np.linalg.norm(g) for g in (a, b, c)]
    np.testing.assert_allclose(found["layer"].norms, norms, rtol=1e-6)
    cosine = a @ b / norms[0] / norms[1]
    assert cosine < 0
    np.testing.assert_allclose(found["layer"].cosines[0, 1], cosine, rtol=1e-5)
    np.testing.assert_allclose(np.diag(found["layer"].cosines), 1, rtol=1e-6)
    assert found["layer"].conflict_share == pytest.approx(2 / 3)  # a-b and b-c


def test_gradients_are_means_over_batches():
    one = {"layer": [[1.0, 0.0], [1.0, 2.0]]}
    other = {"layer": [[3.0, 4.0], [-2.0, 0.0]]}
    found, means = _layers(one, other)  # [2, 2] and [-0.5, 1]
    np.testing.assert_allclose(found["layer"].norms, [8**0.5, 1.25**0.5])
    np.testing.assert_allclose(found["layer"].cosines[0, 1], 1 / 10**0.5)
    assert means.rows == 16


def test_what_one_task_has_for_itself_counts_nowhere():
    found, _ = _layers({"experts": [[3.0, 4.0, 0.0], [-1.0, 0.0, 5.0]]})
    np.testing.assert_allclose(found["experts"].norms, [3, 1])
    np.testing.assert_allclose(found["experts"].cosines[0, 1], -1)


def test_a_layer_that_no_two_tasks_share_is_left_out():
    shared, apart = [[1.0, 1.0], [1.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]]
    found, _ = _layers({"gates": apart, "bottom": shared})
    assert list(found) == [ALL_LAYERS, "bottom"]
    assert _layers({"gates": apart})[0] == {}


def test_all_layers_are_one_long_vector():
    found, _ = _layers({"a": [[3.0], [4.0]], "b": [[4.0], [-3.0]]})
    np.testing.assert_allclose(found[ALL_LAYERS].norms, [5, 5])
    np.testing.assert_allclose(found[ALL_LAYERS].cosines[0, 1], 0, atol=1e-7)
    assert found["a"].conflict_share == 0
    assert found["b"].conflict_share == 1


def test_a_task_without_a_gradient_is_in_no_pair():
    layer = _layers({"a": [[1.0], [0.0], [-1.0]]})[0]["a"]
    np.testing.assert_array_equal(layer.norms, [1, 0, 1])
    assert np.isnan(layer.cosines[1]).all()
    assert layer.conflict_share == 1
