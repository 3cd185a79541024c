"""Uniform scaling: what the spec weighs counts alike."""

import numpy as np

from feature_specs import TaskSpec
from feature_specs.model import WeightsConfig
from trainer.objective import weighting

TASKS = [
    TaskSpec(name="click", kind="binary", label="x", loss_weight=50.0),
    TaskSpec(name="watch", kind="regression", label="x", loss_weight=0.001),
    TaskSpec(name="idle", kind="binary", label="x", loss_weight=0.0),
]


def test_every_trained_task_counts_one():
    weights = weighting.create(WeightsConfig(kind="uniform"), TASKS)
    np.testing.assert_array_equal(weights.current(7), [1, 1, 0])


def test_it_decays_as_the_preset_says():
    config = WeightsConfig(kind="uniform", decay={"click": 0.5}, decay_steps=10)
    weights = weighting.create(config, TASKS)
    np.testing.assert_allclose(weights.current(20), [0.25, 1, 0], rtol=1e-6)
