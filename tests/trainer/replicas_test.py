"""Two replicas take the same step as one with the same global batch."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from trainer.days import averaging, optimizers
from trainer.model.ranker import Ranker
from trainer.replicas import global_sum, uniform_rows


def _trained(strategy, spec, config, means, data):
    """The sums of the last step's losses, then the weights, then their averages."""
    tf.keras.utils.set_random_seed(1)
    with strategy.scope():
        ranker = Ranker(spec, config, means)
        ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
        average = averaging.create(ranker, 50)

    def step(batch):
        result = ranker.train_step(batch)
        average.update(ranker.steps)
        return result["loss"], result["disentangle"]

    run = tf.function(lambda batch: strategy.run(step, (batch,)), autograph=False)
    for batch in strategy.experimental_distribute_dataset(data.repeat(4)):
        shares = run(batch)
    sums = [strategy.reduce("SUM", share, axis=None) for share in shares]
    weights = [*ranker.trainable_variables, *average.averages.values()]
    return [float(s) for s in sums] + [v.numpy() for v in weights]


def test_two_replicas_give_the_weights_and_averages_of_one(
    two_replicas, spec, config, label_means, make_rows
):
    config = dataclasses.replace(
        config, dropout=0.2, embedding_l2=0.01, separate=("like",)
    )
    rows = make_rows(24, seed=0).batch()
    weight = tf.constant([1.0] * 21 + [0.0] * 3)  # the last three rows are padding
    batch = rows._replace(masks=rows.masks * weight[:, None], weight=weight)
    data = tf.data.Dataset.from_tensors(batch).unbatch().batch(24, drop_remainder=True)
    one, both = (
        _trained(strategy, spec, config, label_means, data)
        for strategy in (tf.distribute.get_strategy(), two_replicas)
    )
    for own, other in zip(one, both, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)


def test_one_replica_sums_alone():
    np.testing.assert_array_equal(global_sum(tf.constant([1.0, 2.0])), [1.0, 2.0])


@pytest.mark.stochastic
def test_draws_lie_between_0_and_1(any_seed):
    draws = uniform_rows(1000, 2, tf.constant([any_seed, 0])).numpy()
    assert draws.shape == (1000, 2)
    assert draws.min() >= 0 and draws.max() < 1
    # Seven standard deviations of a mean of 2,000 draws, 1 / sqrt(12 * 2,000) each.
    assert abs(draws.mean() - 0.5) < 7 / math.sqrt(12 * 2000)
