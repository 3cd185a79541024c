"""Fixed and decaying weights (SFV sec. 5.2, PLE eq. 10)."""

import numpy as np
import pytest
import tensorflow as tf

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting

CLICK = TaskSpec(name="click", kind="binary", label="x")
LIKE = TaskSpec(name="like", kind="binary", label="x", loss_weight=20.0)


def test_total_is_the_weighted_sum():
    weights = weighting.create(WeightsConfig(), [CLICK, LIKE])
    rows, step = tf.constant([3.0, 0.0]), tf.constant(7, tf.int64)
    total = weights.total(tf.constant([2.0, 0.5]), rows, step)
    assert float(total) == 2 + 20 * 0.5
    assert not weights.variables and not weights.reads_gradients


@pytest.mark.parametrize(
    ("step", "share"), [(0, 1.0), (50, 0.5**0.5), (100, 0.5), (300, 0.125)]
)
def test_weights_decay_by_gamma_an_epoch(step, share):
    config = WeightsConfig(decay={"like": 0.5}, decay_steps=100)
    # Two leaves of one task decay alike
    weights = weighting.create(config, [LIKE, CLICK, LIKE])
    found = weights.current(tf.constant(step, tf.int64))
    np.testing.assert_allclose(found, [20 * share, 1, 20 * share], rtol=1e-6)


@pytest.mark.parametrize("kind", ["uncertainty", "gradnorm"])
def test_learned_weights_decay_too(kind):
    config = WeightsConfig(kind=kind, decay={"like": 0.5}, decay_steps=100)
    weights = weighting.create(config, [CLICK, LIKE])
    found = weights.current(tf.constant(100, tf.int64))
    np.testing.assert_allclose(found, [1, 20 * 0.5], rtol=1e-6)
