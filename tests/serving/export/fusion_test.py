import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.spec import FusionSpec, LengthSpec, Spec, TaskSpec
from feature_specs.transforms import TRANSFORMS
from serving.export.fusion import default_weights, finite, fuse, log_factors

NAN, INF = float("nan"), float("inf")
_LARGEST = float(np.finfo(np.float32).max)


def make_spec(length=None, transforms=None, kinds=("binary",) * 3) -> Spec:
    names = ("view", "like", "skip")
    return Spec(
        name="tiny",
        log=None,  # type: ignore[arg-type]  # the formula needs no log
        features=(),
        tasks=tuple(
            TaskSpec(name=name, kind=kind, label="1")
            for name, kind in zip(names, kinds, strict=True)
        ),
        fusion=FusionSpec(
            weights={"view": 2.0, "skip": -1.0},
            transforms=transforms or {},
            length=length,
        ),
    )


def regression(transform: str = "") -> Spec:
    """The third task is a regression; the first two are probabilities."""
    stated = {"skip": transform} if transform else {}
    return make_spec(transforms=stated, kinds=("binary", "binary", "regression"))


def logits_of(*columns):
    """Columns of probabilities -> logits [B, K] float32."""
    p = np.array(columns, np.float64).T
    return tf.constant(np.log(p) - np.log1p(-p), tf.float32)


def factors(spec, *values):
    """g of the third task, whose logit is its prediction."""
    logits = tf.constant([[0.0, 0.0, value] for value in values], tf.float32)
    return np.exp(log_factors(spec, logits)[:, 2].numpy())


def test_score_is_the_product_of_powers():
    found = fuse(make_spec(), logits_of([0.5, 0.2], [0.1, 0.9], [0.25, 0.5]))
    # 0.5^2 / 0.25 and 0.2^2 / 0.5; like has no weight
    np.testing.assert_allclose(found.score, [1.0, 0.08], rtol=1e-5)
    np.testing.assert_allclose(found.log_score, np.log([1.0, 0.08]), atol=1e-6)
    assert (found.score.dtype, found.log_score.dtype) == (tf.float32, tf.float64)


def test_default_weights_follow_the_order_of_tasks():
    np.testing.assert_array_equal(default_weights(make_spec()), [2.0, 0.0, -1.0])


def test_nan_weights_keep_the_default_one_by_one():
    weights = tf.constant([NAN, 1.0, 0.0])
    found = fuse(make_spec(), logits_of([0.5], [0.1], [0.25]), weights=weights)
    np.testing.assert_allclose(found.score, [0.025], rtol=1e-5)  # 0.5^2 * 0.1


@pytest.mark.parametrize("seed", range(4))
def test_order_is_that_of_an_independent_float64_computation(seed):
    draws = np.random.default_rng(seed)
    p = 10 ** draws.uniform(-12, 0, (500, 3))  # down to 1e-12, many close to 1
    logits = (np.log(p) - np.log1p(-p)).astype(np.float32)
    weights = draws.uniform(-50, 50, 3).astype(np.float32)
    found = fuse(make_spec(), tf.constant(logits), weights=tf.constant(weights))
    z, w = logits.astype(np.float64), weights.astype(np.float64)
    log_p = np.where(z > 0, -np.log1p(np.exp(-z)), z - np.log1p(np.exp(z)))
    expected = (log_p * w).sum(axis=1)
    assert np.isfinite(found.score).all() and np.isfinite(found.log_score).all()
    np.testing.assert_allclose(found.log_score, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        np.argsort(-found.log_score.numpy(), kind="stable"),
        np.argsort(-expected, kind="stable"),
    )


def test_candidates_stay_apart_where_their_probabilities_are_1_or_0():
    logits = [[z, 0.0, 0.0] for z in (-300.0, -200.0, 20.0, 30.0)]
    found = fuse(make_spec(), tf.constant(logits)).log_score.numpy()
    assert (np.diff(found) > 0).all()
    assert np.ptp(tf.sigmoid([20.0, 30.0])) == 0  # as float32 both are 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_finite_logits_and_weights_give_finite_scores(name):
    spec = regression("" if name == "identity" else _text(name))
    extremes = [-_LARGEST, -1e4, -1.0, -0.0, 0.0, 1e-38, 1e4, _LARGEST]
    logits = tf.constant(
        [[a, b, c] for a in extremes for b in extremes for c in extremes]
    )
    for weights in ([50.0, -50.0, 50.0], [_LARGEST, -_LARGEST, _LARGEST]):
        found = finite(fuse(spec, logits, weights=tf.constant(weights)))
        assert np.isfinite(found.score).all()
    assert found.score.numpy().max() == np.float32(_LARGEST)  # saturated


