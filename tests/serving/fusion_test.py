import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import FusionSpec, LengthSpec, Spec, TaskSpec
from serving.fusion import default_weights, fused_score

NAN = float("nan")
TASKS = tuple(
    TaskSpec(name=n, kind="binary", label="1") for n in ("view", "like", "skip")
)


def make_spec(length: LengthSpec | None = None) -> Spec:
    return Spec(
        name="tiny",
        log=None,  # type: ignore[arg-type]  # the formula needs no log
        features=(),
        tasks=TASKS,
        fusion=FusionSpec(weights={"view": 2.0, "skip": -1.0}, length=length),
    )


def predictions(view, like, skip):
    return {
        "view": tf.constant(view),
        "like": tf.constant(like),
        "skip": tf.constant(skip),
    }


def test_score_is_the_product_of_powers():
    score = fused_score(make_spec(), predictions([0.5, 0.2], [0.1, 0.9], [0.25, 0.5]))
    # 0.5^2 / 0.25 and 0.2^2 / 0.5; like has no weight
    np.testing.assert_allclose(score, [1.0, 0.08], rtol=1e-5)


def test_default_weights_follow_the_order_of_tasks():
    np.testing.assert_array_equal(default_weights(make_spec()), [2.0, 0.0, -1.0])


def test_nan_weights_keep_the_default_one_by_one():
    weights = tf.constant([NAN, 1.0, 0.0])
    score = fused_score(make_spec(), predictions([0.5], [0.1], [0.25]), weights=weights)
    np.testing.assert_allclose(score, [0.025], rtol=1e-5)  # 0.5^2 * 0.1


def test_predictions_below_a_millionth_count_as_a_millionth():
    score = fused_score(make_spec(), predictions([1.0], [0.5], [-3.0]))
    np.testing.assert_allclose(score, [1e6], rtol=1e-4)  # 1^2 / 1e-6


def test_many_tiny_factors_do_not_underflow_before_the_last_power():
    weights = tf.constant([8.0, -8.0, 1.0])  # 1e-6^8 alone is below float32
    score = fused_score(
        make_spec(), predictions([1e-6], [1e-6], [0.5]), weights=weights
    )
    np.testing.assert_allclose(score, [0.5], rtol=1e-3)


@pytest.mark.parametrize(
    ("transform", "length", "factor"),
    [
        ("log1p", np.e**2 - 1, 2.0**0.5),  # log(1 + e^2 - 1) = 2
        ("sigmoid", 0.0, 0.5**0.5),
        ("log1p", NAN, 1.0),  # unknown: neither helps nor harms
        ("log1p", 0.0, 1e-6**0.5),
    ],
)
def test_length_factor(transform, length, factor):
    spec = make_spec(LengthSpec(feature="seconds", transform=transform, weight=0.5))
    lengths = tf.constant([length], tf.float32)
    score = fused_score(spec, predictions([0.5], [0.1], [0.25]), lengths)
    np.testing.assert_allclose(score, [factor], rtol=1e-4)  # 0.5^2 / 0.25 = 1


def test_one_length_serves_every_candidate():
    spec = make_spec(LengthSpec(feature="seconds", transform="sigmoid"))
    three = predictions([0.5] * 3, [0.1] * 3, [0.25] * 3)
    score = fused_score(spec, three, tf.constant([0.0]))
    np.testing.assert_allclose(score, [0.5] * 3, rtol=1e-5)
