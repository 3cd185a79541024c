"""The loss of the order inside a request: by hand, against NumPy, on two replicas."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import TaskSpec
from trainer.objective.losses import task_losses
from trainer.objective.pairs import WINDOW, pair_losses

CLICK = TaskSpec(name="click", kind="binary", label="x")


def _column(values):
    return tf.constant(values, tf.float32)[:, None]


def _losses(logits, labels, masks, requests):
    columns = (_column(v) for v in (logits, labels, masks))
    return pair_losses(*columns, tf.constant(requests, tf.int32))


def test_pairs_of_one_request_and_different_labels_by_hand():
    """Of request 7: 2 over 0, and 2 over 1; the row of 9 is alone, 0 is no request."""
    found = _losses(
        [2, 0, 1, 5, -3, 4], [1, 0, 0, 1, 0, 1], [1] * 6, [7, 7, 7, 9, 0, 0]
    )
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))) / 2
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_a_pair_counts_as_often_as_its_rows():
    """The third row is left out; the first counts thrice, as often as up-sampled."""
    found = _losses([2, 0, 1, -1], [1, 0, 0, 1], [3, 1, 0, 1], [7] * 4)
    pairs = 3 * math.log1p(math.exp(-2)) + math.log1p(math.exp(1))
    np.testing.assert_allclose(found, [pairs / 4], rtol=1e-6)


def test_without_a_pair_loss_and_slope_are_0():
    logits = tf.Variable(_column([1.0, 2.0, 3.0]))
    with tf.GradientTape() as tape:
        labels, masks = _column([1, 1, 0]), _column([1, 1, 1])
        loss = pair_losses(logits, labels, masks, tf.constant([4, 4, 5]))
    assert float(loss[0]) == 0
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros([3, 1]))


def _drawn(rows, seed):
    """Two tasks; requests of 1 to 6 rows, which lie together, some of none."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, rows)
    numbers = np.arange(1, rows + 1) * (rng.random(rows) < 0.9)
    requests = np.repeat(numbers, sizes)[:rows]
    logits = rng.normal(size=(rows, 2)) * 2
    labels = rng.random((rows, 2)) < 0.3
    masks = rng.random((rows, 2)) < 0.8
    return logits, labels.astype(float), masks * rng.uniform(1, 3, 2), requests


def _in_numpy(logits, labels, masks, requests):
    """One pair after the other; [columns]."""
    total, count = np.zeros(2), np.zeros(2)
    rows = range(len(logits))
    for i, j in ((i, j) for i in rows for j in rows):
        if not requests[i] or requests[i] != requests[j]:
            continue
        for column in (k for k in (0, 1) if labels[i, k] > labels[j, k]):
            weight = masks[i, column] * masks[j, column]
            apart = logits[i, column] - logits[j, column]
            total[column] += weight * np.log1p(np.exp(-apart))
            count[column] += weight
    return total / np.maximum(count, 1e-9)


def _tensors(logits, labels, masks, requests):
    floats = [tf.constant(v, tf.float32) for v in (logits, labels, masks)]
    return (*floats, tf.constant(requests, tf.int32))


@pytest.mark.parametrize(("rows", "jit"), [(40, False), (2 * WINDOW + 30, True)])
def test_as_a_loop_over_all_pairs(rows, jit, any_seed):
    """Whichever blocks the rows of a request lie in."""
    drawn = _drawn(rows, any_seed)
    run = tf.function(pair_losses, jit_compile=jit, autograph=False)
    np.testing.assert_allclose(run(*_tensors(*drawn)), _in_numpy(*drawn), rtol=1e-5)


def test_the_loss_is_added_to_the_task_s_own_and_to_no_other():
    rows = ([2.0, 0.0, 1.0], [1, 0, 0], [1, 1, 1])
    plain = task_losses([CLICK], *(_column(v) for v in rows))
    tasks = [CLICK, dataclasses.replace(CLICK, pairwise=0.5)]
    both = [tf.repeat(_column(v), 2, axis=1) for v in rows]
    requests = tf.constant([7, 7, 7])
    found = task_losses(tasks, *both, requests=requests)
    own = _losses(*rows, requests)
    np.testing.assert_allclose(found, [plain[0], plain[0] + 0.5 * own[0]], rtol=1e-6)
    with pytest.raises(ValueError, match="requests: needed for pairwise"):
        task_losses(tasks, *both)


def test_cross_entropy_and_pairs_agree_on_the_probability():
    """Many requests of two rows with chances 0.8 and 0.3: the slope is 0 there, in
    expectation over labels, and that of other odds is not."""
    chances = np.array([0.8, 0.3])
    outcomes = [(1, 1), (1, 0), (0, 1), (0, 0)]
    likely = [np.prod(np.where(o, chances, 1 - chances)) for o in outcomes]
    labels = np.concatenate(outcomes)
    masks = np.sqrt(np.repeat(likely, 2))  # a pair counts as the product

    def slope(logits):
        z = tf.Variable(_column(np.tile(logits, 4)))
        with tf.GradientTape() as tape:
            requests = np.repeat(np.arange(1, 5), 2)
            columns = z, _column(labels), _column(masks)
            loss = pair_losses(*columns, tf.constant(requests, tf.int32))
        return tape.gradient(loss, z).numpy().reshape(4, 2).sum(axis=0)

    odds = np.log(chances / (1 - chances))
    np.testing.assert_allclose(slope(odds), [0, 0], atol=1e-6)
    assert abs(slope(odds * 0.5)[0]) > 0.01


def test_two_replicas_compare_rows_across_them(two_replicas):
    """A request lies on both; the slopes of the logits are those of one replica."""
    drawn = [np.concatenate([v[:31], v[:31]]) for v in _drawn(40, 5)]
    drawn[3] = np.repeat(np.arange(1, 32), 2)  # the 16th request is cut
    tensors = _tensors(*drawn)

    def share(logits, *others):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = pair_losses(logits, *others)
        return found, tape.gradient(found, logits)

    alone, slopes = share(*tensors)
    data = tf.data.Dataset.from_tensors(tensors).unbatch().batch(62)
    (batch,) = two_replicas.experimental_distribute_dataset(data)
    run = tf.function(lambda b: two_replicas.run(share, b), autograph=False)
    shares, both = run(batch)
    summed = two_replicas.reduce("SUM", shares, axis=None)
    np.testing.assert_allclose(summed, alone, rtol=1e-5)
    joined = np.concatenate(two_replicas.experimental_local_results(both))
    np.testing.assert_allclose(joined, slopes, atol=1e-6)
