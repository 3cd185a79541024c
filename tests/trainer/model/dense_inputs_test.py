"""Numbers as they are, vectors through projections, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import FeatureSpec
from trainer.model.dense_inputs import DenseInputs, cosine

AGE = FeatureSpec(name="age", group="query", kind="number")
TAB = FeatureSpec(name="tab", group="context", kind="category", size=2)
COVER = FeatureSpec(name="cover", group="candidate", kind="vector", size=3, dim=2)
SEEN = FeatureSpec(
    name="seen", group="query", kind="vector", size=3, dim=2, projection="looks"
)
SHOWN = FeatureSpec(
    name="shown", group="candidate", kind="vector", size=3, dim=2, projection="looks"
)
_KERNEL = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
_BIAS = np.array([0.5, -0.5])
_MISSING = np.array([7.0, 8.0])


def _assign(layer: DenseInputs, key: str) -> None:
    """Gives a projection that was built known weights."""
    layer.projections[key].kernel.assign(_KERNEL)
    layer.projections[key].bias.assign(_BIAS)


def test_numbers_are_stacked_in_order():
    inputs = {"age": tf.constant([1.0, 2.0]), "tab": tf.constant([1, 1])}
    layer = DenseInputs([TAB, AGE])
    np.testing.assert_allclose(layer(inputs, [TAB, AGE]), [[1.0], [2.0]])
    assert layer(inputs, [TAB]).shape == (2, 0)
    assert layer.trainable_variables == []


def test_a_vector_is_projected_and_a_missing_one_is_learned():
    layer = DenseInputs([AGE, COVER])
    rows = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    inputs = {
        "age": tf.constant([1.0, 2.0, 3.0]),
        "cover": tf.constant(rows, tf.float32),
    }
    assert layer(inputs, [AGE, COVER]).shape == (3, 3)
    _assign(layer, "feature_cover")
    layer.missing["cover"].assign(_MISSING)
    expected = rows @ _KERNEL + _BIAS
    expected[1] = _MISSING
    found = layer(inputs, [AGE, COVER])
    np.testing.assert_allclose(found, np.c_[[1.0, 2.0, 3.0], expected], rtol=1e-6)
    np.testing.assert_allclose(layer(inputs, [COVER]), expected, rtol=1e-6)


def test_the_gradient_reaches_the_projection_and_what_is_missing():
    """Each by the rows that it is for: two known vectors, one that is missing."""
    layer = DenseInputs([COVER])
    rows = tf.constant([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer({"cover": rows}, [COVER]))
    dense = layer.projections["feature_cover"]
    weights = [dense.kernel, dense.bias, layer.missing["cover"]]
    kernel, bias, missing = tape.gradient(total, weights)
    np.testing.assert_allclose(kernel, [[1, 1], [0, 0], [1, 1]])  # sums of the columns
    np.testing.assert_allclose(bias, [2, 2])
    np.testing.assert_allclose(missing, [1, 1])


def test_features_of_one_projection_share_it_but_not_what_is_missing():
    layer = DenseInputs([SEEN, SHOWN])
    inputs = {"seen": tf.constant([[1.0, 0, 0], [0.0, 0, 0]])}
    inputs["shown"] = tf.constant([[1.0, 0, 0], [0.0, 0, 0]])
    layer(inputs, [SEEN, SHOWN])
    assert list(layer.projections) == ["looks"]
    _assign(layer, "looks")
    layer.missing["seen"].assign(_MISSING)
    found = layer(inputs, [SEEN, SHOWN]).numpy()
    np.testing.assert_allclose(found[0], [1.5, 1.5, 1.5, 1.5])
    np.testing.assert_allclose(found[1], [7, 8, 0, 0])


def test_numbers_stay_exact_beside_products_of_bfloat16():
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    layer = DenseInputs([AGE], dtype=policy)
    found = layer({"age": tf.constant([1.0009765])}, [AGE])
    assert found.dtype == tf.float32 and found.numpy()[0, 0] == np.float32(1.0009765)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([3.0, 4.0], [4.0, 3.0], 24 / 25),
        ([1.0, 0.0], [-9.0, 0.0], -1),
        ([0.0, 0.0], [1.0, 1.0], 0),
        ([1e30, 0.0], [1e30, 1e30], np.sqrt(0.5)),
        ([1e-20, 0.0], [0.0, 1e-20], 0),
        ([1e-20, 1e-20], [1e-20, 1e-20], 1),
    ],
)
def test_a_cosine_knows_no_length(one, other, expected):
    found = cosine(tf.constant([one]), tf.constant([other]))
    np.testing.assert_allclose(found, [[expected]], atol=1e-6)
