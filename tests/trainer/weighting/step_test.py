"""Every way of weighting in a training step: compiled, and on two replicas."""

import subprocess
import sys

import numpy as np
import pytest

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

from feature_specs.model import WeightsConfig

CONFIGS = [
    WeightsConfig(decay={"click": 0.5}, decay_steps=3),
    WeightsConfig(kind="uncertainty"),
    WeightsConfig(kind="gradnorm", learning_rate=0.2),
    WeightsConfig(kind="gradnorm", learning_rate=0.2, surgery=True),
    WeightsConfig(kind="uncertainty", surgery=True),
]


def _train(training, batch, jit):
    step = tf.function(training.step, jit_compile=jit, autograph=False)
    return [float(step(*batch)) for _ in range(4)], training.values()


@pytest.mark.parametrize("config", CONFIGS[:3], ids=lambda c: c.kind)
def test_xla_takes_the_same_steps(make_training, batch, config):
    """But for the draws, which XLA makes from the same seed in its own way."""
    x, labels, masks = batch
    everything = (x, tf.ones_like(labels), masks)  # no negatives to draw from
    losses, values = _train(make_training(config), everything, jit=False)
    compiled, compiled_values = _train(make_training(config), everything, jit=True)
    np.testing.assert_allclose(losses, compiled, rtol=1e-4)
    for name, value in values.items():
        np.testing.assert_allclose(
            value, compiled_values[name], rtol=1e-3, atol=1e-5, err_msg=name
        )


def test_xla_compiles_surgery(make_training, batch):
    losses, values = _train(make_training(CONFIGS[3]), batch, jit=True)
    assert losses[-1] < losses[0]
    assert all(np.isfinite(value).all() for value in values.values())


def test_surgery_changes_the_shared_weights_only(make_training, batch):
    """In the first step: later ones start from other weights."""
    plain = make_training(WeightsConfig())
    bent = make_training(WeightsConfig(surgery=True))
    for training in (plain, bent):
        training.step(*batch)
    for one, other in zip(
        plain.model.heads.variables, bent.model.heads.variables, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    differing = [
        np.abs(one - other).max()
        for one, other in zip(
            plain.model.bottom.variables, bent.model.bottom.variables, strict=True
        )
    ]
    assert max(differing) > 1e-4


def test_the_leaf_without_rows_keeps_its_weight(make_training, batch):
    gradnorm, uncertainty = make_training(CONFIGS[2]), make_training(CONFIGS[1])
    for training in (gradnorm, uncertainty):
        for _ in range(3):
            training.step(*batch)
    assert gradnorm.weights.weights[4] == 1
    assert (np.abs(gradnorm.weights.weights[:4] - 1) > 1e-3).all()
    assert uncertainty.weights.log_variances[4] == 0
    assert (np.abs(uncertainty.weights.log_variances[:4]) > 1e-3).all()


# A process of its own: devices are set before TensorFlow starts.
_TWO_REPLICAS = """
import conftest
import step_test
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
batch = conftest.make_batch()
data = tf.data.Dataset.from_tensors(batch).unbatch()
data = data.batch(conftest.ROWS, drop_remainder=True).repeat(4)

def train(config, strategy):
    with strategy.scope():
        training = conftest.Training(config)
    run = tf.function(lambda b: strategy.run(training.step, b), autograph=False)
    for batch in strategy.experimental_distribute_dataset(data):
        total = strategy.reduce("SUM", run(batch), axis=None)
    return {"total": float(total), **training.values()}

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for config in step_test.CONFIGS:
    one, both = train(config, tf.distribute.get_strategy()), train(config, two)
    assert one.keys() == both.keys(), (one.keys(), both.keys())
    for name, value in one.items():
        message = f"{config} {name}"
        tf.debugging.assert_near(value, both[name], 1e-4, 1e-5, message=message)
print("same")
"""


@pytest.mark.slow  # starts a Python that loads TensorFlow
def test_two_replicas_give_the_weights_of_one(request):
    """One leaf has rows on the second replica only, one has none."""
    folder = str(request.path.parent)
    code = f"import sys; sys.path.insert(0, {folder!r})\n{_TWO_REPLICAS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("same\n"), done.stderr[-3000:]
