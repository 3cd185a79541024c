"""Networks of built switchers in NumPy: one row and one small network at a time."""

import numpy as np
import tensorflow as tf

from feature_specs.model import SwitcherConfig
from trainer.model import switchers

NAMES = ("click", "like", "share")


def built(config: SwitcherConfig, names=NAMES, groups=1, width=5, seed=0):
    """A switcher whose weights are all random, the biases too."""
    switcher = switchers.create(config, names, groups)
    switcher(tf.zeros([1, groups, width]))
    rng = np.random.default_rng(seed)
    switcher.set_weights([rng.normal(size=w.shape) for w in switcher.get_weights()])
    return switcher


def rows(count=4, groups=1, width=5, seed=1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, groups, width))


def outputs(switcher, x: np.ndarray) -> np.ndarray:
    return switcher(tf.constant(x, tf.float32)).outputs.numpy()


def by_row_and_group(x: np.ndarray, network) -> np.ndarray:
    """Stacks `network(x[row, group], group)` to [B, G, ...]."""
    return np.array([[network(row[g], g) for g in range(x.shape[1])] for row in x])


def relu(x):
    return np.maximum(x, 0)


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def mlp(layers, x):
    for kernel, bias in layers:
        x = relu(x @ kernel + bias)
    return x


def branch(network, group, index):
    """Kernels and biases of one of the stacks of a `BranchedMLP`."""
    first = network.first[0]
    columns = slice(index * first.units, (index + 1) * first.units)
    kernel, bias = first.kernel.numpy()[group], first.bias.numpy()[group]
    others = stack(network.others, group * network.branches + index)
    return [(kernel[:, columns], bias[columns]), *others]


def stack(network, index):
    """Kernels and biases of one of the stacks of a `BatchedMLP`."""
    return [(d.kernel.numpy()[index], d.bias.numpy()[index]) for d in network.stack]


def parallel(network, group, index):
    """Kernels and biases of one of the stacks of a `ParallelMLP`."""
    return stack(network.networks, group * network.branches + index)


def gate(gates, group, reader):
    """The matrix W of one gate of `Gates`: [I, E]."""
    experts = gates.scores.units
    columns = slice(reader * experts, (reader + 1) * experts)
    return gates.scores.kernel.numpy()[group][:, columns]


def mlp_size(width: int, *units: int) -> int:
    """Parameters of one stack of dense layers with biases."""
    widths = (width, *units)
    return sum(a * b + b for a, b in zip(widths, units, strict=False))


def gradients(switcher, x: np.ndarray, output: int, variables):
    """Of the squares of one output only, with respect to some variables."""
    with tf.GradientTape() as tape:
        y = switcher(tf.constant(x, tf.float32)).outputs[:, :, output]
        loss = tf.reduce_sum(tf.square(y))
    return [g.numpy() for g in tape.gradient(loss, variables)]
