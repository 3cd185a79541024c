"""Batched layers do what one small layer a group would do."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.model.layers import (
    BatchedDense,
    BatchedMLP,
    BranchedMLP,
    Branches,
    Gates,
    ParallelMLP,
    by_group,
    grouped_product,
    mixed,
)


def _set(layer, *weights):
    layer.set_weights([np.array(w) for w in weights])


def _relu(x):
    return np.maximum(x, 0)


def _random(layer, x, seed=0):
    """The layer with random weights, called on x."""
    layer(x)
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer(x).numpy()


def _rows(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


class ProductsTest(tf.test.TestCase):
    def test_by_group_swaps_rows_and_groups(self):
        x = tf.constant([[[1.0], [2.0], [3.0]]])  # one row, three groups
        self.assertAllEqual(by_group(x), [[[1.0]], [[2.0]], [[3.0]]])
        self.assertAllEqual(by_group(by_group(x)), x)

    def test_every_group_has_its_own_matrix(self):
        x = tf.constant([[[1.0, 10.0], [2.0, 20.0]]])
        kernel = tf.constant([[[1.0], [2.0]], [[3.0], [4.0]]])
        self.assertAllClose(grouped_product(x, kernel), [[[21.0], [86.0]]])
        self.assertAllClose(grouped_product(x[:, :1], kernel[:1]), [[[21.0]]])

    def test_mixed_is_the_sum_weighted_by_the_gates(self):
        experts = tf.constant([[[[1.0, 2.0], [10.0, 20.0]]]])
        gates = tf.constant([[[[0.5, 0.5], [1.0, 0.0], [0.0, 0.1]]]])
        expected = [[[[5.5, 11.0], [1.0, 2.0], [1.0, 2.0]]]]
        self.assertAllClose(mixed(gates, experts), expected)

    @pytest.mark.usefixtures("bfloat16_products")
    def test_mixed_has_the_experts_type(self):
        experts = tf.ones([2, 1, 3, 4], tf.bfloat16)
        self.assertEqual(mixed(tf.ones([2, 1, 5, 3]), experts).dtype, tf.bfloat16)


class BatchedDenseTest(tf.test.TestCase):
    def test_groups_have_their_own_kernels_and_biases(self):
        layer = BatchedDense(2, 2)
        layer.build(tf.TensorShape([None, 2, 1]))
        _set(layer, [[[1.0, 2.0]], [[3.0, 4.0]]], [[0.5, 0.0], [0.0, 7.0]])
        found = layer(tf.constant([[[10.0], [100.0]]]))
        self.assertAllClose(found, [[[10.5, 20.0], [300.0, 407.0]]])

    def test_one_unit_is_a_dot_product(self):
        layer = BatchedDense(2, 1)
        layer.build(tf.TensorShape([None, 2, 2]))
        _set(layer, [[[1.0], [2.0]], [[3.0], [4.0]]], [[0.5], [0.0]])
        x = tf.constant([[[1.0, 10.0], [2.0, 20.0]]])
        self.assertAllClose(layer(x), [[[21.5], [86.0]]])

    def test_one_group_is_a_dense_layer(self):
        layer = BatchedDense(1, 2, activation="relu")
        layer.build(tf.TensorShape([None, 1, 2]))
        _set(layer, [[[1.0, -1.0], [2.0, -2.0]]], [[0.5, 0.0]])
        self.assertAllClose(layer(tf.constant([[[1.0, 10.0]]])), [[[21.5, 0.0]]])

    def test_group_major_takes_and_gives_the_groups_first(self):
        x = _rows(4, 3, 5)
        rows = _random(BatchedDense(3, 2), x)
        groups = _random(BatchedDense(3, 2, group_major=True), by_group(x))
        self.assertAllClose(by_group(groups), rows)

    def test_group_major_with_one_group_or_unit(self):
        for groups, units in [(1, 2), (3, 1)]:
            x = _rows(4, groups, 5)
            rows = _random(BatchedDense(groups, units), x)
            major = BatchedDense(groups, units, group_major=True)
            self.assertAllClose(by_group(_random(major, by_group(x))), rows)

    def test_zero_starts_at_the_bias(self):
        layer = BatchedDense(2, 3, zero=True)
        self.assertAllEqual(layer(tf.ones([1, 2, 5])), np.zeros([1, 2, 3]))

    def test_starts_in_glorots_range_of_one_group(self):
        layer = BatchedDense(3, 5)
        layer.build(tf.TensorShape([None, 3, 19]))
        largest = np.abs(layer.kernel.numpy()).max()
        self.assertBetween(largest, 0.4, 0.5)  # sqrt(6 / (19 + 5)) = 0.5


class BranchesTest(tf.test.TestCase):
    def test_branches_of_a_group_read_the_same_input(self):
        layer = Branches(1, 2, 2)
        layer.build(tf.TensorShape([None, 1, 1]))
        _set(layer, [[[1.0, 2.0, 3.0, 4.0]]], [[0.0, 0.5, 0.0, 0.0]])
        found = layer(tf.constant([[[10.0]], [[1.0]]]))
        self.assertAllClose(
            found, [[[[10.0, 20.5], [30.0, 40.0]]], [[[1.0, 2.5], [3.0, 4.0]]]]
        )

    def test_groups_have_their_own_branches(self):
        layer = Branches(2, 2, 1, use_bias=False)
        layer.build(tf.TensorShape([None, 2, 1]))
        _set(layer, [[[1.0, 2.0]], [[3.0, 4.0]]])
        found = layer(tf.constant([[[10.0], [100.0]]]))
        self.assertAllClose(found, [[[[10.0], [20.0]], [[300.0], [400.0]]]])

    def test_starts_in_glorots_range_of_one_branch(self):
        layer = Branches(2, 9, 5)
        layer.build(tf.TensorShape([None, 2, 19]))
        largest = np.abs(layer.kernel.numpy()).max()
        self.assertBetween(largest, 0.4, 0.5)  # sqrt(6 / (19 + 5)) = 0.5


class BatchedMLPTest(tf.test.TestCase):
    def test_layers_are_rectified(self):
        layer = BatchedMLP(1, [1])
        layer(tf.zeros([1, 1, 1]))
        _set(layer, [[[-1.0]]], [[0.5]])
        found = layer(tf.constant([[[2.0]], [[-2.0]]]))
        self.assertAllClose(found, [[[0.0]], [[2.5]]])

    def test_without_layers_the_input_passes(self):
        x = _rows(2, 3, 4)
        self.assertAllEqual(BatchedMLP(3, [])(x), x)
        self.assertAllEqual(BatchedMLP(3, [], group_major=True)(x), x)

    def test_each_group_is_a_stack_of_its_own(self):
        layer, x = BatchedMLP(3, [4, 2]), _rows(5, 3, 6)
        found = _random(layer, x)
        first, first_bias, second, second_bias = layer.get_weights()
        for row in range(5):
            for g in range(3):
                hidden = _relu(x[row, g] @ first[g] + first_bias[g])
                expected = _relu(hidden @ second[g] + second_bias[g])
                self.assertAllClose(found[row, g], expected, atol=1e-5)

    def test_group_major_takes_and_gives_the_groups_first(self):
        for groups in (1, 3):
            x = _rows(5, groups, 6)
            rows = _random(BatchedMLP(groups, [4, 2]), x)
            major = BatchedMLP(groups, [4, 2], group_major=True)
            self.assertAllClose(by_group(_random(major, by_group(x))), rows)

    def test_last_kernel_is_that_of_the_last_layer(self):
        layer = BatchedMLP(3, [4, 2])
        _random(layer, _rows(5, 3, 6))
        self.assertAllEqual(layer.last_kernel, layer.get_weights()[2])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("units", [(4,), (4, 2)])
def test_branched_mlp_is_a_stack_for_each_group_and_branch(groups, units):
    layer, x = BranchedMLP(groups, 3, units), _rows(5, groups, 6)
    found = _random(layer, x)
    first, first_bias, *others = layer.get_weights()
    for row, g, b in np.ndindex(5, groups, 3):
        columns = slice(b * 4, b * 4 + 4)
        y = _relu(x[row, g] @ first[g][:, columns] + first_bias[g][columns])
        if others:
            y = _relu(y @ others[0][g * 3 + b] + others[1][g * 3 + b])
        np.testing.assert_allclose(found[row, g, b], y, atol=1e-5)


def test_branched_mlp_without_layers_passes_each_groups_input_on():
    x = _rows(2, 2, 4)
    expected = np.stack([x] * 3, axis=2)
    np.testing.assert_array_equal(BranchedMLP(2, 3, ())(x), expected)


def test_branched_mlps_last_kernel_has_a_matrix_for_each_branch():
    one, two = BranchedMLP(2, 3, (4,)), BranchedMLP(2, 3, (4, 5))
    for layer in (one, two):
        _random(layer, _rows(1, 2, 6))
    kernel = one.get_weights()[0]  # [2, 6, 3 * 4]
    expected = [kernel[g][:, b * 4 : b * 4 + 4] for g in range(2) for b in range(3)]
    np.testing.assert_array_equal(one.last_kernel, expected)
    np.testing.assert_array_equal(two.last_kernel, two.get_weights()[2])


def test_parallel_mlp_gives_each_branch_an_input_of_its_own():
    layer, x = ParallelMLP(2, 3, (4, 2)), _rows(5, 2, 3, 6)
    found = _random(layer, x)
    first, first_bias, second, second_bias = layer.get_weights()
    for row, g, b in np.ndindex(5, 2, 3):
        n = g * 3 + b
        y = _relu(x[row, g, b] @ first[n] + first_bias[n])
        y = _relu(y @ second[n] + second_bias[n])
        np.testing.assert_allclose(found[row, g, b], y, atol=1e-5)


class GatesTest(tf.test.TestCase):
    def test_each_readers_weights_are_a_softmax(self):
        gates = Gates(1, 2, 2)
        gates(tf.zeros([1, 1, 1]))
        _set(gates, [[[0.0, np.log(3), 0.0, 0.0]]])
        found = gates(tf.ones([1, 1, 1]))
        self.assertAllClose(found, [[[[0.25, 0.75], [0.5, 0.5]]]])

    def test_groups_have_their_own_gates(self):
        gates = Gates(2, 1, 2)
        gates(tf.zeros([1, 2, 1]))
        _set(gates, [[[0.0, np.log(3)]], [[np.log(4), 0.0]]])
        found = gates(tf.ones([1, 2, 1]))
        self.assertAllClose(found, [[[[0.25, 0.75]], [[0.8, 0.2]]]])

    @pytest.mark.usefixtures("bfloat16_products")
    def test_are_float32_in_bfloat16_networks(self):
        gates = Gates(1, 2, 3, dtype=tf.keras.mixed_precision.Policy("mixed_bfloat16"))
        found = gates(tf.ones([4, 1, 5]))
        self.assertEqual(found.dtype, tf.float32)
        self.assertAllClose(tf.reduce_sum(found, axis=3), np.ones([4, 1, 2]))