def _text(name: str) -> str:
    return (
        "clip(0, 3)"
        if name == "clip"
        else f"{name}(0.000001)"
        if name != "identity"
        else name
    )


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("", [1, 1, 1, 1.5, 6]),  # 1 + max(0, y)
        ("linear(0.5)", [1, 1, 1, 2, 11]),
        ("clip(0, 3)", [1, 1, 1, 1.5, 4]),
        ("clip(0.25, 3)", [1.25, 1.25, 1.25, 1.5, 4]),
        ("log1p(5)", [1, 1, 1, 1 + math.log(1.1), 1 + math.log(2)]),
        ("expm1", [math.exp(v) for v in (-2, -0.1, 0, 0.5, 5)]),
        ("softplus(2)", [math.log(1 + math.exp(v / 2)) for v in (-2, -0.1, 0, 0.5, 5)]),
        ("sigmoid(2)", [1 / (1 + math.exp(-v / 2)) for v in (-2, -0.1, 0, 0.5, 5)]),
    ],
)
def test_factor_of_a_regression(transform, expected):
    found = factors(regression(transform), -2.0, -0.1, 0.0, 0.5, 5.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("transform", ["", "clip(0, 3)", "log1p", "expm1", "softplus"])
def test_no_cliff_at_zero(transform):
    below, at, above = factors(regression(transform), -0.1, 0.0, 0.1)
    assert 1 <= at / below < 1.2 and 1 <= above / at < 1.2


def test_softplus_goes_on_falling_where_it_underflows():
    logits = tf.constant([[0.0, 0.0, y] for y in (-39.0, -41.0, -2000.0)])
    found = log_factors(regression("softplus"), logits)[:, 2]
    np.testing.assert_allclose(found, [-39, -41, -2000], rtol=1e-12)


def test_a_probability_may_have_another_transform():
    spec = make_spec(transforms={"like": "clip(0, 0.5)"})
    found = np.exp(log_factors(spec, logits_of([0.2], [0.9], [0.3])))
    np.testing.assert_allclose(found, [[0.2, 1.5, 0.3]], rtol=1e-6)


def test_a_regression_before_a_probability_keeps_its_place():
    spec = make_spec(kinds=("regression", "binary", "regression"))
    logits = tf.constant([[3.0, 0.0, 1.0]])
    np.testing.assert_allclose(np.exp(log_factors(spec, logits)), [[4, 0.5, 2]])


@pytest.mark.parametrize("transform", ["", *map(_text, list(TRANSFORMS)[1:])])
def test_a_prediction_that_is_no_number_is_not_taken_for_one(transform):
    logits = tf.constant([[0.0, 0.0, 1.0], [0.0, 0.0, NAN], [0.0, 0.0, 2.0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at position 1[.]"):
        finite(fuse(regression(transform), logits))


def test_every_candidate_that_is_not_finite_is_named():
    spec = make_spec(LengthSpec(feature="seconds"))
    fused = fuse(spec, logits_of(*[[0.5] * 4] * 3), tf.constant([1.0, INF, NAN, INF]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="at position 1, 3[.]"):
        finite(fused)


def test_infinite_weights_are_refused_and_named():
    for weight in (INF, -INF):
        weights = tf.constant([weight, 0.0, NAN])
        with pytest.raises(tf.errors.InvalidArgumentError, match="Infinite ones: view"):
            fuse(make_spec(), logits_of([0.5], [0.5], [0.5]), weights=weights)


@pytest.mark.parametrize(
    ("transform", "scale", "length", "factor"),
    [
        ("log1p", 1.0, np.e - 1, 2.0**0.5),  # 1 + log(1 + e - 1) = 2
        ("log1p", 60.0, 60 * (np.e - 1), 2.0**0.5),
        ("sigmoid", 1.0, 0.0, 0.5**0.5),
        ("sigmoid", 60.0, 60.0, (1 / (1 + np.exp(-1))) ** 0.5),
        ("log1p", 1.0, NAN, 1.0),  # unknown: neither helps nor harms
        ("log1p", 1.0, 0.0, 1.0),
        ("log1p", 1.0, -5.0, 1.0),
    ],
)
def test_length_factor(transform, scale, length, factor):
    own = LengthSpec(feature="seconds", transform=transform, scale=scale, weight=0.5)
    lengths = tf.constant([length], tf.float32)
    found = fuse(make_spec(own), logits_of([0.5], [0.1], [0.25]), lengths)
    np.testing.assert_allclose(found.score, [factor], rtol=1e-6)  # 0.5^2 / 0.25 = 1


def test_one_length_serves_every_candidate():
    spec = make_spec(LengthSpec(feature="seconds", transform="sigmoid"))
    three = logits_of([0.5] * 3, [0.1] * 3, [0.25] * 3)
    score = fuse(spec, three, tf.constant([0.0])).score
    np.testing.assert_allclose(score, [0.5] * 3, rtol=1e-6)
