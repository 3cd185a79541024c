"""The day loop: each day in order, warm-started, with a checkpoint after each."""

from __future__ import annotations

import dataclasses
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf
from absl import logging

from feature_specs import ModelConfig, Spec
from tpu_configs import SliceConfig
from trainer import averaging, optimizers
from trainer import input as examples
from trainer import strategy as strategies
from trainer.inspection import DAILY, FINAL, Inspection, Inspector, SampleSize, report
from trainer.progress import Report, log_day, progress_bar
from trainer.ranker import Batch, Ranker
from trainer.state import (
    TrainingState,
    days_to_train,
    load_state,
    read_state,
    run_identity,
)

Day = tuple[str, list[str]]  # split name, file paths or globs

METRICS_FILE = "metrics.jsonl"
INSPECTION = "inspection"  # the folder of `log_dir`
_KEPT_CHECKPOINTS = 3
_SAMPLE_ORDER = 0  # seed of the rows that are looked at
# A look costs as much as training 8,000 rows.
_ROWS_A_LOOK = 200_000


class DivergedError(RuntimeError):
    """A loss or weight is no number any more; the day before's checkpoint is good."""


def train(
    spec: Spec,
    config: ModelConfig,
    days: Sequence[Day],
    *,
    checkpoint_dir: str,
    slice: SliceConfig,
    seed: int = 0,
    log_dir: str | None = None,
) -> Ranker:
    """Trains a ranker on `days`, in order, and returns it.

    Its weights are the average over the last steps (`averaging`); training itself goes
    on from the last ones.

    After each day a checkpoint is written. Started again with the same arguments, it
    goes on after the last finished day and ends with the same weights; with later days
    added, it trains those (warm start). `checkpoint_dir/metrics.jsonl` has one line a
    finished day: `day`, `rows`, `steps`, `loss`, `disentangle`, `task_losses` (each a
    mean over the rows of its sample space), `seconds`, `rows_per_s`.

    Args:
        spec: What the examples hold.
        config: The ranker.
        days: Name and files (or globs) of each day, oldest first.
        checkpoint_dir: Where checkpoints and metrics go; may be a bucket.
        slice: Accelerator, batch size, steps per call and precision.
        seed: Of initial weights, order of rows and dropout.
        log_dir: Where TensorBoard summaries go, if anywhere: each day's losses, and a
            look inside (`trainer.inspection`) after every 200,000 rows or more. At the
            end `inspection/` gets figures and JSON of the returned ranker, on rows of
            the last day.

    Raises:
        ValueError: No days, a day without files, days out of order, or a checkpoint of
            another run or of later days.
        DivergedError: The loss became NaN or infinite; names day and step. Or a weight
            did in the day's last step; names the day.
    """
    files = _files(days)
    run = run_identity(spec, config, slice.batch_size, slice.precision, seed)
    latest = tf.train.latest_checkpoint(checkpoint_dir)
    state = read_state(latest, run) if latest else TrainingState(run)
    todo = days_to_train(list(files), state)
    first = None if latest else next(iter(files.values()))
    training = _Training(spec, config, slice, seed, first)
    store = _Store(training, state, checkpoint_dir)
    if latest:
        store.restore(latest)
        logging.info("Goes on from %s: %d days are done.", latest, len(state.days))
    summaries = _Summaries(training, log_dir) if log_dir else None
    with progress_bar(len(todo)) as report:
        for index, day in enumerate(todo):
            record = training.train_day(index, day, files[day], report)
            _check_weights(training.ranker, day)
            state.days.append(record)
            store.save()
            log_day(index, len(todo), record)
            if summaries:
                summaries.add_day(record, files[day])
    training.average.apply()
    if summaries:
        summaries.finish(list(files.values())[-1])
    return training.ranker


