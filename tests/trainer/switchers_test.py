"""Switchers against the papers' equations, evaluated row by row in NumPy."""

import numpy as np
import pytest

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer import switchers


def _relu(x):
    return np.maximum(x, 0)


def _softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


class MultiGateMixtureTest(tf.test.TestCase):
    def test_equals_the_papers_equations(self):
        rng = np.random.default_rng(0)
        shapes = [(2, 5, 4), (2, 4), (2, 4, 3), (2, 3), (3, 5, 2)]
        weights = [rng.normal(size=shape) for shape in shapes]
        x = rng.normal(size=(6, 5)).astype(np.float32)
        config = SwitcherConfig(kind="mmoe", units=(4, 3), experts=2)
        switcher = switchers.create(config, tasks=3)
        switcher(x)
        switcher.set_weights(weights)
        found = switcher(x)
        expected = np.zeros([6, 3, 3])
        first, first_bias, second, second_bias, gates = weights
        for row in range(6):
            experts = [
                _relu(_relu(x[row] @ first[e] + first_bias[e]) @ second[e] + bias)
                for e, bias in enumerate(second_bias)
            ]
            self.assertAllClose(found.expert_outputs[row], experts, atol=1e-5)
            for task in range(3):
                mix = _softmax(x[row] @ gates[task])
                expected[row, task] = mix[0] * experts[0] + mix[1] * experts[1]
        self.assertAllClose(found.outputs, expected, atol=1e-5)

    def test_experts_start_different(self):
        config = SwitcherConfig(kind="mmoe", units=(4,), experts=2)
        experts = switchers.create(config, tasks=1)(tf.ones([1, 5])).expert_outputs
        self.assertNotAllClose(experts[0, 0], experts[0, 1])


class SharedBottomTest(tf.test.TestCase):
    def test_every_task_gets_the_same_output(self):
        config = SwitcherConfig(kind="shared_bottom", units=(2,))
        switcher = switchers.create(config, tasks=3)
        switcher(tf.zeros([1, 1]))
        switcher.set_weights([np.array([[[1.0, -1.0]]]), np.array([[0.0, 3.0]])])
        found = switcher(tf.constant([[2.0]]))
        self.assertAllClose(found.outputs, [[[2.0, 1.0]] * 3])
        self.assertIsNone(found.expert_outputs)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("mmoe", 4 * (5 * 4 + 4) + 3 * 5 * 4),  # experts with bias, gates without
        ("shared_bottom", 5 * 4 + 4),
    ],
)
def test_parameter_count_is_the_closed_formula(kind, count):
    config = SwitcherConfig(kind=kind, units=(4,), experts=4)
    switcher = switchers.create(config, tasks=3)
    switcher(tf.zeros([1, 5]))
    assert switcher.count_params() == count
