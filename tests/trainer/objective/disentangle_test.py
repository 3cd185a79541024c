"""The disentangle loss against NumPy's correlations (SFV sec. 5.1)."""

import numpy as np
import tensorflow as tf

from trainer.objective.disentangle import all_pairs, disentangle_loss


def _reference(experts: np.ndarray) -> float:
    """Mean over i < j of the sum of corrcoef's block (i, j), squared, over its width."""
    rows, count, width = experts.shape
    rho = np.corrcoef(experts.reshape(rows, count * width).astype(np.float64).T)
    blocks = rho.reshape(count, width, count, width)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    return np.mean([np.square(blocks[i, :, j]).sum() / width for i, j in pairs])


def _loss(experts: np.ndarray, weight=None) -> float:
    weight = np.ones(len(experts)) if weight is None else weight
    experts = _float(experts)[:, tf.newaxis]  # one group
    pairs = all_pairs(1, experts.shape[2])
    return float(disentangle_loss(experts, _float(weight), pairs))


def _float(value) -> tf.Tensor:
    return tf.constant(value, tf.float32)


def _experts(rows: int = 40, seed: int = 0) -> np.ndarray:
    mixed = np.random.default_rng(seed).normal(size=(rows, 12))
    mixed[:, 5] += mixed[:, 0]  # expert 1 repeats a column of expert 0
    return mixed.reshape(rows, 3, 4)


class DisentangleLossTest(tf.test.TestCase):
    def test_equals_the_mean_of_squared_correlations_by_unit(self):
        experts = _experts()
        self.assertAllClose(_loss(experts), _reference(experts), rtol=1e-5)

    def test_two_equal_experts_of_one_column_give_one(self):
        column = np.array([1.0, 2.0, 4.0])
        self.assertAllClose(_loss(np.stack([column, column], 1)[..., None]), 1.0)

    def test_experts_that_span_the_same_give_one_whatever_their_width(self):
        signs = np.array(
            [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
        )  # orthogonal
        for width in (2, 3):
            one = signs[:, :width].astype(float)
            turn, _ = np.linalg.qr(np.arange(1.0, width**2 + 1).reshape(width, -1))
            other = one @ turn
            self.assertAllClose(_loss(np.stack([one, other], 1)), 1.0, rtol=1e-5)

    def test_only_the_pairs_asked_for_are_kept_apart(self):
        one, other = _experts(seed=0), _experts(seed=1)
        both = tf.stack([_float(one), _float(other)], axis=1)  # [B, 2, E, H]
        pairs = all_pairs(2, 3)
        pairs[0, 2] = pairs[0, :, 2] = 0  # of the first, experts 0 and 1
        expected = (_reference(one[:, :2]) + 3 * _reference(other)) / 4
        self.assertAllClose(
            disentangle_loss(both, tf.ones([40]), pairs), expected, rtol=1e-5
        )

    def test_a_single_expert_has_nothing_to_be_kept_apart_from(self):
        self.assertEqual(_loss(_experts()[:, :1]), 0.0)

    def test_is_zero_for_orthogonal_columns(self):
        left, right = [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]
        experts = np.array([left, right]).T[..., None]
        self.assertAllClose(_loss(experts), 0.0)

    def test_columns_of_one_expert_may_correlate(self):
        column = np.array([1.0, 2.0, 4.0])
        self.assertAllClose(_loss(np.stack([column, column], 1)[:, None]), 0.0)

    def test_scale_and_shift_change_nothing(self):
        experts = _experts()
        moved = experts * np.array([10.0, 0.1, -3.0])[:, None] + 5.0
        self.assertAllClose(_loss(moved), _loss(experts), rtol=1e-4)

    def test_constant_columns_count_for_nothing_and_stay_finite(self):
        experts = _experts()
        experts[:, 2] = 0.1  # a dead expert; 0.1 is not exact in float32
        value, gradient = self._value_and_gradient(experts)
        # One pair of three moves.
        self.assertAllClose(value, _reference(experts[:, :2]) / 3, rtol=1e-5)
        self.assertTrue(np.isfinite(gradient).all())
        self.assertAllEqual(gradient[:, 2], np.zeros([40, 4]))

    def test_rows_of_weight_zero_change_nothing(self):
        experts = _experts()
        padded = np.concatenate([experts, 9 * np.ones([7, 3, 4])])
        weight = np.r_[np.ones(40), np.zeros(7)]
        self.assertAllClose(_loss(padded, weight), _loss(experts), rtol=1e-5)

    def test_gradient_equals_finite_differences(self):
        experts = _experts(rows=8)
        _, gradient = self._value_and_gradient(experts)
        for position in [(0, 0, 0), (3, 1, 1), (7, 2, 3)]:
            step = np.zeros_like(experts)
            step[position] = 1e-5
            up, down = _reference(experts + step), _reference(experts - step)
            self.assertAllClose(gradient[position], (up - down) / 2e-5, rtol=1e-3)

    def _value_and_gradient(self, experts):
        x = _float(experts)[:, tf.newaxis]  # one group
        with tf.GradientTape() as tape:
            tape.watch(x)
            pairs = all_pairs(1, experts.shape[1])
            value = disentangle_loss(x, tf.ones([len(experts)]), pairs)
        return value, tape.gradient(value, x).numpy()[:, 0]

    def test_groups_are_apart_and_count_alike(self):
        one, other = _experts(seed=0), _experts(seed=1)
        both = tf.stack([_float(one), _float(other)], axis=1)  # [B, 2, E, H]
        self.assertAllClose(
            disentangle_loss(both, tf.ones([40]), all_pairs(2, 3)),
            (_reference(one) + _reference(other)) / 2,
            rtol=1e-5,
        )
