"""Batches -> an `Inspection`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.inspection.conflicts import GradientMeans
from trainer.inspection.inspection import Inspection, LayerGradients
from trainer.inspection.moments import Moments
from trainer.inspection.naming import shared_layers
from trainer.inspection.sums import NetworkSums
from trainer.model.ranker import Batch, Ranker
from trainer.objective.gradients import task_gradients
from trainer.replicas import global_sum


class SampleSize(NamedTuple):
    """How much is looked at.

    Attributes:
        batches: For gates and experts.
        gradient_batches: The first ones of them, for gradients: a backward pass a task.
    """

    batches: int
    gradient_batches: int


DAILY = SampleSize(4, 2)
FINAL = SampleSize(16, 8)


class Inspector:
    """Looks inside a ranker as often as asked; its graphs are traced once.

    Args:
        ranker: Built, and compiled for its strategy.
        strategy: Where it runs.
    """

    def __init__(self, ranker: Ranker, strategy: tf.distribute.Strategy):
        self._ranker, self._strategy = ranker, strategy
        self._networks = [NetworkSums(ranker.spec, n) for n in ranker.networks]
        layers = shared_layers(ranker.networks[0])
        self._layers = layers if len(ranker.networks) == 1 else {}
        self._look = _traced(self._sums, strategy)
        self._pull = _traced(self._gradients, strategy)

    def inspect(self, batches: Iterable[Batch], gradient_batches: int) -> Inspection:
        """What is seen on some batches, the first few of them for gradients.

        Args:
            batches: As the strategy distributes them; padded rows count for nothing.
            gradient_batches: A backward pass a task for each.
        """
        found: list[list[Moments]] = []
        rows, gradients = 0, GradientMeans()
        for index, batch in enumerate(batches):
            seen, sums = self._look(batch)
            rows += int(seen)
            found = found or [[Moments() for _ in own] for own in sums]
            _add(found, sums)
            if index < gradient_batches and self._layers:
                gradients.add(int(seen), self._pull(batch))
        return self._inspection(found, rows, gradients)

    def gradients(self, batches: Iterable[Batch]) -> tuple[LayerGradients, ...]:
        """What `inspect` sees of the tasks' gradients, without gates and experts.

        Args:
            batches: As in `inspect`; a backward pass a task for each.
        """
        found = GradientMeans()
        for batch in batches if self._layers else ():
            found.add(int(tf.reduce_sum(batch.weight)), self._pull(batch))
        return found.by_layer(list(self._layers))

    def _inspection(
        self, found: list[list[Moments]], rows: int, gradients: GradientMeans
    ) -> Inspection:
        uses = [n.uses(own) for n, own in zip(self._networks, found, strict=False)]
        return Inspection(
            tasks=tuple(task.name for task in self._ranker.spec.tasks),
            step=int(self._ranker.steps.numpy()),
            rows=rows,
            gradient_rows=gradients.rows,
            gates=tuple(use for gates, _ in uses for use in gates),
            experts=tuple(use for _, experts in uses for use in experts),
            layers=gradients.by_layer(list(self._layers)),
        )

    # --- on the device ----------------------------------------------------------------

    def _sums(self, batch: Batch) -> tuple[tf.Tensor, list[Any]]:
        """Rows, and for each network what `NetworkSums.of_batch` gives."""
        inside = self._ranker.look_inside(batch)
        sums = [
            network.of_batch(structured, batch.features, batch.weight)
            for network, structured in zip(
                self._networks, inside.structured, strict=True
            )
        ]
        return global_sum(tf.reduce_sum(batch.weight)), sums

    def _gradients(self, batch: Batch) -> list[tf.Tensor]:
        """[T, weights] for each layer, of the task's weighted loss."""
        variables = [v for layer in self._layers.values() for v in layer]
        with tf.GradientTape() as tape:
            losses = self._ranker.look_inside(batch).losses
        gradients = iter(task_gradients(tape, losses, variables))
        return [
            tf.concat(
                [tf.reshape(next(gradients), [losses.shape[0], -1]) for _ in layer],
                axis=1,
            )
            for layer in self._layers.values()
        ]


def _traced(
    function: Callable[[Batch], Any], strategy: tf.distribute.Strategy
) -> Callable[[Batch], Any]:
    """`function` of a batch on every replica, which all return the same."""
    plain = tf.autograph.experimental.do_not_convert(function)

    @tf.function(autograph=False)
    def run(batch: Batch) -> Any:
        return strategy.run(plain, (batch,))

    def call(batch: Batch) -> Any:
        return tf.nest.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], run(batch)
        )

    return call


def _add(found: list[list[Moments]], sums: Any) -> None:
    """Adds a batch of every network."""
    for moments, new in zip(found, sums, strict=True):
        for own, parts in zip(moments, new, strict=True):
            own.add(*(part.numpy() for part in parts))
