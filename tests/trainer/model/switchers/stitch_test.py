"""Cross-stitch and sluice networks against their equations, row by row."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from tests.trainer.model.switchers.equations import (
    branch,
    built,
    by_row_and_group,
    mlp,
    mlp_size,
    outputs,
    rows,
    stack,
)
from trainer.model import switchers

GROUPS = pytest.mark.parametrize("groups", [1, 2])
UNITS = pytest.mark.parametrize("units", [(4,), (3, 4)])
K = 3


def _layers(switcher, level, group, task):
    """Kernels and biases of one task's layers in one level."""
    if level == 0:
        return branch(switcher.first, group, task)
    return stack(switcher.others[level - 1], group * K + task)


def _levels(switcher, row, group, parts):
    """What each level hands on for each task, mixed part by part."""
    handed, levels = [row] * K, []
    for level in range(switcher.config.levels):
        h = [mlp(_layers(switcher, level, group, k), handed[k]) for k in range(K)]
        cut = [part for task in h for part in np.split(task, parts)]
        alpha = switcher.alpha.numpy()[level, group]
        mixes = [sum(a * c for a, c in zip(row, cut, strict=True)) for row in alpha]
        handed = [np.concatenate(mixes[k * parts : (k + 1) * parts]) for k in range(K)]
        levels.append(handed)
    return levels


# --- cross-stitch ---------------------------------------------------------------------


@GROUPS
@UNITS
@pytest.mark.parametrize("levels", [1, 3])
def test_cross_stitch_mixes_the_tasks_layers_after_each_level(groups, units, levels):
    config = SwitcherConfig(kind="cross_stitch", units=units, levels=levels)
    switcher, x = built(config, groups=groups), rows(groups=groups)
    expected = by_row_and_group(x, lambda row, g: _levels(switcher, row, g, 1)[-1])
    np.testing.assert_allclose(outputs(switcher, x), expected, rtol=1e-4, atol=1e-4)
    layers = K * (mlp_size(5, *units) + (levels - 1) * mlp_size(4, *units))
    assert switcher.count_params() == groups * (layers + levels * K * K)


def test_cross_stitch_starts_near_separate_networks():
    config = SwitcherConfig(kind="cross_stitch", units=(4,), levels=2, stitch=0.9)
    switcher = switchers.create(config, ("a", "b", "c"), groups=2)
    switcher(tf.zeros([1, 2, 5]))
    expected = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    found = switcher.alpha.numpy()
    assert found.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-7)


def test_one_output_has_nothing_to_stitch():
    switcher = switchers.create(SwitcherConfig(kind="cross_stitch"), ("a",))
    switcher(tf.zeros([1, 1, 5]))
    np.testing.assert_array_equal(switcher.alpha, np.ones([2, 1, 1, 1]))


# --- sluice ---------------------------------------------------------------------------


@GROUPS
@UNITS
@pytest.mark.parametrize("parts", [1, 2])
def test_sluice_mixes_parts_and_adds_up_the_levels(groups, units, parts):
    config = SwitcherConfig(kind="sluice", units=units, levels=3, subspaces=parts)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        levels = _levels(switcher, row, group, parts)
        beta = switcher.beta.numpy().reshape(3, groups, K)[:, group]
        return [sum(beta[i, k] * levels[i][k] for i in range(3)) for k in range(K)]

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, rtol=1e-4, atol=1e-4)
    layers = K * (mlp_size(5, *units) + 2 * mlp_size(4, *units))
    alphas, betas = 3 * (K * parts) ** 2, 3 * K
    assert switcher.count_params() == groups * (layers + alphas + betas)


def test_sluice_starts_with_even_levels_and_parts_of_their_own():
    config = SwitcherConfig(kind="sluice", units=(4,), levels=4, stitch=0.7)
    switcher = switchers.create(config, ("a", "b"))
    switcher(tf.zeros([1, 1, 5]))
    np.testing.assert_allclose(switcher.beta.numpy().ravel(), [0.25] * 8)
    expected = np.full([4, 4], 0.1) + 0.6 * np.eye(4)  # 0.7 and 0.3 / 3
    np.testing.assert_allclose(switcher.alpha[2, 0], expected, atol=1e-7)


@GROUPS
@UNITS
@pytest.mark.parametrize("parts", [2, 4])
def test_sluice_penalty_is_the_overlap_of_the_parts_of_each_last_layer(
    groups, units, parts
):
    config = SwitcherConfig(
        kind="sluice", units=units, levels=2, subspaces=parts, penalty=0.1
    )
    switcher = built(config, groups=groups)
    expected = 0.0
    for level in range(2):
        for network in range(groups * K):
            layers = _layers(switcher, level, *divmod(network, K))
            columns = np.split(layers[-1][0], parts, axis=1)
            for s in range(parts):
                for other in range(s + 1, parts):
                    product = columns[s].T @ columns[other]
                    expected += 0.1 * np.sum(product**2)
    found = switcher(tf.zeros([2, groups, 5])).penalty
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_sluice_penalty_of_orthogonal_parts_is_zero():
    config = SwitcherConfig(kind="sluice", units=(4,), levels=1, penalty=1.0)
    switcher = built(config, names=("a",), width=4)
    switcher.first.first[0].kernel.assign(np.eye(4)[np.newaxis])
    assert switcher(tf.zeros([1, 1, 4])).penalty == 0.0


@pytest.mark.parametrize(
    ("parts", "penalty"), [(2, 0.0), (1, 1.0)], ids=["no weight", "no pair"]
)
def test_sluice_without_a_penalty_has_none(parts, penalty):
    config = SwitcherConfig(kind="sluice", subspaces=parts, penalty=penalty)
    assert built(config)(tf.zeros([1, 1, 5])).penalty == 0.0
