"""CGC and PLE against PLE eq. 2-7, row by row."""

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
    gradients,
    mlp,
    mlp_size,
    outputs,
    rows,
    softmax,
)
from trainer.model import switchers
from trainer.model.switchers import Gating

GROUPS = pytest.mark.parametrize("groups", [1, 2])
UNITS = pytest.mark.parametrize("units", [(3,), (4, 3)])
K, M, S = 3, 2, 2  # tasks, experts of each, shared experts


def _config(kind, units=(3,), levels=2):
    return SwitcherConfig(
        kind=kind, units=units, levels=levels, task_experts=M, experts=S
    )


def _mix(weights, experts):
    assert len(weights) == len(experts)
    return sum(w * e for w, e in zip(weights, experts, strict=True))


def _first_level(level, row, group):
    """Own experts by task, shared ones, task gates and shared gate, all of x."""
    experts = [mlp(branch(level.experts, group, e), row) for e in range(K * M + S)]
    own = [experts[k * M : (k + 1) * M] for k in range(K)]
    gates = [softmax(row @ gate(level.gates, group, k)) for k in range(K)]
    shared_gate = level.shared_gate and softmax(row @ gate(level.shared_gate, group, 0))
    return own, experts[K * M :], gates, shared_gate


def _higher_level(level, fused, shared, group):
    """The same where task k reads fused[k] and the shared experts `shared`."""
    networks = [group * K + k for k in range(K)]
    own = [
        [mlp(branch(level.own, n, e), fused[k]) for e in range(M)]
        for k, n in enumerate(networks)
    ]
    gates = [
        softmax(fused[k] @ gate(level.gates, n, 0)) for k, n in enumerate(networks)
    ]
    shared_gate = level.shared_gate and softmax(
        shared @ gate(level.shared_gate, group, 0)
    )
    experts = [mlp(branch(level.shared, group, e), shared) for e in range(S)]
    return own, experts, gates, shared_gate


def _ple(switcher, row, group):
    """Outputs, and all experts and gates of each level in the order of `Switched`."""
    levels, gatings = [], []
    fused, shared_fused = None, None
    for index, level in enumerate(switcher.networks):
        if index == 0:
            own, shared, gates, shared_gate = _first_level(level, row, group)
        else:
            own, shared, gates, shared_gate = _higher_level(
                level, fused, shared_fused, group
            )
        everything = [e for experts in own for e in experts] + shared
        fused = [_mix(gates[k], own[k] + shared) for k in range(K)]
        levels.append(everything)
        gatings.append(gates)
        if shared_gate is not None:
            shared_fused = _mix(shared_gate, everything)
            gatings.append([shared_gate])
    return fused, levels, gatings


@GROUPS
@UNITS
def test_cgc_gate_mixes_own_experts_then_shared_ones(groups, units):
    switcher, x = built(_config("cgc", units), groups=groups), rows(groups=groups)
    (level,) = switcher.networks

    def network(row, group):
        own, shared, gates, _ = _first_level(level, row, group)
        return [_mix(gates[k], own[k] + shared) for k in range(K)]

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    size = (K * M + S) * mlp_size(5, *units) + K * 5 * (M + S)
    assert switcher.count_params() == groups * size


@GROUPS
@UNITS
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ple_levels_read_the_fused_outputs_below(groups, units, levels):
    config = _config("ple", units, levels)
    switcher, x = built(config, groups=groups), rows(groups=groups)
    found = switcher(tf.constant(x, tf.float32))
    expected = by_row_and_group(x, lambda row, g: _ple(switcher, row, g)[0])
    np.testing.assert_allclose(found.outputs, expected, atol=1e-5)
    for i in range(levels):
        expected = by_row_and_group(x, lambda row, g, i=i: _ple(switcher, row, g)[1][i])
        np.testing.assert_allclose(found.experts[i], expected, atol=1e-5)
    for i in range(2 * levels - 1):
        expected = by_row_and_group(x, lambda row, g, i=i: _ple(switcher, row, g)[2][i])
        np.testing.assert_allclose(found.gates[i], expected, atol=1e-5)


@pytest.mark.parametrize(("levels", "groups"), [(1, 1), (2, 1), (3, 2)])
def test_ple_parameter_count_is_the_closed_formula(levels, groups):
    experts = K * M + S
    first = experts * mlp_size(5, 4, 3) + K * 5 * (M + S)  # experts and task gates
    higher = experts * mlp_size(3, 4, 3) + K * 3 * (M + S)
    shared_gates = (levels > 1) * 5 * experts + max(levels - 2, 0) * 3 * experts
    size = first + (levels - 1) * higher + shared_gates
    switcher = built(_config("ple", (4, 3), levels), groups=groups)
    assert switcher.count_params() == groups * size


def test_cgc_is_ple_with_one_level():
    cgc, ple = built(_config("cgc", levels=4)), built(_config("ple", levels=1))
    np.testing.assert_array_equal(outputs(cgc, rows()), outputs(ple, rows()))


def test_cgc_experts_of_a_task_have_no_gradient_from_another_tasks_loss():
    switcher = built(_config("cgc", (4, 3)))
    experts = switcher.networks[0].experts
    (second,) = experts.others.stack
    found = gradients(
        switcher, rows(), 1, [experts.first[0].kernel, second.kernel, second.bias]
    )
    by_expert = np.split(found[0][0], K * M + S, axis=1)
    for e in range(K * M + S):
        belongs = e in (2, 3) or e >= K * M  # of task 1, or shared
        for found_here in (by_expert[e], found[1][e], found[2][e]):
            assert np.any(found_here) == belongs


def test_ple_experts_of_the_last_level_are_as_separate_as_in_cgc():
    switcher = built(_config("ple"))
    level = switcher.networks[-1]
    own, shared, gates = gradients(
        switcher,
        rows(),
        1,
        [
            level.own.first[0].kernel,
            level.shared.first[0].kernel,
            level.gates.scores.kernel,
        ],
    )
    for task in range(K):
        assert np.any(own[task]) == (task == 1)
        assert np.any(gates[task]) == (task == 1)
    assert np.any(shared)


def test_ple_experts_of_lower_levels_learn_from_all_tasks():
    switcher = built(_config("ple"))
    kernel = switcher.networks[0].experts.first[0].kernel
    (found,) = gradients(switcher, rows(16), 1, [kernel])
    assert all(np.any(part) for part in np.split(found[0], K * M + S, axis=1))


def test_gatings_name_own_experts_then_shared_ones():
    gatings = switchers.create(_config("ple"), ("click", "like")).gatings
    click = ("click expert 0", "click expert 1")
    like = ("like expert 0", "like expert 1")
    shared = ("shared expert 0", "shared expert 1")
    by_task = (click + shared, like + shared)
    assert gatings == (
        Gating(1, ("click", "like"), by_task),
        Gating(1, ("shared",), (click + like + shared,)),
        Gating(2, ("click", "like"), by_task),
    )
    assert switchers.create(_config("cgc"), NAMES).gatings[0].readers == NAMES
