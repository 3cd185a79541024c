"""ESMM's product and AITM's transfer against their equations in NumPy, float64."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import ChainConfig
from trainer.model import chains
from trainer.model.structures import Leaf

_LEAVES = [Leaf(name) for name in ("skip", "buy", "view", "click", "like")]
_ESMM = ChainConfig(kind="esmm", tasks=("view", "click", "buy"))
_AITM = ChainConfig(kind="aitm", tasks=("skip", "like"), calibrator=0.5)


def _sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def _logit(p, not_p):
    return np.log(p) - np.log(not_p)


# --- ESMM -----------------------------------------------------------------------------


def test_esmm_multiplies_probabilities_along_the_chain():
    logits = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32) * 3
    placed = chains.place([_ESMM, _AITM], _LEAVES)
    found = chains.product_logits(tf.constant(logits), placed).numpy()
    own = _sigmoid(logits)
    view, click = own[:, 2], own[:, 2] * own[:, 3]
    buy = click * own[:, 1]
    np.testing.assert_array_equal(found[:, [0, 2, 4]], logits[:, [0, 2, 4]])
    np.testing.assert_allclose(_sigmoid(found[:, 2]), view, rtol=1e-5)
    np.testing.assert_allclose(_sigmoid(found[:, 3]), click, rtol=1e-5)
    np.testing.assert_allclose(_sigmoid(found[:, 1]), buy, rtol=1e-5)


@pytest.mark.parametrize("a", [-80.0, -1.0, 0.0, 80.0])
@pytest.mark.parametrize("b", [-80.0, 2.0, 80.0])
def test_esmm_is_exact_and_smooth_where_probabilities_are_extreme(a, b):
    chain = [ChainConfig(kind="esmm", tasks=("skip", "buy"))]
    placed = chains.place(chain, _LEAVES)
    logits = tf.constant([[a, b, 0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        product = chains.product_logits(logits, placed)[0, 1]
    p, q = _sigmoid(a), _sigmoid(b)
    not_p, not_q = _sigmoid(-a), _sigmoid(-b)
    not_both = not_p + p * not_q
    np.testing.assert_allclose(product, _logit(p * q, not_both), rtol=1e-5)
    # d logit(pq) / da = (1 - p) / (1 - pq)
    gradient = tape.gradient(product, logits)[0, :2]
    np.testing.assert_allclose(
        gradient, [not_p / not_both, not_q / (not_q + q * not_p)], atol=1e-5
    )


def test_conditional_means_multiply_back_to_the_means():
    means = {"skip": 0.3, "view": 0.8, "click": 0.2, "buy": 0.05, "like": 0.4}
    found = chains.conditional_means([_ESMM, _AITM], means)
    assert found["click"] == pytest.approx(0.25)  # 0.2 / 0.8
    assert found["buy"] == pytest.approx(0.25)  # 0.05 / 0.2
    unchanged = ("skip", "view", "like")
    assert {t: found[t] for t in unchanged} == {t: means[t] for t in unchanged}


def test_conditional_means_of_labels_that_break_the_chain_stay_probabilities():
    means = {"view": 0.0, "click": 0.1, "buy": 0.2}
    assert chains.conditional_means([_ESMM], means) == {
        "view": 0.0,
        "click": 0.0,
        "buy": 1.0,
    }


# --- AITM -----------------------------------------------------------------------------


def _transfer(dtype="float32"):
    policy = tf.keras.mixed_precision.Policy(dtype)
    layer = chains.Transfer(dtype=policy)
    layer(tf.zeros([1, 3, 4]))
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return layer


def test_transfer_equals_the_papers_equations():
    layer = _transfer()
    q = np.random.default_rng(2).normal(size=(5, 3, 4)).astype(np.float32)
    found = layer(tf.constant(q))
    for row in range(5):
        z = [q[row, 0]]
        for t in (1, 2):
            kernel, bias = (w.numpy()[0] for w in layer.information[t - 1].weights)
            h = layer.attention[t - 1].kernel.numpy()[0]
            h1, h2, h3 = h[:, :4], h[:, 4:8], h[:, 8:]
            both = [np.maximum(z[-1] @ kernel + bias, 0), q[row, t]]
            scores = [np.sum((u @ h2) * (u @ h3)) / 2 for u in both]  # sqrt(4) = 2
            powers = np.exp(np.array(scores) - max(scores))
            weights = powers / powers.sum()
            z.append(sum(w * (u @ h1) for w, u in zip(weights, both, strict=True)))
        np.testing.assert_allclose(found[row], z, rtol=1e-3, atol=1e-4)


def test_transfer_has_a_dense_layer_and_three_kernels_a_step():
    assert _transfer().count_params() == 2 * (4 * 4 + 4 + 3 * 4 * 4)


@pytest.mark.usefixtures("bfloat16_products")
def test_transfer_in_bfloat16_is_close():
    q = np.random.default_rng(2).normal(size=(5, 3, 4)).astype(np.float32)
    expected = _transfer()(tf.constant(q))
    found = _transfer("mixed_bfloat16")(tf.constant(q, tf.bfloat16))
    assert found.dtype == tf.bfloat16
    scale = np.abs(expected).max()
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.05 * scale)


def test_the_calibrator_counts_what_is_likelier_than_the_task_before():
    three = ChainConfig(kind="aitm", tasks=("buy", "view", "click"), calibrator=2.0)
    placed = chains.place([_AITM, three], _LEAVES)
    logits = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    weight = np.array([1, 1, 0, 1], np.float32)
    p = _sigmoid(logits)
    expected = 0.0
    for row in (0, 1, 3):
        skip, buy, view, click, like = p[row]
        steps = max(view - buy, 0) + max(click - view, 0)
        expected += (0.5 * max(like - skip, 0) + 2.0 * steps) / 3
    found = chains.calibrator_loss(tf.constant(logits), placed, tf.constant(weight))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_calibrator_is_0_without_chains_or_rows():
    logits, ones = tf.ones([2, 5]), tf.ones([2])
    esmm, aitm = (chains.place([c], _LEAVES) for c in (_ESMM, _AITM))
    assert chains.calibrator_loss(logits, (), ones) == 0
    assert chains.calibrator_loss(logits, esmm, ones) == 0
    rising = tf.constant([[0.0, 0.0, 0.0, 0.0, 9.0]] * 2)
    assert chains.calibrator_loss(rising, aitm, ones) > 0
    assert chains.calibrator_loss(rising, aitm, tf.zeros([2])) == 0


def test_chains_compile_with_xla():
    placed = chains.place([_ESMM, _AITM], _LEAVES)
    logits = tf.constant(np.random.default_rng(4).normal(size=(3, 5)), tf.float32)

    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = chains.product_logits(logits, placed)
            loss = chains.calibrator_loss(found, placed, tf.ones([3]))
            total = loss + tf.reduce_sum(found)
        return found, loss, tape.gradient(total, logits)

    compiled = tf.function(step, jit_compile=True, autograph=False)(logits)
    for one, other in zip(step(logits), compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# --- where chains may be --------------------------------------------------------------


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (
            [ChainConfig(kind="esmm", tasks=("skip", "bye"))],
            r"chains\[0\].tasks: must be tasks .*'bye'. Known: skip, buy, view",
        ),
        (
            [_ESMM, ChainConfig(kind="aitm", tasks=("skip", "click"))],
            r"chains\[1\].tasks: may be in one place .*'click' twice",
        ),
        (
            [ChainConfig(kind="esmm", tasks=("skip", "skip"))],
            r"chains\[0\].tasks: may be in one place .*'skip' twice",
        ),
        (
            [ChainConfig(kind="esmm", tasks=("skip",))],
            r"chains\[0\].tasks: must be two tasks at least. Got \['skip'\]",
        ),
    ],
)
def test_a_chain_that_cannot_be_is_told(configs, message):
    with pytest.raises(ValueError, match=message):
        chains.place(configs, _LEAVES)


def test_a_split_task_cannot_be_chained():
    leaves = [Leaf("view"), Leaf("buy", (("group", "new"),))]
    chain = ChainConfig(kind="esmm", tasks=("view", "buy"))
    with pytest.raises(ValueError, match="no facet splits.*'buy'"):
        chains.place([chain], leaves)
