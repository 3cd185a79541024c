"""Every way of weighting in a training step: compiled, and on two replicas."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from feature_specs.model import WeightsConfig

DECAYING = WeightsConfig(decay={"click": 0.5}, decay_steps=3)
UNCERTAINTY = WeightsConfig(kind="uncertainty")
GRADNORM = WeightsConfig(kind="gradnorm", learning_rate=0.2)
SURGERY = WeightsConfig(surgery=True)


@pytest.mark.parametrize(
    "config", [DECAYING, UNCERTAINTY, GRADNORM], ids=lambda config: config.kind
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


def test_xla_compiles_surgery(make_training, batch):
    training = make_training(dataclasses.replace(GRADNORM, surgery=True))
    losses = training.run(batch, 4, jit=True)
    assert losses[-1] < losses[0]
    assert all(np.isfinite(value).all() for value in training.values().values())


def test_surgery_bends_the_shared_weights_only(make_training, batch):
    """In the first step: later ones start from other weights."""
    plain, bent = make_training(WeightsConfig()), make_training(SURGERY)
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


# A process of its own: devices are set before TensorFlow starts.
_TWO_REPLICAS = """
import dataclasses
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
for config in (
    step_test.DECAYING,
    dataclasses.replace(step_test.UNCERTAINTY, surgery=True),
    dataclasses.replace(step_test.GRADNORM, surgery=True),
):
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
