"""Trailrank's own MMoE, with the step that the day loop takes.

`spec_of` and `batches` also make the rankers of `benchmarks/structures.py`, `shipped`
those of the sizes in `benchmarks/training.py`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from feature_specs import ModelConfig, Spec, read_spec
from feature_specs.model import OptimizerConfig, SwitcherConfig
from rivals.mmoe import Data, Sizes, Taken, Way, serve
from trainer.days import optimizers
from trainer.model.ranker import Batch, Ranker

_STEPS_A_CALL = 16
_MANY = f"{_STEPS_A_CALL} steps a call"
GROUP, GROUPS = "group", ("low", "middle", "high")  # a facet, for nested structures
GROUP_FEATURE = f"{GROUP}_code"

_SPEC = """
name: measured
log:
  files: "*.csv"
  user: user
  item: item
  time: {{column: time}}
  columns: {{user: int64, item: int64, time: int64, {columns}}}
  outcomes: [{outcomes}]
trail: {{scope: [user]}}
history: {{positive: "task0 = 1", columns: [item], length: 1}}
tables: {{{tables}}}
features:
{features}
tasks:
{tasks}
{facets}
fusion: {{weights: {{task0: 1.0}}}}
"""


def spec_of(sizes: Sizes, grouped: bool = False) -> Spec:
    """Half of the features are the request's, half the candidate's.

    Args:
        sizes: Features and tasks.
        grouped: Whether there is the facet `GROUP`, and its feature.
    """
    ids = [f"id{i}" for i in range(sizes.ids)]
    numbers = [f"number{i}" for i in range(sizes.numbers)]
    tasks = [f"task{i}" for i in range(sizes.tasks)]
    columns = [f"{name}: int64" for name in (*ids, *tasks)]
    columns += [f"{name}: float64" for name in numbers]
    features = [
        f"{{name: {name}, group: {_side(i, ids)}, kind: id, expr: {name},"
        f" table: {name}}}"
        for i, name in enumerate(ids)
    ]
    features += [
        f"{{name: {name}, group: {_side(i, numbers)}, kind: number, expr: {name}}}"
        for i, name in enumerate(numbers)
    ]
    facets = ""
    if grouped:
        features.append(
            f"{{name: {GROUP_FEATURE}, group: query, kind: code, size: {len(GROUPS)},"
            f" expr: id0 % {len(GROUPS)}}}"
        )
        codes = ", ".join(f"{name}: [{code}]" for code, name in enumerate(GROUPS))
        facets = (
            f"facets: {{{GROUP}: {{feature: {GROUP_FEATURE}, partitions: {{{codes}}},"
            f" default: {GROUPS[-1]}}}}}"
        )
    return read_spec(
        _SPEC.format(
            columns=", ".join(columns),
            outcomes=", ".join(tasks),
            tables=", ".join(
                f"{name}: {{buckets: {sizes.rows}, dim: {sizes.dim}}}" for name in ids
            ),
            features=_items(features),
            tasks=_items(
                f'{{name: {name}, kind: binary, label: "{name} = 1"}}' for name in tasks
            ),
            facets=facets,
        )
    )


def _side(index: int, names: Sequence[str]) -> str:
    return "query" if index < len(names) // 2 else "candidate"


def _items(lines) -> str:
    return "\n".join(f"  - {line}" for line in lines)


def batches(data: Data, grouped: bool = False) -> list[Batch]:
    """What the day loop would read from files."""
    return [_batch(*arrays, grouped) for arrays in data.batches()]


def _batch(ids, numbers, labels, grouped: bool) -> Batch:
    features = {f"id{i}": tf.constant(ids[:, i]) for i in range(ids.shape[1])}
    for i in range(numbers.shape[1]):
        features[f"number{i}"] = tf.constant(numbers[:, i])
    if grouped:
        codes = ids[:, 0] % len(GROUPS) + 1  # 0 is missing
        features[GROUP_FEATURE] = tf.constant(codes.astype(np.int32))
    ones = np.ones_like(labels)
    return Batch(
        features, tf.constant(labels), tf.constant(ones), tf.constant(ones[:, 0])
    )


def ranker_of(spec: Spec, config: ModelConfig, sparse_gradients: bool = True) -> Ranker:
    """An untrained ranker that the day loop would train."""
    tf.keras.utils.set_random_seed(0)
    means = {task.name: 0.5 for task in spec.tasks}
    ranker = Ranker(spec, config, means, sparse_gradients=sparse_gradients)
    ranker.compile(optimizer=optimizers.create(config.optimizer, ranker))
    return ranker


def parameters(variables: Sequence[tf.Variable]) -> int:
    """Their number."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


def ways(data: Data, few: bool) -> list[Way]:
    """With the rivals' optimizer, and as `trailrank train` does it."""
    tf.config.threading.set_intra_op_parallelism_threads(data.sizes.threads)
    tf.config.threading.set_inter_op_parallelism_threads(data.sizes.threads)
    return [
        _way("compiled step", data, _by_step),
        _way(_MANY, data, _by_call),
        shipped(data),
    ]


def shipped(data: Data) -> Way:
    """As `trailrank train` does it: Adam, and Adagrad for the rows of tables read."""
    return _way(f"{_MANY}, tables by Adagrad", data, _by_call, tables="adagrad")


def _way(name: str, data: Data, train: Callable, tables: str = "adam") -> Way:
    sizes = data.sizes
    mmoe = SwitcherConfig(kind="mmoe", experts=sizes.experts, units=(sizes.units,))
    config = ModelConfig(
        switcher=mmoe,
        bottom=(sizes.bottom,),
        tower=(sizes.tower,),
        optimizer=OptimizerConfig(kind="adam", learning_rate=sizes.rate),
    )
    shipped = tables == "adagrad"
    ranker = ranker_of(spec_of(sizes), config, sparse_gradients=shipped)
    if not shipped:
        # Adam moves every row of a table in every step: dense gradients suit it.
        adam = tf.keras.optimizers.legacy.Adam(sizes.rate)
        adam._create_all_weights(ranker.trainable_variables)
        ranker.compile(optimizer=adam)
    count = parameters(ranker.trainable_variables)
    return Way(name, count, train(ranker, batches(data)), tables=tables)


def _by_step(ranker: Ranker, rows: list[Batch]) -> Iterator[Taken]:
    step = tf.function(ranker.train_step, autograph=False)
    for batch in itertools.cycle(rows):
        yield 1, step(batch)["loss"]


def _by_call(ranker: Ranker, rows: list[Batch]) -> Iterator[Taken]:
    """Several steps at once, as the day loop takes them."""

    @tf.autograph.experimental.do_not_convert
    def one_step(batch: Batch) -> tf.Tensor:
        return ranker.train_step(batch)["loss"]

    @tf.function
    def take_steps(batches: Iterator[Batch]) -> tf.Tensor:
        total = 0.0
        for _ in tf.range(_STEPS_A_CALL):
            total += one_step(next(batches))
        return total / _STEPS_A_CALL

    stacked = tf.nest.map_structure(lambda *parts: tf.stack(parts), *rows)
    dataset = tf.data.Dataset.from_tensor_slices(stacked).cache().repeat()
    batches = iter(dataset)
    while True:
        yield _STEPS_A_CALL, take_steps(batches)


def _versions() -> dict[str, str]:
    return {"trailrank": metadata.version("trailrank"), "tensorflow": tf.__version__}


if __name__ == "__main__":
    serve(ways, _versions)
