"""Towers of equal and of different shapes, evaluated leaf by leaf in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import ChainConfig, ModelConfig, TowerConfig
from trainer.model.structures import Leaf
from trainer.model.towers import Towers

_WIDTH = 6
_LEAVES = (
    Leaf("click"),
    Leaf("skip", (("group", "new"),)),
    Leaf("skip", (("group", "old"),)),
    Leaf("like"),
    Leaf("buy"),
)
_BIASES = [0.5, -1.0, -2.0, 3.0, 0.0]
_TOWERS = {
    "skip": TowerConfig(units=(3, 4)),
    "like": TowerConfig(inputs=("age",)),
    "buy": TowerConfig(units=()),
}


def _create(config, dtype="float32", own=None):
    policy = tf.keras.mixed_precision.Policy(dtype)
    towers = Towers(_LEAVES, config, _BIASES, dtype=policy)
    towers(tf.zeros([1, len(_LEAVES), _WIDTH]), _first_row(own or {}))
    rng = np.random.default_rng(0)
    for variable in towers.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return towers


def _first_row(own):
    return {task: x[:1] for task, x in own.items()}


def _x(rows=3, width=_WIDTH, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, len(_LEAVES), width)).astype(np.float32)


def _weights(towers, leaf):
    """[(kernel, bias), ...] and the head's kernel of one leaf."""
    for places, stack, head in zip(
        towers.places, towers.stacks, towers.heads, strict=True
    ):
        if leaf in places:
            group = places.index(leaf)
            layers = [
                (d.kernel.numpy()[group], d.bias.numpy()[group]) for d in stack.stack
            ]
            return layers, head.kernel.numpy()[group, :, 0]
    raise AssertionError(leaf)


def _hidden(towers, leaf, x):
    for kernel, bias in _weights(towers, leaf)[0]:
        x = np.maximum(x @ kernel + bias, 0)
    return x


def _logit(towers, leaf, x):
    head = _weights(towers, leaf)[1]
    return _hidden(towers, leaf, x) @ head + towers.bias.numpy()[leaf]


def test_untrained_logits_are_the_biases():
    towers = Towers(_LEAVES, ModelConfig(towers=_TOWERS), _BIASES)
    found = towers(tf.constant(_x()), {"like": tf.ones([3, 2])})
    np.testing.assert_array_equal(found, np.tile(np.float32(_BIASES), [3, 1]))


def test_each_leaf_has_a_tower_of_its_own_widths_and_inputs():
    click = TowerConfig(inputs=("hour",))
    own = {"like": _x(width=2, seed=2)[:, 0], "click": _x(width=2, seed=3)[:, 0]}
    config = ModelConfig(tower=(5,), towers=_TOWERS | {"click": click})
    towers, x = _create(config, own=own), _x()
    found = towers(tf.constant(x), {t: tf.constant(i) for t, i in own.items()})
    widths = [[k.shape for k, _ in _weights(towers, i)[0]] for i in range(5)]
    assert widths == [[(8, 5)], [(6, 3), (3, 4)], [(6, 3), (3, 4)], [(8, 5)], []]
    for row in range(3):
        for leaf, task in enumerate(towers.tasks):
            extra = own[task][row] if task in own else []
            expected = _logit(towers, leaf, np.concatenate([x[row, leaf], extra]))
            np.testing.assert_allclose(found[row, leaf], expected, rtol=1e-4, atol=1e-5)


def test_a_split_tasks_leaves_read_the_same_own_inputs():
    own = {"skip": _x(width=2, seed=2)[:, 0]}
    config = ModelConfig(tower=(5,), towers={"skip": TowerConfig(inputs=("age",))})
    towers, x = _create(config, own=own), _x()
    found = towers(tf.constant(x), {"skip": tf.constant(own["skip"])})
    for leaf in (1, 2):
        inputs = np.concatenate([x[0, leaf], own["skip"][0]])
        np.testing.assert_allclose(
            found[0, leaf], _logit(towers, leaf, inputs), rtol=1e-4
        )


def test_towers_of_one_shape_are_one_bundle():
    config = ModelConfig(towers={"like": TowerConfig(units=(32,))})  # the default's
    assert _create(config).places == ((0, 1, 2, 3, 4),)
    config = ModelConfig(towers={"click": TowerConfig(inputs=("a",))} | _TOWERS)
    own = {"click": _x(width=2)[:, 0], "like": _x(width=2)[:, 0]}
    assert _create(config, own=own).places == ((0, 3), (1, 2), (4,))
    own = {"click": _x(width=3)[:, 0], "like": _x(width=2)[:, 0]}
    assert _create(config, own=own).places == ((0,), (1, 2), (3,), (4,))