class Trained(NamedTuple):
    """A ranker from a checkpoint, with the weights that `train` returned.

    Attributes:
        ranker: In its strategy.
        inspector: Looks inside.
        sample: Takes files and a number of batches; gives the batches.
    """

    ranker: Ranker
    inspector: Inspector
    sample: Callable[[Sequence[str], int], Iterator[Batch]]


def load(
    spec: Spec, config: ModelConfig, checkpoint_dir: str, slice: SliceConfig
) -> Trained:
    """The ranker of the latest checkpoint.

    Args:
        spec: What it was trained on.
        config: Its preset.
        checkpoint_dir: As in `train`.
        slice: Where it will run; batch size and precision are those of the training.

    Raises:
        ValueError: There is no checkpoint, or it is of another spec or preset.
    """
    latest = tf.train.latest_checkpoint(checkpoint_dir)
    if not latest:
        raise ValueError(
            f"Checkpoints {checkpoint_dir}: must hold one of a finished day. Got none. "
            f"Name the directory that was given to `train`."
        )
    before = load_state(latest).run
    seed, size, precision = (before[k] for k in ("seed", "batch_size", "precision"))
    state = read_state(latest, run_identity(spec, config, size, precision, seed))
    slice = dataclasses.replace(slice, batch_size=size, precision=precision)
    training = _Training(spec, config, slice, seed, None)
    _Store(training, state, checkpoint_dir).restore(latest)
    training.average.apply()
    inspector = Inspector(training.ranker, training.strategy)
    return Trained(training.ranker, inspector, training.sample)


def _files(days: Sequence[Day]) -> dict[str, list[str]]:
    names = [name for name, _ in days]
    if not names:
        raise ValueError("days: must be one day at least. Got none. Name its files.")
    if names != sorted(set(names)):
        raise ValueError(
            f"days: must be in order and named once each. Got {', '.join(names)}. "
            f"Sort them, oldest first."
        )
    return {name: examples.match_files(name, patterns) for name, patterns in days}


class _Training:
    """A ranker in its strategy, and the function that takes many steps at once."""

    def __init__(
        self,
        spec: Spec,
        config: ModelConfig,
        slice: SliceConfig,
        seed: int,
        first_files: list[str] | None,
    ):
        self.spec, self.config, self.slice, self.seed = spec, config, slice, seed
        tf.keras.utils.set_random_seed(seed)
        self.strategy = strategies.create(slice.accelerator)
        _check_replicas(slice, self.strategy.num_replicas_in_sync)
        labels = _count_labels(spec, first_files)
        with self.strategy.scope():
            self.ranker = Ranker(
                spec,
                config,
                labels.means,
                label_rows=labels.rows,
                precision=slice.precision,
                sparse_gradients=slice.accelerator != "tpu",
                seed=seed,
            )
            self.ranker.compile(
                optimizer=optimizers.create(config.optimizer, self.ranker)
            )
            self.average = averaging.create(self.ranker, config.optimizer.average_steps)
        self._reader = examples.BatchReader(spec, slice.batch_size)
        self._take_steps = _step_function(
            self.ranker, self.average, self.strategy, slice.steps_per_call
        )

    def train_day(
        self, index: int, day: str, files: list[str], report: Report
    ) -> dict[str, Any]:
        """All passes over one day; the record that `train` describes."""
        means = _Means(len(self.spec.tasks))
        for epoch in range(self.config.epochs_per_day):
            for table in self._epoch(day, files, epoch):
                _check_finite(table, day, means.steps)
                means.add(table)
                speed = means.rows / means.seconds
                report(index, day, means.rows, speed, means.loss)
        return _record(self.spec, day, means)

    def sample(self, files: Sequence[str], batches: int) -> Iterator[Batch]:
        """Up to so many batches of the files, always the same, as they are trained."""
        dataset = self._reader.batches(files, seed=_SAMPLE_ORDER).take(batches)
        return iter(self.strategy.experimental_distribute_dataset(dataset))

    def _epoch(self, day: str, files: list[str], epoch: int) -> Iterator[np.ndarray]:
        """What the steps of one pass returned, [steps, columns] for each call."""
        order = zlib.crc32(f"{self.seed}/{day}/{epoch}".encode())
        dataset = self._reader.batches(files, seed=order)
        iterator = iter(self.strategy.experimental_distribute_dataset(dataset))
        while True:
            table = self._take_steps(iterator).numpy()
            taken = table[table[:, _ROWS] > 0]
            if len(taken):
                yield taken
            if len(taken) < len(table):
                return


