"""Bottoms without gates against PLE fig. 1 a-c, row by row."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from tests.trainer.model.switchers.equations import (
    NAMES,
    branch,
    built,
    by_row_and_group,
    gradients,
    mlp,
    mlp_size,
    outputs,
    rows,
    stack,
)
from trainer.model import switchers

GROUPS = pytest.mark.parametrize("groups", [1, 2])
UNITS = pytest.mark.parametrize("units", [(3,), (4, 3)])


# --- hard sharing ---------------------------------------------------------------------


@GROUPS
@UNITS
def test_shared_bottom_gives_every_output_the_same(groups, units):
    config = SwitcherConfig(kind="shared_bottom", units=units)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        return [mlp(stack(switcher.shared, group), row)] * 3

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    assert switcher.count_params() == groups * mlp_size(5, *units)


def test_shared_bottom_by_hand():
    switcher = built(SwitcherConfig(kind="shared_bottom", units=(2,)), width=1)
    switcher.set_weights([np.array([[[1.0, -1.0]]]), np.array([[0.0, 3.0]])])
    found = outputs(switcher, np.array([[[2.0]]]))
    np.testing.assert_allclose(found, [[[[2.0, 1.0]] * 3]])


def test_shared_bottom_without_layers_passes_the_input_on():
    switcher = built(SwitcherConfig(kind="shared_bottom", units=()))
    x = rows()
    expected = np.repeat(x[:, :, np.newaxis], 3, axis=2)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-6)


# --- customized sharing ---------------------------------------------------------------


@GROUPS
@UNITS
def test_customized_output_is_the_shared_bottom_then_its_own(groups, units):
    config = SwitcherConfig(kind="customized", units=units)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        shared = mlp(branch(switcher.bottoms, group, 0), row)
        own = [mlp(branch(switcher.bottoms, group, 1 + k), row) for k in range(3)]
        return [np.concatenate([shared, bottom]) for bottom in own]

    expected = by_row_and_group(x, network)
    assert expected.shape == (4, groups, 3, 6)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    assert switcher.count_params() == groups * (1 + 3) * mlp_size(5, *units)


def test_customized_own_bottom_has_no_gradient_from_another_outputs_loss():
    switcher = built(SwitcherConfig(kind="customized", units=(3,)))
    kernel = switcher.bottoms.first[0].kernel  # columns: shared, click, like, share
    (found,) = gradients(switcher, rows(), 1, [kernel])
    shared, click, like, share = np.split(found[0], 4, axis=1)
    assert np.any(shared) and np.any(like)
    assert not np.any(click) and not np.any(share)


# --- asymmetric sharing ---------------------------------------------------------------


def _bottoms(switcher, row, group):
    return [mlp(branch(switcher.bottoms, group, k), row) for k in range(3)]


@GROUPS
@UNITS
def test_asymmetric_output_reads_its_own_and_the_one_before(groups, units):
    config = SwitcherConfig(kind="asymmetric", units=units)
    switcher, x = built(config, groups=groups), rows(groups=groups)

    def network(row, group):
        click, like, share = _bottoms(switcher, row, group)
        pairs = [(click, np.zeros(3)), (like, click), (share, like)]
        return [np.concatenate(pair) for pair in pairs]

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)
    assert switcher.count_params() == groups * 3 * mlp_size(5, *units)


READS = {"click": ("share", "like"), "like": (), "share": ("click",)}


@pytest.mark.parametrize(
    ("fusion", "fused"),
    [
        (
            "concat",
            lambda a, b, c: [
                np.concatenate([a, c, b]),
                np.concatenate([b, 0 * b, 0 * b]),
                np.concatenate([c, a, 0 * a]),
            ],
        ),
        ("sum", lambda a, b, c: [a + c + b, b, c + a]),
        ("mean", lambda a, b, c: [(a + c + b) / 3, b, (c + a) / 2]),
    ],
)
def test_asymmetric_fusion_of_the_named_bottoms(fusion, fused):
    config = SwitcherConfig(kind="asymmetric", units=(3,), reads=READS, fusion=fusion)
    switcher, x = built(config), rows()
    expected = by_row_and_group(x, lambda row, g: fused(*_bottoms(switcher, row, g)))
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)


def test_asymmetric_output_that_reads_does_not_name_keeps_the_default():
    config = SwitcherConfig(kind="asymmetric", units=(3,), reads={"click": ("share",)})
    switcher, x = built(config), rows()

    def network(row, group):
        click, like, share = _bottoms(switcher, row, group)
        return [
            np.concatenate(p) for p in [(click, share), (like, click), (share, like)]
        ]

    expected = by_row_and_group(x, network)
    np.testing.assert_allclose(outputs(switcher, x), expected, atol=1e-5)


@pytest.mark.parametrize("fusion", ["concat", "sum", "mean"])
def test_asymmetric_bottom_has_gradients_only_from_outputs_that_read_it(fusion):
    config = SwitcherConfig(kind="asymmetric", units=(3,), reads=READS, fusion=fusion)
    switcher = built(config)
    kernel = switcher.bottoms.first[0].kernel
    (found,) = gradients(switcher, rows(), 2, [kernel])  # share reads share and click
    click, like, share = np.split(found[0], 3, axis=1)
    assert np.any(click) and np.any(share)
    assert not np.any(like)


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ({"clik": ()}, r"switcher\.reads\.clik: is not an output.*click, like, share"),
        (
            {"like": ("clik",)},
            r"switcher\.reads\.like: must name other outputs.*'clik'",
        ),
        (
            {"like": ("like",)},
            r"switcher\.reads\.like: must name other outputs.*'like'",
        ),
        ({"like": ("click", "click")}, r"switcher\.reads\.like: .* each once"),
    ],
)
def test_asymmetric_names_that_are_no_outputs_are_told(reads, message):
    config = SwitcherConfig(kind="asymmetric", reads=reads)
    with pytest.raises(ValueError, match=message):
        switchers.create(config, NAMES)


@pytest.mark.parametrize("kind", ["customized", "asymmetric"])
def test_bottoms_start_different(kind):
    config = SwitcherConfig(kind=kind, units=(8,))
    found = switchers.create(config, ("a", "b"))(tf.ones([1, 1, 5])).outputs[0, 0]
    assert not np.allclose(found[0], found[1])
