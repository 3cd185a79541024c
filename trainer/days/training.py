"""A ranker in its strategy, and the function that takes many steps at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from absl import logging

from feature_specs import ModelConfig, Spec
from feature_specs.preset import weighted
from tpu_configs import SliceConfig
from trainer.days import averaging, optimizers
from trainer.days import input as examples
from trainer.days.layout import Layout
from trainer.days.means import ROWS, TASKS
from trainer.days.packed import DayCache
from trainer.errors import TrainingError
from trainer.model import embedding_engine
from trainer.model.ranker import Batch, Ranker
from trainer.objective import imbalance

_SAMPLE_ORDER = 0  # seed of the rows that are looked at


class Training:
    """All that a step needs.

    Args:
        spec: What the examples hold.
        config: The ranker.
        slice: Batch size, steps per call, precision and place of the tables.
        strategy: Where it runs.
        seed: Of initial weights, order of rows and dropout.
        sample: Share of the rows that is read.
        cache: Directory where packed days are kept, if any.
        first_files: Of the first day, for label means; None if a checkpoint will be
            restored.
        graph: Directory of the encoding's graph, for raw examples; without one the
            examples are encoded already.
        tables_of_a_tpu: See `LoopOptions`.

    Attributes:
        ranker: Compiled.
        average: Of its weights over the last steps.
    """

    def __init__(
        self,
        spec: Spec,
        config: ModelConfig,
        slice: SliceConfig,
        strategy: tf.distribute.Strategy,
        *,
        seed: int,
        sample: float = 1.0,
        cache: str | None = None,
        first_files: list[str] | None = None,
        graph: str | None = None,
        tables_of_a_tpu: bool = False,
    ):
        self.spec, self.config, self.seed = spec, config, seed
        self.strategy = strategy
        _check_replicas(slice, strategy.num_replicas_in_sync)
        tf.keras.utils.set_random_seed(seed)
        layout = Layout(spec, graph)
        days = _create_cache(cache, layout, slice)
        labels = _count_labels(layout, first_files, days)
        if first_files is not None:
            tasks = weighted(spec, config).tasks
            for told in imbalance.told_few(tasks, labels.means, labels.rows):
                logging.warning("%s", told)
        self._rows = slice.batch_size // strategy.num_replicas_in_sync
        with strategy.scope():
            tables = optimizers.of_tables(config.optimizer)
            engine = embedding_engine.create(slice, config, tables, self._rows)
            self.ranker = Ranker(
                spec,
                config,
                labels.means,
                label_rows=labels.rows,
                precision=slice.precision,
                sparse_gradients=slice.accelerator != "tpu" and not tables_of_a_tpu,
                engine=engine,
                seed=seed,
            )
            self.ranker.compile(
                optimizer=optimizers.create(config.optimizer, self.ranker, tables)
            )
            self.average = averaging.create(self.ranker, config.optimizer.average_steps)
        self.reader = examples.BatchReader(
            layout, slice.batch_size, sample=sample, seed=seed, cache=days
        )
        self._take_steps = _step_function(self, slice.steps_per_call)

    def epoch(
        self, day: str, files: list[str], epoch: int, skip: int = 0
    ) -> Iterator[npt.NDArray[Any]]:
        """What the steps of one pass returned, [steps, columns] for each call.

        Args:
            day: Its name.
            files: Its files.
            epoch: Number of the pass, from 0.
            skip: Steps of this pass that were taken before.
        """
        order = self.order(day, epoch)
        batches = iter(self.distributed(files, order, skip))
        while True:
            table = self._take_steps(batches).numpy()
            taken = table[table[:, ROWS] > 0]
            if len(taken):
                yield taken
            if len(taken) < len(table):
                return

    def sample(self, files: Sequence[str], batches: int) -> Iterator[Batch]:
        """Up to so many batches of the files, always the same, as they are trained."""
        return iter(self.distributed(files, _SAMPLE_ORDER, batches=batches))

    @property
    def tables_on_chips(self) -> bool:
        """Whether the ranker's tables can be read from a checkpoint only."""
        engine = self.ranker.engine
        return engine is not None and embedding_engine.on_tpu(self.strategy)

    # Only the loop around it needs converting; converting the whole model as well would
    # take longer than training a small day.
    @tf.autograph.experimental.do_not_convert
    def one_step(self, batch: Batch) -> tf.Tensor:
        """A replica's step; its shares of rows and losses, float32 [columns].

        The columns are those of `trainer.days.means`.
        """
        result = self.ranker.train_step(self.of_static_shape(batch))
        self.average.update(self.ranker.steps)
        head = [result["rows"], result["loss"], result["disentangle"]]
        tasks = [result["task_losses"], result["task_rows"]]
        return tf.concat([tf.stack(head), *tasks], axis=0)

    def of_static_shape(self, batch: Batch) -> Batch:
        """A replica's batch; several workers forget its number of rows on the way."""

        def known(value: tf.Tensor) -> tf.Tensor:
            # An embedding engine takes ids as they come, not the output of an op.
            if value.shape.is_fully_defined():
                return value
            return tf.ensure_shape(value, [self._rows, *value.shape[1:]])

        return tf.nest.map_structure(known, batch)

    def order(self, day: str, epoch: int) -> int:
        """The seed of the order of a pass over a day."""
        return zlib.crc32(f"{self.seed}/{day}/{epoch}".encode())

    def distributed(
        self, files: Sequence[str], order: int, skip: int = 0, batches: int = -1
    ) -> tf.distribute.DistributedDataset:
        """Batches as the strategy takes them: a part of each for every replica."""
        engine = self.ranker.engine

        def of_machine(context: tf.distribute.InputContext) -> tf.data.Dataset:
            share = examples.Share.from_context(context)
            dataset = self.reader.batches(files, seed=order, skip=skip, share=share)
            if engine:
                dataset = dataset.map(
                    lambda b: b._replace(features=engine.as_input(b.features))
                )
            return dataset.take(batches * share.replicas if batches >= 0 else -1)

        # An embedding engine takes its ids from the host.
        options = tf.distribute.InputOptions(experimental_fetch_to_device=False)
        return self.strategy.distribute_datasets_from_function(
            of_machine, options if engine else None
        )


