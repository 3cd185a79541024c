"""Two replicas take the same step as one with the same global batch."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from trainer.replicas import global_sum, uniform_rows

# A process of its own: devices are set before TensorFlow starts.
_TWO_REPLICAS = """
import dataclasses
import conftest
import tensorflow as tf
from trainer.days import averaging, optimizers
from trainer.model.ranker import Ranker

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
spec, config = conftest.read_spec(conftest.SPEC), conftest.read_preset(conftest.PRESET)
config = dataclasses.replace(config, dropout=0.2, embedding_l2=0.01)
means = {"click": 0.4, "watch": 1.5, "like": 0.02, "seconds": -0.5}
rows = conftest.make_rows.__wrapped__()(24, seed=0).batch()
weight = tf.constant([1.0] * 21 + [0.0] * 3)  # the last three rows are padding
batch = rows._replace(masks=rows.masks * weight[:, None], weight=weight)
data = tf.data.Dataset.from_tensors(batch).unbatch().batch(24, drop_remainder=True)

def train(strategy):
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

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for one, both in zip(train(tf.distribute.get_strategy()), train(two), strict=True):
    tf.debugging.assert_near(one, both, rtol=1e-3, atol=1e-4)
print("same")
"""


@pytest.mark.slow  # starts a Python that loads TensorFlow
def test_two_replicas_give_the_weights_and_averages_of_one(request):
    folder = str(request.path.parent)
    code = f"import sys; sys.path.insert(0, {folder!r})\n{_TWO_REPLICAS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("same\n"), done.stderr[-3000:]


def test_one_replica_sums_alone():
    np.testing.assert_array_equal(global_sum(tf.constant([1.0, 2.0])), [1.0, 2.0])


def test_draws_lie_between_0_and_1():
    draws = uniform_rows(1000, 2, tf.constant([0, 0])).numpy()
    assert draws.shape == (1000, 2)
    assert draws.min() >= 0 and draws.max() < 1 and abs(draws.mean() - 0.5) < 0.05
