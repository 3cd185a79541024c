"""DIN's attention against the same sums by hand."""

import numpy as np
import tensorflow as tf

from trainer.model.attention import Attention


class AttentionTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(0)
        self.steps = rng.normal(size=(2, 3, 4)).astype(np.float32)
        self.target = rng.normal(size=(2, 4)).astype(np.float32)
        self.layer = Attention()
        self.layer(self.steps, tf.ones([2, 3], tf.bool), self.target)
        self.weights = [rng.normal(size=w.shape) for w in self.layer.get_weights()]
        self.layer.set_weights(self.weights)

    def _expected(self, row: int, steps: range) -> np.ndarray:
        first, first_bias, second, second_bias = self.weights
        total = np.zeros(4)
        for step in steps:
            e, v = self.steps[row, step], self.target[row]
            hidden = np.maximum(np.r_[e, v, e - v, e * v] @ first + first_bias, 0)
            total += (hidden @ second + second_bias) * e
        return total

    def test_equals_the_weighted_sum_of_the_steps(self):
        found = self.layer(self.steps, tf.ones([2, 3], tf.bool), self.target)
        expected = [self._expected(row, range(3)) for row in range(2)]
        self.assertAllClose(found, expected, rtol=1e-4, atol=1e-4)

    def test_padding_counts_for_nothing_and_no_step_gives_zeros(self):
        valid = tf.constant([[True, True, False], [False, False, False]])
        found = self.layer(self.steps, valid, self.target)
        self.assertAllClose(
            found, [self._expected(0, range(2)), np.zeros(4)], rtol=1e-4, atol=1e-4
        )
