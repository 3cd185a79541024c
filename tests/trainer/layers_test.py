"""Batched layers do what one small layer a group would do."""

import numpy as np

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from trainer.layers import BatchedDense, BatchedMLP, Gates


def _set(layer, *weights):
    layer.set_weights([np.array(w) for w in weights])


class BatchedDenseTest(tf.test.TestCase):
    def test_groups_share_an_input_or_have_their_own(self):
        layer = BatchedDense(2, 1)
        layer.build(tf.TensorShape([None, 2]))
        _set(layer, [[[1.0], [2.0]], [[3.0], [4.0]]], [[0.5], [0.0]])
        shared = tf.constant([[1.0, 10.0]])
        own = tf.constant([[[1.0, 10.0], [2.0, 20.0]]])
        self.assertAllClose(layer(shared), [[[21.5], [43.0]]])
        self.assertAllClose(layer(own), [[[21.5], [86.0]]])

    def test_wide_groups_have_their_own_kernels(self):
        layer = BatchedDense(2, 2, use_bias=False)
        layer.build(tf.TensorShape([None, 2, 1]))
        _set(layer, [[[1.0, 2.0]], [[3.0, 4.0]]])
        found = layer(tf.constant([[[10.0], [100.0]]]))
        self.assertAllClose(found, [[[10.0, 20.0], [300.0, 400.0]]])

    def test_starts_in_glorots_range_of_one_group(self):
        layer = BatchedDense(3, 5)
        layer.build(tf.TensorShape([None, 19]))
        largest = np.abs(layer.kernel.numpy()).max()
        self.assertBetween(largest, 0.4, 0.5)  # sqrt(6 / (19 + 5)) = 0.5


class BatchedMLPTest(tf.test.TestCase):
    def test_layers_are_rectified(self):
        layer = BatchedMLP(1, [1])
        layer(tf.zeros([1, 1]))
        _set(layer, [[[-1.0]]], [[0.5]])
        self.assertAllClose(layer(tf.constant([[2.0], [-2.0]])), [[[0.0]], [[2.5]]])

    def test_without_layers_the_input_passes(self):
        self.assertAllClose(BatchedMLP(2, [])(tf.constant([[3.0]])), [[[3.0], [3.0]]])


class GatesTest(tf.test.TestCase):
    def test_each_tasks_weights_are_a_softmax(self):
        gates = Gates(2, 2)
        gates(tf.zeros([1, 1]))
        _set(gates, [[[0.0, np.log(3)]], [[0.0, 0.0]]])
        self.assertAllClose(gates(tf.ones([1, 1])), [[[0.25, 0.75], [0.5, 0.5]]])
