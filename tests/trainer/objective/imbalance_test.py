"""What bends the odds, and how it is taken back: by hand and by brute force."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.objective.imbalance import (
    class_weights,
    log_sampling,
    negative_rates,
    sampled_masks,
    samples_rows,
    steered_rate,
    told_few,
    trained_mean,
    unweighted_logits,
)
from trainer.objective.losses import task_losses

CLICK = TaskSpec(name="click", kind="binary", label="x")
WATCH = TaskSpec(name="watch", kind="regression", label="x", loss_weight=3.0)
LIKE = TaskSpec(name="like", kind="binary", label="x", loss="focal")
SHARE = TaskSpec(
    name="share",
    kind="binary",
    label="x",
    loss="class_balanced",
    class_balance_beta=0.9,
)
RARE = TaskSpec(name="rare", kind="binary", label="x", negative_rate=0.25)
OFTEN = TaskSpec(name="often", kind="binary", label="x", positive_rate=3.0)
HALF = TaskSpec(name="half", kind="binary", label="x", balance=0.5)
HATE = TaskSpec(name="hate", kind="binary", label="x", positive_weight=50.0)
ALL = [CLICK, WATCH, LIKE, SHARE, RARE, OFTEN, HALF, HATE]
EVEN = [[1.0, 1.0]]


def _logit(mean):
    return math.log(mean / (1 - mean))


def _rates(*tasks, means=None):
    return negative_rates(tasks, means or [0.5] * len(tasks))


def _by_hand(beta, positives, negatives):
    """Cui et al.: w_y = (1 - beta) / (1 - beta^n_y), then scaled to the sum 2."""
    w1, w0 = ((1 - beta) / (1 - beta**n) for n in (positives, negatives))
    return 2 * w1 / (w0 + w1), 2 * w0 / (w0 + w1)


class ClassWeightsTest(tf.test.TestCase):
    def test_follow_the_effective_number_of_rows(self):
        w1, w0 = _by_hand(0.9, 3, 9)
        found = class_weights([CLICK, SHARE], [3, 3], [9, 9])
        self.assertAllClose(found, [[1, 1], [w0, w1]])
        self.assertAllClose(found.sum(axis=1), [2, 2])

    def test_beta_0_weighs_both_alike(self):
        plain = dataclasses.replace(SHARE, class_balance_beta=0.0)
        self.assertAllClose(class_weights([plain], [1], [1e6]), [[1, 1]])

    def test_many_rows_of_both_labels_weigh_alike(self):
        self.assertAllClose(class_weights([SHARE], [1e6], [1e8]), [[1, 1]])

    def test_a_label_never_seen_counts_as_seen_once(self):
        never, once = (class_weights([SHARE], [n], [50]) for n in (0, 1))
        self.assertAllEqual(never, once)
        self.assertTrue(np.isfinite(never).all())


@pytest.mark.parametrize(
    ("auc", "share"), [(0.5, 0.4), (0.3, 0.4), (0.75, 0.2), (0.9, 0.08), (1.0, 0.01)]
)
def test_what_is_ordered_badly_sees_its_positives_most(auc, share):
    task = dataclasses.replace(HALF, balance=0.4, balance_by_auc=True)
    rate = steered_rate(task, 0.01, auc)
    assert 0.01 / (0.01 + 0.99 * rate) == pytest.approx(share)


@pytest.mark.parametrize(
    ("mean", "rows", "is_told"),
    [(0.01, 4000, True), (0.01, 6000, False), (0.6, 10, False)],
)
def test_a_balance_of_few_positives_is_told(mean, rows, is_told):
    tasks = [HALF, HATE, WATCH]
    names = [task.name for task in tasks]
    found = told_few(tasks, dict.fromkeys(names, mean), dict.fromkeys(names, rows))
    assert len(found) == is_told
    assert all("'half': balance 0.5 trains it on some 80 of" in told for told in found)


@pytest.mark.stochastic
def test_a_share_of_the_negatives_stays(any_seed):
    rows, ones, seed = tf.zeros([8000, 1]), tf.ones([8000, 1]), [3, any_seed]
    found = sampled_masks([RARE], rows, ones, _rates(RARE), tf.constant(seed)).numpy()
    assert set(np.unique(found)) == {0.0, 1.0}
    # five standard deviations of a mean of 8000 draws
    assert abs(found.mean() - 0.25) < 5 * math.sqrt(0.1875 / 8000)


class SamplingTest(tf.test.TestCase):
    def _sampled(self, tasks, labels, masks, seed=(3, 0)):
        masks = tf.constant(masks, tf.float32)
        labels = tf.constant(labels, tf.float32)
        return sampled_masks(
            tasks, labels, masks, _rates(*tasks), tf.constant(seed)
        ).numpy()

    def test_positives_and_other_tasks_stay_whole(self):
        tasks = [RARE, CLICK, WATCH]
        labels = np.tile([[1.0, 0.0, 0.0]], [500, 1])
        self.assertAllEqual(
            self._sampled(tasks, labels, np.ones([500, 3])), np.ones([500, 3])
        )

    def test_rows_outside_stay_outside(self):
        found = self._sampled([RARE], np.ones([500, 1]), np.zeros([500, 1]))
        self.assertAllEqual(found, np.zeros([500, 1]))

    def test_each_step_draws_anew_and_each_column_its_own(self):
        rows, ones = np.zeros([500, 2]), np.ones([500, 2])
        first = self._sampled([RARE, RARE], rows, ones, seed=(3, 0))
        self.assertAllEqual(first, self._sampled([RARE, RARE], rows, ones, (3, 0)))
        self.assertNotAllEqual(first, self._sampled([RARE, RARE], rows, ones, (3, 1)))
        self.assertNotAllEqual(first[:, 0], first[:, 1])

    def test_without_a_rate_nothing_is_drawn(self):
        masks = tf.ones([4, 2])
        self.assertFalse(samples_rows([CLICK, WATCH]))
        self.assertIs(sampled_masks([CLICK, WATCH], None, masks, None, None), masks)

    def test_each_kind_of_sampling_is_known(self):
        for task in (RARE, OFTEN, HALF):
            self.assertTrue(samples_rows([CLICK, task]))

    def test_the_logit_that_fits_what_is_left_is_that_of_all_rows(self):
        # 2 positives and 8 negatives, of which 2 are left: the best logit for all ten
        # is log(2 / 8), and there the corrected loss is flat.
        logit = tf.fill([10, 1], math.log(2 / 8))
        labels = tf.constant([[1.0]] * 2 + [[0.0]] * 8)
        left = tf.constant([[1.0]] * 4 + [[0.0]] * 6)
        with tf.GradientTape() as tape:
            tape.watch(logit)
            found = task_losses(
                [RARE], logit, labels, left, sampling=log_sampling([RARE], _rates(RARE))
            )
        self.assertAllClose(tf.reduce_sum(tape.gradient(found, logit)), 0.0)
        self.assertAllClose(found, [math.log(2)])  # 2 and 2: p = 1/2

    def test_judging_needs_no_correction(self):
        column = [[math.log(3)]], [[0.0]], [[1.0]]
        self.assertAllClose(
            task_losses([RARE], *map(tf.constant, column)), [math.log(4)]
        )

    def test_a_positive_counts_as_so_many_rows(self):
        labels = [[1.0], [0.0], [1.0]]
        found = self._sampled([OFTEN], labels, [[1], [1], [0]])
        self.assertAllEqual(found, [[3], [1], [0]])
        # Of 3 + 1 rows with logit 0 each loses log 2; plain, the positive is one of two.
        logits = tf.constant([[0.0], [math.log(3)]])
        rows = [tf.constant(v, tf.float32) for v in (labels[:2], found[:2])]
        self.assertAllClose(
            task_losses([OFTEN], logits, *rows), [(3 * math.log(2) + math.log(4)) / 4]
        )

    def test_balance_keeps_the_negatives_that_make_the_share(self):
        # 1 in 5 is positive: a quarter of the negatives makes halves, a twelfth makes
        # 3 in 4; 0.6 is more than a half already.
        three = dataclasses.replace(HALF, balance=0.75)
        found = _rates(HALF, three, HALF, RARE, means=[0.2, 0.2, 0.6, 0.2])
        self.assertAllClose(found, [1 / 4, 1 / 12, 1, 0.25])

    def test_the_log_of_the_odds_rises_by_both_rates(self):
        found = log_sampling([RARE, OFTEN, CLICK], _rates(RARE, OFTEN, CLICK))
        self.assertAllClose(found, [math.log(4), math.log(3), 0])


def _best_constant(task, mean, weights, raised):
    """The logit with the least expected loss, by the losses' formulas in float64.

    Of all rows `mean` is positive; the sample has odds exp(raised) times as high.
    """
    odds = mean / (1 - mean) * math.exp(raised)
    of_positive = odds / (1 + odds)

    def expected(z):
        z += raised
        log_p, log_not = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        gamma = task.focal_gamma if task.loss == "focal" else 0
        positive = -np.exp(gamma * log_not) * log_p * weights[1] * task.positive_weight
        negative = -np.exp(gamma * log_p) * log_not * weights[0]
        return of_positive * positive + (1 - of_positive) * negative

    options = {"xatol": 1e-9}
    found = scipy.optimize.minimize_scalar(
        expected, bounds=(-30, 30), method="bounded", options=options
    )
    return found.x


BENDING = [
    CLICK,
    LIKE,
    dataclasses.replace(LIKE, focal_gamma=0.5),
    dataclasses.replace(LIKE, focal_gamma=5.0),
    SHARE,
    RARE,
    OFTEN,
    HALF,
    HATE,
    dataclasses.replace(HATE, loss="focal"),
    dataclasses.replace(LIKE, negative_rate=0.1),
    dataclasses.replace(HATE, loss="focal", balance=0.3),
    dataclasses.replace(SHARE, positive_rate=7.0, positive_weight=0.2),
]


@pytest.mark.parametrize("mean", [1e-4, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("task", BENDING)
def test_what_is_served_is_the_probability_of_all_rows(task, mean):
    """And a network that begins there has nothing to unlearn."""
    weights = [0.4, 1.6] if task.loss == "class_balanced" else [1.0, 1.0]
    raised = float(log_sampling([task], negative_rates([task], [mean]))[0])
    best = _best_constant(task, mean, weights, raised)
    served = unweighted_logits(
        [task], tf.constant([[best]], tf.float32), tf.constant([weights]), [raised]
    )
    assert float(served[0, 0]) == pytest.approx(_logit(mean), abs=2e-3)
    begins = trained_mean(task, mean, weights=weights, sampling=raised)
    assert _logit(begins) == pytest.approx(best, abs=2e-3)


@pytest.mark.parametrize("task", BENDING)
def test_what_is_taken_back_keeps_the_order_and_is_finite(task):
    trained = np.array([-1e4, -90, -30, -5, -0.1, 0, 0.1, 5, 30, 90, 1e4], np.float32)
    weights = tf.constant([[0.4, 1.6]])
    served = unweighted_logits([task], tf.constant(trained[:, None]), weights, [0.7])
    assert np.isfinite(served).all()
    assert (np.diff(served[:, 0]) > 0).all()


def test_columns_are_taken_back_each_in_its_own_way():
    logits = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    weights = tf.constant([[1.0, 1.0], [0.5, 1.5], [1.0, 1.0], [1.0, 1.0]])
    tasks = [CLICK, SHARE, HATE, WATCH]
    found = unweighted_logits(tasks, logits, weights, [0.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(
        found, [[1.0, 2.0 - math.log(3), 3.0 - math.log(50), 4.0]], rtol=1e-6
    )


def test_what_bends_nothing_is_left_as_it_is():
    logits = tf.constant([[1.0, 2.0, 3.0]])
    tasks = [WATCH, RARE, HALF]  # loss_weight, negative_rate, balance
    assert unweighted_logits(tasks, logits, tf.ones([3, 2]), [0.0, 1.4, 2.0]) is logits
    for task, mean in zip(tasks, (7.5, 0.2, 0.2), strict=True):
        assert trained_mean(task, mean, weights=EVEN[0], sampling=1.4) == mean
