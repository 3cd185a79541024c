"""Picking networks of equal shape out of a row, and putting them back."""

import numpy as np
import tensorflow as tf

from trainer.model.structures.bundles import bundles, put_back, take

_X = np.arange(2 * 5 * 3).reshape(2, 5, 3).astype(np.float32)


def test_equal_shapes_are_one_bundle():
    assert bundles([(64,), (32,), (64,), ()]) == ((0, 2), (1,), (3,))


class TakeTest(tf.test.TestCase):
    def test_takes_the_positions_in_the_order_asked_for(self):
        found = take(tf.constant(_X), [3, 0, 1, 3])
        self.assertAllEqual(found, _X[:, [3, 0, 1, 3]])

    def test_all_positions_are_the_tensor_itself(self):
        x = tf.constant(_X)
        self.assertIs(take(x, range(5)), x)

    def test_the_gradient_counts_what_is_taken_twice(self):
        x = tf.constant(_X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(take(x, [3, 0, 3]))
        counts = np.array([1, 0, 0, 2, 0], np.float32)
        expected = np.tile(counts[:, None], [2, 1, 3])
        self.assertAllEqual(tape.gradient(total, x), expected)


class PutBackTest(tf.test.TestCase):
    def test_undoes_take(self):
        places = [[1, 4], [3], [2, 0]]
        parts = [take(tf.constant(_X), own) for own in places]
        self.assertAllEqual(put_back(parts, places), _X)
