"""Every way of weighting in a training step: compiled, and on two replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import WeightsConfig

DECAYING = WeightsConfig(decay={"click": 0.5}, decay_steps=3)
UNCERTAINTY = WeightsConfig(kind="uncertainty")
GRADNORM = WeightsConfig(kind="gradnorm", learning_rate=0.2)
SURGERY = WeightsConfig(surgery=True)
MGDA = WeightsConfig(kind="mgda")
GRADDROP = WeightsConfig(kind="graddrop")


@pytest.mark.parametrize(
    "config", [DECAYING, UNCERTAINTY, GRADNORM, MGDA], ids=lambda config: config.kind
)
def test_xla_takes_the_same_steps(make_training, batch, config):
    """But for the draws, which XLA makes from the same seed in its own way."""
    x, labels, masks = batch
    everything = (x, tf.ones_like(labels), masks)  # no negatives to draw from
    plain, compiled = make_training(config), make_training(config)
    losses, same = plain.run(everything, 4), compiled.run(everything, 4, jit=True)
    np.testing.assert_allclose(losses, same, rtol=1e-4)
    for name, value in plain.values().items():
        np.testing.assert_allclose(
            value, compiled.values()[name], rtol=1e-3, atol=1e-5, err_msg=name
        )


@pytest.mark.stochastic
@pytest.mark.parametrize(
    "config",
    [dataclasses.replace(GRADNORM, surgery=True), GRADDROP],
    ids=lambda config: config.kind,
)
def test_xla_compiles_what_is_drawn(make_training, batch, config):
    training = make_training(config)
    losses = training.run(batch, 4, jit=True)
    assert losses[-1] < losses[0]
    assert all(np.isfinite(value).all() for value in training.values().values())


@pytest.mark.parametrize("config", [SURGERY, MGDA, GRADDROP], ids=lambda c: c.kind)
def test_shared_weights_alone_are_bent(make_training, batch, config):
    """In the first step: later ones start from other weights."""
    plain, bent = make_training(WeightsConfig()), make_training(config)
    assert plain.run(batch, 1) == bent.run(batch, 1)
    heads = zip(plain.model.heads.variables, bent.model.heads.variables, strict=True)
    for one, other in heads:
        np.testing.assert_array_equal(one, other)
    shared = zip(plain.model.bottom.variables, bent.model.bottom.variables, strict=True)
    assert max(np.abs(one - other).max() for one, other in shared) > 1e-4


def test_the_leaf_without_rows_keeps_its_weight(make_training, batch):
    gradnorm, uncertainty = make_training(GRADNORM), make_training(UNCERTAINTY)
    gradnorm.run(batch, 3), uncertainty.run(batch, 3)
    assert gradnorm.weights.weights[4] == 1
    assert (np.abs(gradnorm.weights.weights[:4] - 1) > 1e-3).all()
    assert uncertainty.weights.log_variances[4] == 0
    assert (np.abs(uncertainty.weights.log_variances[:4]) > 1e-3).all()


def _trained(make_training, config, strategy, data):
    with strategy.scope():
        training = make_training(config)
    run = tf.function(lambda *b: strategy.run(training.step, b), autograph=False)
    for batch in strategy.experimental_distribute_dataset(data):
        total = strategy.reduce("SUM", run(*batch), axis=None)
    return {"total": float(total), **training.values()}


@pytest.mark.parametrize(
    "config",
    [
        DECAYING,
        UNCERTAINTY,
        GRADNORM,
        dataclasses.replace(UNCERTAINTY, surgery=True),
        dataclasses.replace(GRADNORM, surgery=True),
        MGDA,
        GRADDROP,
    ],
    ids=lambda config: f"{config.kind}{', surgery' * config.surgery}",
)
def test_two_replicas_give_the_weights_of_one(
    two_replicas, make_training, batch, config
):
    """One leaf has rows on the second replica only, one has none."""
    data = tf.data.Dataset.from_tensors(batch).unbatch()
    data = data.batch(len(batch[0]), drop_remainder=True).repeat(4)
    one, both = (
        _trained(make_training, config, strategy, data)
        for strategy in (tf.distribute.get_strategy(), two_replicas)
    )
    assert one.keys() == both.keys()
    for name, value in one.items():
        np.testing.assert_allclose(
            value, both[name], rtol=1e-4, atol=1e-5, err_msg=name
        )