def _step_function(
    training: Training, steps: int
) -> Callable[[Iterator[Batch]], tf.Tensor]:
    """A graph that takes up to `steps` steps from an iterator.

    It returns float32 [steps, columns]; the rows after the data's end are zeros.
    """
    strategy, columns = training.strategy, TASKS + 2 * len(training.spec.tasks)

    @tf.function
    def take_steps(iterator: Any) -> tf.Tensor:
        table = tf.TensorArray(tf.float32, steps, element_shape=[columns])
        for index in tf.range(steps):
            batch = iterator.get_next_as_optional()
            if batch.has_value():
                # Every replica returns its share, of rows and of losses alike.
                shares = strategy.run(training.one_step, (batch.get_value(),))
                row = strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)
            else:
                row = tf.zeros([columns])
            table = table.write(index, row)
        return table.stack()

    return take_steps


def _create_cache(
    directory: str | None, layout: Layout, slice: SliceConfig
) -> DayCache | None:
    if not directory:
        return None
    if slice.hosts > 1:
        raise TrainingError(
            f"cache: is for the machine that trains. Got slice {slice.name!r} with "
            f"{slice.hosts} hosts, which read their parts themselves. Leave it out."
        )
    return DayCache(directory, layout)


def _count_labels(
    layout: Layout, files: list[str] | None, cache: DayCache | None
) -> examples.LabelCounts:
    """Of the first day; a restored ranker has what follows from its checkpoint."""
    if files is None:
        ones = {task.name: 1.0 for task in layout.tasks}
        return examples.LabelCounts(dict.fromkeys(ones, 0.5), ones)
    return examples.count_labels(layout, files, cache)


def _check_replicas(slice: SliceConfig, replicas: int) -> None:
    if slice.batch_size % replicas:
        raise TrainingError(
            f"Slice {slice.name!r}: batch_size must be a multiple of the {replicas} "
            f"replicas that train. Got {slice.batch_size}. Give another --batch_size, "
            f"or change it in the slice."
        )