# Columns of a step's results. The tasks' losses follow, then the rows in their sample
# spaces.
_ROWS, _LOSS, _DISENTANGLE, _TASKS = range(4)


class _Means:
    """Means so far of what the steps returned: over all rows, a task's over its own."""

    def __init__(self, tasks: int):
        self._disentangle, self._loss = 0.0, 0.0
        self._task_losses, self._task_rows = np.zeros(tasks), np.zeros(tasks)
        self._started = time.perf_counter()
        self.rows, self.steps = 0, 0

    def add(self, table: np.ndarray) -> None:
        """Counts the steps of `table` [steps, columns]."""
        table = table.astype(np.float64)
        losses, rows = np.split(table[:, _TASKS:], 2, axis=1)
        self._loss += table[:, _ROWS] @ table[:, _LOSS]
        self._disentangle += table[:, _ROWS] @ table[:, _DISENTANGLE]
        self._task_losses += (rows * losses).sum(axis=0)
        self._task_rows += rows.sum(axis=0)
        self.rows += int(table[:, _ROWS].sum())
        self.steps += len(table)

    @property
    def loss(self) -> float:
        return float(self._loss / max(self.rows, 1))

    @property
    def disentangle(self) -> float:
        return float(self._disentangle / max(self.rows, 1))

    @property
    def task_losses(self) -> list[float]:
        """One a task; 0 for a task without a row."""
        return (self._task_losses / np.maximum(self._task_rows, 1)).tolist()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started


def _step_function(
    ranker: Ranker,
    average: averaging.WeightAverage,
    strategy: tf.distribute.Strategy,
    steps: int,
) -> Callable[[Iterator], tf.Tensor]:
    """A graph that takes up to `steps` steps from an iterator.

    It returns float32 [steps, columns]; the rows after the data's end are zeros.
    """
    columns = _TASKS + 2 * len(ranker.spec.tasks)

    # Only the loop below needs converting; converting the whole model as well would
    # take longer than training a small day.
    @tf.autograph.experimental.do_not_convert
    def one_step(batch) -> tf.Tensor:
        result = ranker.train_step(batch)
        average.update(ranker.steps)
        head = [result["rows"], result["loss"], result["disentangle"]]
        tasks = [result["task_losses"], result["task_rows"]]
        return tf.concat([tf.stack(head), *tasks], axis=0)

    @tf.function
    def take_steps(iterator):
        table = tf.TensorArray(tf.float32, steps, element_shape=[columns])
        for index in tf.range(steps):
            batch = iterator.get_next_as_optional()
            if batch.has_value():
                # Every replica returns its share, of rows and of losses alike.
                shares = strategy.run(one_step, (batch.get_value(),))
                row = strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)
            else:
                row = tf.zeros([columns])
            table = table.write(index, row)
        return table.stack()

    return take_steps


class _Store:
    """Checkpoints with the training's state, and the metrics file beside them."""

    def __init__(self, training: _Training, state: TrainingState, directory: str):
        self._state, self._directory = state, directory
        self._text = tf.Variable(state.to_json(), trainable=False, dtype=tf.string)
        self._checkpoint = tf.train.Checkpoint(
            ranker=training.ranker, average=training.average, state=self._text
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, directory, max_to_keep=_KEPT_CHECKPOINTS
        )

    def restore(self, path: str) -> None:
        """Loads every weight, the optimizers' included."""
        self._checkpoint.restore(path).assert_existing_objects_matched()

    def save(self) -> None:
        """Writes the checkpoint of the last finished day, then the metrics."""
        self._text.assign(self._state.to_json())
        self._manager.save(checkpoint_number=len(self._state.days))
        path = f"{self._directory}/{METRICS_FILE}"
        with tf.io.gfile.GFile(path, "w") as file:
            file.write("".join(json.dumps(day) + "\n" for day in self._state.days))


