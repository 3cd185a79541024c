"""DeepCTR's MMoE: by `fit`, by the function that `fit` calls, by a step of one's own.

It has no shared bottom of its own; for the same network as the others' one dense layer
is put between its inputs and its experts.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import deepctr
import tensorflow as tf
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models.multitask import mmoe

from rivals.mmoe import Data, Sizes, Taken, Way, serve

_STEPS_A_CALL = 16
_JOIN = mmoe.combined_dnn_input


def ways(data: Data, few: bool) -> list[Way]:
    """Both of Keras' Adams; once more without the bottom, as it comes."""
    tf.config.threading.set_intra_op_parallelism_threads(data.sizes.threads)
    tf.config.threading.set_inter_op_parallelism_threads(data.sizes.threads)
    adam, old_adam = tf.keras.optimizers.Adam, tf.keras.optimizers.legacy.Adam
    fit = f"fit's function, {_STEPS_A_CALL} steps a call"
    found = [
        _way("fit", data, adam, _by_fit, steps=1, documented=True),
        _way(f"{fit}, legacy Adam", data, old_adam, _fitted),
    ]
    if few:  # each takes ten seconds to build
        return found
    return [
        *found,
        _way("compiled step", data, adam, _compiled),
        _way("compiled step, legacy Adam", data, old_adam, _compiled),
        _way(fit, data, adam, _fitted),
        _way("as it comes, compiled step", data, adam, _compiled, bottom=False),
        _way(f"as it comes, {fit}", data, old_adam, _fitted, bottom=False),
    ]


def _way(
    name: str,
    data: Data,
    adam: Callable,
    train: Callable,
    bottom: bool = True,
    steps: int = _STEPS_A_CALL,
    documented: bool = False,
) -> Way:
    model = _model(data.sizes, bottom)
    model.compile(
        adam(data.sizes.rate), loss="binary_crossentropy", steps_per_execution=steps
    )
    return Way(
        name,
        model.count_params(),
        train(model, data),
        same=bottom,
        documented=documented,
    )


def _model(sizes: Sizes, bottom: bool) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(0)
    dense = tf.keras.layers.Dense(sizes.bottom, "relu")
    mmoe.combined_dnn_input = (
        (lambda *inputs: dense(_JOIN(*inputs))) if bottom else _JOIN
    )
    ids = [SparseFeat(f"id{i}", sizes.rows, sizes.dim) for i in range(sizes.ids)]
    numbers = [DenseFeat(f"number{i}", 1) for i in range(sizes.numbers)]
    return mmoe.MMOE(
        [*ids, *numbers],
        num_experts=sizes.experts,
        expert_dnn_hidden_units=(sizes.units,),
        tower_dnn_hidden_units=(sizes.tower,),
        l2_reg_embedding=0,
        task_types=["binary"] * sizes.tasks,
        task_names=[f"task{i}" for i in range(sizes.tasks)],
    )


def _inputs(ids, numbers, labels) -> tuple[dict, tuple]:
    """As DeepCTR wants them: a column each."""
    features = {f"id{i}": ids[:, i : i + 1] for i in range(ids.shape[1])}
    for i in range(numbers.shape[1]):
        features[f"number{i}"] = numbers[:, i : i + 1]
    return features, tuple(labels[:, i : i + 1] for i in range(labels.shape[1]))


def _compiled(model: tf.keras.Model, data: Data) -> Iterator[Taken]:
    entropy = tf.keras.losses.BinaryCrossentropy()

    @tf.function
    def step(features, labels):
        with tf.GradientTape() as tape:
            outputs = model(features, training=True)
            losses = [entropy(y, p) for y, p in zip(labels, outputs, strict=True)]
            loss = tf.add_n(losses)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    batches = [
        tf.nest.map_structure(tf.constant, _inputs(*batch)) for batch in data.batches()
    ]
    for features, labels in itertools.cycle(batches):
        yield 1, step(features, labels)


def _by_fit(model: tf.keras.Model, data: Data) -> Iterator[Taken]:
    """A pass over all rows at a time, one step a call, as Keras has it by default."""
    features, labels = _inputs(data.ids, data.numbers, data.labels)
    size = data.sizes.batch
    while True:
        history = model.fit(features, list(labels), size, verbose=0, shuffle=False)
        yield data.sizes.batches, history.history["loss"][0]


def _fitted(model: tf.keras.Model, data: Data) -> Iterator[Taken]:
    """With the function that `fit` calls, so without what `fit` does between epochs."""
    rows = _inputs(data.ids, data.numbers, data.labels)
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(data.sizes.batch)
    batches = iter(dataset.cache().repeat())
    take_steps = model.make_train_function()
    while True:
        model.reset_metrics()
        yield _STEPS_A_CALL, take_steps(batches)["loss"]


def _versions() -> dict[str, str]:
    return {"deepctr": deepctr.__version__, "tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(ways, _versions)