def test_parameters_are_those_of_separate_towers():
    own = {"like": np.zeros([1, 2], np.float32)}
    towers = _create(ModelConfig(tower=(5,), towers=_TOWERS), own=own)
    click, skip = 6 * 5 + 5 + 5, 6 * 3 + 3 + 3 * 4 + 4 + 4
    like, buy = 8 * 5 + 5 + 5, 6
    assert towers.count_params() == click + 2 * skip + like + buy + 5


@pytest.mark.parametrize("units", [(5,), (4, 5), ()])
def test_aitms_transfer_lies_between_the_last_layer_and_the_head(units):
    """click -> like, of which `like` has a tower of its own shape."""
    chain = ChainConfig(kind="aitm", tasks=("click", "like"))
    like = TowerConfig(units=units or None)
    config = ModelConfig(
        tower=(5,) if units else (), towers={"like": like}, chains=(chain,)
    )
    towers, x = _create(config), _x()
    found = towers(tf.constant(x))
    (transfer,) = towers.transfers
    info = [w.numpy()[0] for w in transfer.information[0].weights]
    h1, h2, h3 = np.split(transfer.attention[0].kernel.numpy()[0], 3, axis=1)
    for row in range(3):
        click = _hidden(towers, 0, x[row, 0])
        q = _hidden(towers, 3, x[row, 3])
        p = np.maximum(click @ info[0] + info[1], 0)
        scores = [(u @ h2) @ (u @ h3) / np.sqrt(len(u)) for u in (p, q)]
        powers = np.exp(scores - np.max(scores))
        w = powers / powers.sum()
        z = w[0] * (p @ h1) + w[1] * (q @ h1)
        like = z @ _weights(towers, 3)[1] + towers.bias.numpy()[3]
        np.testing.assert_allclose(found[row, 3], like, rtol=1e-3, atol=1e-4)
        for leaf in (0, 1, 2, 4):
            expected = _logit(towers, leaf, x[row, leaf])
            np.testing.assert_allclose(found[row, leaf], expected, rtol=1e-4, atol=1e-5)


def test_a_chain_needs_towers_that_end_equally_wide():
    chain = ChainConfig(kind="aitm", tasks=("click", "like"))
    config = ModelConfig(
        tower=(5,), towers={"like": TowerConfig(units=(4,))}, chains=(chain,)
    )
    message = r"chains\[0\].tasks: .*{'click': 5, 'like': 4}.*towers.<task>.units"
    with pytest.raises(ValueError, match=message):
        _create(config)


def test_a_chain_may_not_name_split_tasks():
    chain = ChainConfig(kind="aitm", tasks=("click", "skip"))
    with pytest.raises(ValueError, match=r"chains\[0\].tasks: .*no facet splits.*skip"):
        _create(ModelConfig(chains=(chain,)))


def test_xla_gives_the_same_logits_and_gradients():
    chain = ChainConfig(kind="aitm", tasks=("like", "click"))
    own = {"like": _x(width=2, seed=2)[:, 0]}
    config = ModelConfig(tower=(5,), towers=_TOWERS, chains=(chain,))
    towers = _create(config, own=own)
    x, own = tf.constant(_x()), {"like": tf.constant(own["like"])}

    def step(x):
        with tf.GradientTape() as tape:
            logits = towers(x, own)
            total = tf.reduce_sum(tf.square(logits))
        return logits, tape.gradient(total, towers.trainable_variables)

    plain = tf.nest.flatten(step(x))
    compiled = tf.function(step, jit_compile=True, autograph=False)(x)
    for one, other in zip(plain, tf.nest.flatten(compiled), strict=True):
        scale = np.abs(one).max()
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.usefixtures("bfloat16_products")
def test_bfloat16_towers_give_float32_logits():
    chain = ChainConfig(kind="aitm", tasks=("click", "like"))
    config = ModelConfig(tower=(5,), chains=(chain,))
    x = tf.constant(_x())
    expected = _create(config)(x)
    found = _create(config, dtype="mixed_bfloat16")(tf.cast(x, tf.bfloat16))
    assert found.dtype == tf.float32
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=0.05 * scale)


def test_the_number_of_rows_may_be_unknown():
    chain = ChainConfig(kind="aitm", tasks=("click", "like"))
    towers = _create(ModelConfig(chains=(chain,)))
    signature = [tf.TensorSpec([None, 5, _WIDTH], tf.float32)]
    run = tf.function(towers, input_signature=signature, autograph=False)
    x = tf.constant(_x())
    np.testing.assert_allclose(run(x), towers(x), rtol=1e-4, atol=1e-5)