def _count_labels(spec: Spec, files: list[str] | None) -> examples.LabelCounts:
    """Of the first day; a restored ranker has what follows from its checkpoint."""
    if files is None:
        ones = {task.name: 1.0 for task in spec.tasks}
        return examples.LabelCounts(dict.fromkeys(ones, 0.5), ones)
    return examples.count_labels(spec, files)


def _check_replicas(slice: SliceConfig, replicas: int) -> None:
    if slice.batch_size % replicas:
        raise ValueError(
            f"Slice {slice.name!r}: batch_size must be a multiple of the {replicas} "
            f"replicas of this machine. Got {slice.batch_size}. Change it in the slice."
        )


def _check_finite(table: np.ndarray, day: str, steps_before: int) -> None:
    broken = np.flatnonzero(~np.isfinite(table[:, _LOSS]))
    if broken.size:
        raise DivergedError(
            f"Day {day!r}, step {steps_before + int(broken[0]) + 1}: the loss must be "
            f"a number. Got {table[broken[0], _LOSS]}. Lower the learning rates of the "
            f"preset or set optimizer.clip_norm; a restart begins with this day again."
        )


def _check_weights(ranker: Ranker, day: str) -> None:
    """Finds what `_check_finite` cannot: a step's loss is that before its update."""
    for variable in ranker.dense_variables:
        if not np.isfinite(variable.numpy()).all():
            raise DivergedError(
                f"Day {day!r}, its last step: the weights must be numbers. Got NaN or "
                f"infinity in {variable.name}. Lower the learning rates of the preset; "
                f"a restart begins with this day again."
            )


def _record(spec: Spec, day: str, means: _Means) -> dict[str, Any]:
    names = [task.name for task in spec.tasks]
    return {
        "day": day,
        "rows": means.rows,
        "steps": means.steps,
        "loss": means.loss,
        "disentangle": means.disentangle,
        "task_losses": dict(zip(names, means.task_losses, strict=True)),
        "seconds": round(means.seconds, 3),
        "rows_per_s": round(means.rows / means.seconds, 1),
    }


class _Summaries:
    """What TensorBoard shows of a training, and the figures at its end."""

    def __init__(self, training: _Training, log_dir: str):
        self._training, self._log_dir = training, log_dir
        self._writer = tf.summary.create_file_writer(log_dir)
        self._inspector = Inspector(training.ranker, training.strategy)
        self._rows_since_look = 0

    def add_day(self, record: dict[str, Any], files: list[str]) -> None:
        """Losses and speed of a day; after days with many rows a look inside."""
        with self._writer.as_default(int(self._training.ranker.steps.numpy())):
            for name in ("loss", "disentangle", "rows_per_s"):
                tf.summary.scalar(name, record[name])
            for task, loss in record["task_losses"].items():
                tf.summary.scalar(f"task_loss/{task}", loss)
        self._writer.flush()
        self._rows_since_look += record["rows"]
        if self._rows_since_look >= _ROWS_A_LOOK:
            self._rows_since_look = 0
            report.summarise(self._writer, self._look(files, DAILY))

    def finish(self, files: list[str]) -> None:
        """Figures and JSON of the weights as they are now."""
        found = self._look(files, FINAL)
        figures = report.write(found, os.path.join(self._log_dir, INSPECTION))
        report.summarise(self._writer, found)
        report.summarise_figures(self._writer, figures, found.step)

    def _look(self, files: list[str], size: SampleSize) -> Inspection:
        batches = self._training.sample(files, size.batches)
        return self._inspector.inspect(batches, size.gradient_batches)
