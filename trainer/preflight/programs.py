"""What a TPU would be asked to run: one training step, and `rank`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from feature_specs import ModelConfig, Spec
from tpu_configs import SliceConfig
from trainer.days.training import Training
from trainer.model.network import REQUEST_GROUPS
from trainer.model.ranker import Batch, Ranker


class Program(NamedTuple):
    """A function of plain tensors.

    Attributes:
        name: `train` or `rank`.
        function: Takes the tensors of `inputs` in order.
        inputs: Name and shape of each.
        variables: Name and variable, of all that it may read or write.
        rows: Rows that one call works on.
    """

    name: str
    function: Callable[..., Any]
    inputs: dict[str, tf.TensorSpec]
    variables: list[tuple[str, tf.Variable]]
    rows: int


def build(
    spec: Spec, config: ModelConfig, slice: SliceConfig, precision: Any
) -> Training:
    """Ranker, optimizer and average as a training on the slice has them.

    Label means only set first values; any will do.
    """
    return Training(
        spec,
        config,
        dataclasses.replace(slice, precision=precision, embedding="dense"),
        tf.distribute.get_strategy(),
        seed=0,
    )


def training_step(model: Training, rows: int) -> Program:
    """One step on a batch of `rows` rows, all cores together."""
    ranker, tasks = model.ranker, len(model.ranker.spec.tasks)
    inputs = _feature_specs(ranker, rows)
    names = list(inputs)
    inputs["labels"] = tf.TensorSpec([rows, tasks], tf.float32)
    inputs["masks"] = tf.TensorSpec([rows, tasks], tf.float32)
    inputs["weight"] = tf.TensorSpec([rows], tf.float32)

    def train(*values: tf.Tensor) -> tf.Tensor:
        features = dict(zip(names, values, strict=False))
        labels, masks, weight = values[len(names) :]
        return model.one_step(Batch(features, labels, masks, weight))

    return Program("train", train, inputs, _variables(model), rows)


def rank(model: Training, candidates: int) -> Program:
    """The predictions of one request's candidates, the host's transform done."""
    ranker, spec = model.ranker, model.ranker.spec
    groups = {f.name: f.group for f in spec.features}
    groups |= {made.name: made.feature.group for made in spec.facet_inputs}
    asked = {name for name, group in groups.items() if group in REQUEST_GROUPS}
    shown = {name for name, group in groups.items() if group == "candidate"}
    one, many = _feature_specs(ranker, 1), _feature_specs(ranker, candidates)
    inputs = {name: one[name] for name in one if name in asked}
    inputs |= {name: many[name] for name in many if name in shown}

    def rank(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        given = dict(zip(inputs, values, strict=True))
        return ranker.from_sides(
            ranker.request_side({n: given[n] for n in given if n in asked}),
            ranker.candidate_side({n: given[n] for n in given if n in shown}),
        )

    return Program("rank", rank, inputs, _variables(model), candidates)


def _feature_specs(ranker: Ranker, rows: int) -> dict[str, tf.TensorSpec]:
    examples = ranker.example_features(rows)
    return {n: tf.TensorSpec(v.shape, v.dtype) for n, v in sorted(examples.items())}


def _variables(model: Training) -> list[tuple[str, tf.Variable]]:
    """Everything that a step may touch, under the names that people know."""
    own = (*model.ranker.variables, *model.ranker.optimizer.variables())
    return [
        *((_plain(variable.name), variable) for variable in own),
        *((f"{_plain(v.name)} (average)", kept) for kept, v in model.average.pairs()),
    ]


def _plain(name: str) -> str:
    return name.removesuffix(":0").removeprefix("ranker/")
