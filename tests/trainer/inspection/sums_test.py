"""Figures from small tensors, by hand and by NumPy's own functions."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from trainer.inspection.moments import Moments
from trainer.inspection.sums import NetworkSums
from trainer.model.structures import Leaf, PlacedGating, Structured
from trainer.model.switchers import Gating

_EXPERTS = ("expert 0", "expert 1")


@pytest.fixture
def look(spec):
    """`look(gates, experts, batches)`: what is seen, each batch with its weights."""

    def run(gatings, *batches):
        structure = SimpleNamespace(gatings=tuple(gatings))
        leaves = [Leaf(task.name) for task in spec.tasks]
        network = SimpleNamespace(name="network", structure=structure, leaves=leaves)
        sums, found = NetworkSums(spec, network), []
        for gates, experts, weight in batches:
            structured = Structured(None, tuple(experts), tuple(gates))
            batch = sums.of_batch(structured, {}, tf.constant(weight, tf.float32))
            found = found or [Moments() for _ in batch]
            for moments, parts in zip(found, batch, strict=True):
                moments.add(*(part.numpy() for part in parts))
        return sums.uses(found)

    return run


def _gating(*readers, experts=_EXPERTS, level=1, node=("",)):
    return PlacedGating(node, Gating(level, readers, (experts,) * len(readers)))


def _gates(*rows):
    """Rows of [Q, E] -> [B, 1, Q, E]."""
    return tf.constant(rows, tf.float32)[:, tf.newaxis]


def _columns(x):
    """[B, E, H] -> [B, 1, E, H]."""
    return tf.constant(x, tf.float32)[:, tf.newaxis]


def test_mean_standard_deviation_and_entropy_by_hand(look):
    first = _gates([[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]])
    second = _gates([[1.0, 0.0], [0.5, 0.5]], [[9.0, 9.0], [9.0, 9.0]])
    ((use,), _) = look(
        [_gating("a", "b")], ([first], [], [1, 1]), ([second], [], [1, 0])
    )
    # a weighs expert 0 with 0.2, 0.6, 1: mean 0.6, variance (0.16 + 0 + 0.16) / 3.
    sd = math.sqrt(0.32 / 3)
    np.testing.assert_allclose(use.mean, [[0.6, 0.4], [0.5, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(use.sd, [[sd, sd], [0, 0]], rtol=1e-6, atol=1e-9)
    entropies = [0.2 * math.log(5) + 0.8 * math.log(1.25), 0.6730117, 0.0]
    np.testing.assert_allclose(use.entropy, [sum(entropies) / 3, math.log(2)], 1e-6)
    np.testing.assert_allclose(use.entropy_share[1], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(use.rows, [3, 3])
    assert use.title == "level 1"


def test_one_expert_has_no_share_of_entropy(look):
    ((use,), _) = look([_gating("a", experts=("e",))], ([_gates([[1.0]])], [], [1]))
    assert use.entropy == [0.0]
    assert np.isnan(use.entropy_share).all()


def _rms(rho, left, right):
    return math.sqrt(np.mean(np.square(rho[left, right])))


def test_correlations_are_those_of_numpy_over_all_batches(look):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3, 4)) + 50
    x[:, 1, 2] += x[:, 0, 0]
    padded = np.concatenate([x[20:], np.full([3, 3, 4], 7.0)])
    gates = tf.ones([10, 1, 1, 3])
    names = tuple(f"expert {e}" for e in range(3))
    (_, (use,)) = look(
        [_gating("a", experts=names)],
        ([gates], [_columns(x[:10])], np.ones(10)),
        ([gates], [_columns(x[10:20])], np.ones(10)),
        ([tf.ones([13, 1, 1, 3])], [_columns(padded)], [1] * 10 + [0] * 3),
    )
    rho = np.corrcoef(x.astype(np.float32).reshape(30, 12).T)
    blocks = [slice(0, 4), slice(4, 8), slice(8, 12)]
    pairs = [_rms(rho, blocks[i], blocks[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    found = use.correlation[[0, 0, 1], [1, 2, 2]]
    np.testing.assert_allclose(found, pairs, rtol=1e-4)
    np.testing.assert_allclose(use.correlation, use.correlation.T)
    assert np.isnan(np.diag(use.correlation)).all()
    assert use.overlap == pytest.approx(np.mean(pairs), rel=1e-4)
    assert use.constant == use.unused == ()


def test_constant_outputs_have_no_correlation_and_are_told(look):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3, 2))
    x[:, 0] = 0.1  # dead; 0.1 is not exact in float32
    x[:, 1, 1] = 3.0
    (_, (use,)) = look([], ([], [_columns(x)], np.ones(12)))
    np.testing.assert_array_equal(use.moving, [0, 0.5, 1])
    assert use.constant == ("expert 0",)
    assert np.isnan(use.correlation[0]).all()
    rho = np.corrcoef(x[:, 1, 0], x[:, 2].T)[0, 1:]  # the column of 1 that moves
    expected = math.sqrt(np.mean(np.square(rho)))
    np.testing.assert_allclose(use.correlation[1, 2], expected, rtol=1e-5)


def test_an_expert_counts_as_used_if_one_of_its_gates_reads_it(look):
    names = ("a expert 0", "b expert 0", "shared expert 0", "shared expert 1")
    own = PlacedGating(
        ("",),
        Gating(1, ("a", "b"), ((names[0], *names[2:]), (names[1], *names[2:]))),
    )
    shared = _gating("shared", experts=names)
    tasks = _gates([[0.5, 0.49, 0.01], [0.01, 0.98, 0.01]])
    gate = _gates([[0.5, 0.01, 0.48, 0.01]])
    experts = _columns(np.random.default_rng(0).normal(size=(1, 4, 2)))
    (_, (use,)) = look([own, shared], ([tasks, gate], [experts], [1]))
    # In even shares of 1/3 and 1/4; the larger one of the gates that read it.
    np.testing.assert_allclose(use.largest_weight, [2, 0.04, 2.94, 0.04], rtol=1e-5)
    assert use.unused == ("b expert 0", "shared expert 1")


def test_nodes_of_one_tensor_are_apart(look):
    gates = tf.stack([_gates([[0.2, 0.8]])[:, 0], _gates([[1.0, 0.0]])[:, 0]], axis=1)
    (uses, _) = look([_gating("a", node=("x", "y"))], ([gates], [], [1]))
    assert [use.title for use in uses] == ["node x, level 1", "node y, level 1"]
    np.testing.assert_allclose([use.mean[0, 0] for use in uses], [0.2, 1.0])
