"""What holds for switchers of every kind."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from feature_specs.preset_kinds import SWITCHER_KINDS
from tests.trainer.model.switchers.equations import NAMES, built, rows
from trainer.model import switchers

KINDS = tuple(SWITCHER_KINDS)
GATED = ("moe", "mmoe", "ml_mmoe", "cgc", "ple")
DOUBLE = ("customized", "asymmetric")  # outputs as wide as two bottoms
SEED = (3, 4)

every_kind = pytest.mark.parametrize("kind", KINDS)


def _config(kind):
    return SwitcherConfig(kind=kind, units=(6, 4), experts=3, levels=2, penalty=0.1)


def _call(switcher, x, training=True):
    return switcher(tf.cast(x, tf.float32), training=training, seed=tf.constant(SEED))


@every_kind
@pytest.mark.parametrize("groups", [1, 3])
def test_outputs_have_a_row_for_each_name(kind, groups):
    found = _call(built(_config(kind), groups=groups), rows(7, groups))
    width = 8 if kind in DOUBLE else 4
    assert found.outputs.shape == (7, groups, 3, width)
    assert found.outputs.dtype == tf.float32


@every_kind
@pytest.mark.parametrize("units", [(4,), (6, 4)])
def test_one_output_is_enough(kind, units):
    config = SwitcherConfig(kind=kind, units=units, experts=2, penalty=0.1)
    found = _call(built(config, names=("click",)), rows(7))
    width = 8 if kind == "customized" else 4  # asymmetric: its own bottom only
    assert found.outputs.shape == (7, 1, 1, width)
    assert np.all(np.isfinite(found.outputs))


@every_kind
def test_groups_are_separate_networks(kind):
    """With the other group's input changed, a group's outputs stay as they were."""
    switcher, x = built(_config(kind), groups=2), rows(groups=2)
    changed = x.copy()
    changed[:, 1] += 1
    before, after = _call(switcher, x).outputs, _call(switcher, changed).outputs
    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert not np.allclose(before[:, 1], after[:, 1])


@every_kind
@pytest.mark.parametrize("groups", [1, 2])
def test_gatings_and_experts_match_their_tensors(kind, groups):
    switcher = built(_config(kind), groups=groups)
    found = _call(switcher, rows(7, groups))
    assert bool(found.gates) == (kind in GATED)
    assert bool(found.experts) == (kind in (*GATED, "snr"))
    for gating, gates in zip(switcher.gatings, found.gates, strict=True):
        assert all(len(e) == gates.shape[3] for e in gating.experts)
        assert len(gating.experts) == len(gating.readers)
        assert gates.shape == (7, groups, len(gating.readers), gates.shape[3])
        np.testing.assert_allclose(tf.reduce_sum(gates, axis=3), 1, atol=1e-6)
        assert np.all(gates.numpy() >= 0)
    for experts, before in zip(found.experts, found.preactivations, strict=True):
        assert experts.shape == (7, groups, experts.shape[2], 4)
        np.testing.assert_array_equal(experts, np.maximum(before, 0))
        assert np.any(before < 0)


@every_kind
@pytest.mark.parametrize("groups", [1, 2])
def test_compiled_by_xla_it_gives_the_same(kind, groups):
    switcher, x = built(_config(kind), groups=groups), rows(7, groups)
    variables = switcher.trainable_variables

    def step(x):
        with tf.GradientTape() as tape:
            found = _call(switcher, x)
            loss = tf.reduce_mean(tf.square(found.outputs)) + found.penalty
        return found, tape.gradient(loss, variables)

    x = tf.constant(x, tf.float32)
    plain = tf.nest.flatten(tf.function(step, autograph=False)(x))
    compiled = tf.nest.flatten(tf.function(step, jit_compile=True, autograph=False)(x))
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@every_kind
def test_every_weight_learns(kind):
    switcher, x = built(_config(kind)), tf.constant(rows(64), tf.float32)
    with tf.GradientTape() as tape:
        found = switcher(x)
        loss = tf.reduce_mean(tf.square(found.outputs)) + found.penalty
    for gradient in tape.gradient(loss, switcher.trainable_variables):
        assert np.any(gradient)
        assert np.all(np.isfinite(gradient))


@pytest.mark.usefixtures("bfloat16_products")
@every_kind
def test_bfloat16_outputs_float32_variables_gates_and_penalty(kind):
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    switcher = switchers.create(_config(kind), NAMES, groups=2, dtype=policy)
    found = _call(switcher, rows(7, 2))
    assert found.outputs.dtype == tf.bfloat16
    assert all(v.dtype == tf.float32 for v in switcher.variables)
    assert all(g.dtype == tf.float32 for g in found.gates)
    assert all(e.dtype == tf.bfloat16 for e in found.experts)
    assert tf.convert_to_tensor(found.penalty).dtype == tf.float32


@pytest.mark.usefixtures("bfloat16_products")
@every_kind
def test_bfloat16_is_near_float32(kind):
    switcher, x = built(_config(kind)), rows(7)
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    half = switchers.create(_config(kind), NAMES, dtype=policy)
    half(tf.zeros([1, 1, 5]))
    half.set_weights(switcher.get_weights())
    exact, found = _call(switcher, x).outputs, _call(half, x).outputs
    scale = np.abs(exact).max()
    np.testing.assert_allclose(found.numpy().astype(float), exact, atol=0.05 * scale)


@every_kind
def test_more_outputs_are_no_more_operations(kind):
    """Outputs are batched: the graph of nine is the graph of three."""

    def operations(count):
        switcher = built(_config(kind), names=[f"task {k}" for k in range(count)])
        step = tf.function(lambda x: _call(switcher, x).outputs, autograph=False)
        graph = step.get_concrete_function(tf.TensorSpec([None, 1, 5])).graph
        return len(graph.get_operations())

    assert operations(9) == operations(3)
