"""MoE, MMoE and ML-MMoE against their equations, row by row."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from tests.trainer.model.switchers.equations import (
    NAMES,
    branch,
    built,
    by_row_and_group,
    gate,
    mlp,
    mlp_size,
    outputs,
    parallel,
    rows,
    softmax,
)
from trainer.model import switchers
from trainer.model.switchers import Gating

GROUPS = pytest.mark.parametrize("groups", [1, 2])
UNITS = pytest.mark.parametrize("units", [(3,), (4, 3)])
LABELS = ("expert 0", "expert 1")


def _mix(weights, experts):
    return sum(w * e for w, e in zip(weights, experts, strict=True))


@GROUPS
@UNITS
def test_mmoe_output_is_its_gates_mix_of_all_experts(groups, units):
    config = SwitcherConfig(kind="mmoe", units=units, experts=2)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def experts(row, group):
        return [mlp(branch(switcher.experts, group, e), row) for e in range(2)]

    def gates(row, group):
        return [softmax(row @ gate(switcher.gates, group, k)) for k in range(3)]

    def network(row, group):
        return [_mix(w, experts(row, group)) for w in gates(row, group)]

    found = switcher(tf.constant(x, tf.float32))
    np.testing.assert_allclose(found.outputs, by_row_and_group(x, network), atol=1e-5)
    np.testing.assert_allclose(
        found.experts[0], by_row_and_group(x, experts), atol=1e-5
    )
    np.testing.assert_allclose(found.gates[0], by_row_and_group(x, gates), atol=1e-5)
    # Experts with biases, gates without.
    size = 2 * mlp_size(5, *units) + 3 * 5 * 2
    assert switcher.count_params() == groups * size


@GROUPS
@UNITS
def test_moe_has_one_gate_for_all_outputs(groups, units):
    config = SwitcherConfig(kind="moe", units=units, experts=2)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        experts = [mlp(branch(switcher.experts, group, e), row) for e in range(2)]
        return [_mix(softmax(row @ gate(switcher.gate, group, 0)), experts)] * 3

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    assert switcher.count_params() == groups * (2 * mlp_size(5, *units) + 5 * 2)


@GROUPS
@UNITS
def test_ml_mmoe_experts_read_their_own_mix_of_the_experts_below(groups, units):
    config = SwitcherConfig(kind="ml_mmoe", units=units, experts=2, levels=3)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        # Readers of the one gate matrix: experts of level 2, of level 3, the outputs.
        weights = [softmax(row @ gate(switcher.gates, group, r)) for r in range(7)]
        low = [mlp(branch(switcher.first, group, e), row) for e in range(2)]
        for level, above in enumerate(switcher.others):
            read = [_mix(weights[2 * level + e], low) for e in range(2)]
            low = [mlp(parallel(above, group, e), read[e]) for e in range(2)]
        return [_mix(weights[4 + k], low) for k in range(3)]

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    experts = 2 * mlp_size(5, *units) + 2 * 2 * mlp_size(3, *units)
    gates = (2 + 2 + 3) * 5 * 2
    assert switcher.count_params() == groups * (experts + gates)


def test_ml_mmoe_with_one_level_is_mmoe():
    one = built(SwitcherConfig(kind="ml_mmoe", units=(3,), experts=2, levels=1))
    mmoe = built(SwitcherConfig(kind="mmoe", units=(3,), experts=2))
    np.testing.assert_array_equal(outputs(one, rows()), outputs(mmoe, rows()))


def test_gatings_name_the_readers_and_the_experts():
    def gatings(kind):
        config = SwitcherConfig(kind=kind, units=(3,), experts=2)
        return switchers.create(config, NAMES).gatings

    above = ("level 2 expert 0", "level 2 expert 1")
    assert gatings("mmoe") == (Gating(1, NAMES, (LABELS,) * 3),)
    assert gatings("moe") == (Gating(1, ("shared",), (LABELS,)),)
    assert gatings("ml_mmoe") == (
        Gating(1, above, (LABELS,) * 2),
        Gating(2, NAMES, (LABELS,) * 3),
    )


@pytest.mark.parametrize("kind", ["moe", "mmoe", "ml_mmoe"])
def test_experts_start_different(kind):
    # So many units that not all of both experts start below zero, where ReLU hides them.
    config = SwitcherConfig(kind=kind, units=(32,), experts=2)
    for level in switchers.create(config, ("a",))(tf.ones([1, 1, 5])).experts:
        assert not np.allclose(level[0, 0, 0], level[0, 0, 1])
