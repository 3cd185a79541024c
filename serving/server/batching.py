"""Requests that arrive together run together, as TensorFlow Serving batches them.

Rules: REST contract sec. 10. Requests of one signature with the same inputs, types and
shapes of a row are put one behind the other, run at once, and their outputs are cut
apart again. `BatchingOptions` says how many rows, and how long a request may wait.

One thing is better than upstream: if a batch fails, each of its requests is run on its
own, so that no client's request fails for what another sent.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from serving.options import BatchingOptions
from serving.server.metrics import BatchingMetrics, Metrics

Arrays = Mapping[str, npt.NDArray[Any]]
Outputs = dict[str, npt.NDArray[Any]]
Function = Callable[[Arrays, Sequence[str]], Outputs]
_Key = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class _Task:
    """Rows of one request.

    Attributes:
        function: A version's signature; it stays loaded until the task is done.
        arrays: Input -> [rows, ...].
        wanted: Outputs to compute; all if empty.
        rows: At least one.
        done: The outputs, each [rows, ...].
        begin_s: When it came, on the monotonic clock.
    """

    function: Function
    arrays: Arrays
    wanted: tuple[str, ...]
    rows: int
    done: Future[Outputs] = dataclasses.field(default_factory=Future)
    begin_s: float = dataclasses.field(default_factory=time.monotonic)


@dataclasses.dataclass
class _Batch:
    """Tasks that will run at once.

    Attributes:
        key: What its tasks have in common.
        due_s: When it runs though it has room, on the monotonic clock.
        tasks: In order of arrival.
        rows: Of all tasks.
        is_closed: Whether it waits for no more tasks.
    """

    key: _Key
    due_s: float
    tasks: list[_Task] = dataclasses.field(default_factory=list)
    rows: int = 0
    is_closed: bool = False


class Batcher:
    """Puts requests together; its threads run them.

    Args:
        options: Sizes, times and threads.
        metrics: What counts them; nobody's by default.
    """

    def __init__(
        self, options: BatchingOptions, metrics: BatchingMetrics | None = None
    ):
        self._options = options
        self._metrics = metrics or Metrics().batching()
        self._most_rows = options.max_batch_size
        if options.enable_large_batch_splitting and options.max_execution_batch_size:
            self._most_rows = options.max_execution_batch_size
        self._changed = threading.Condition()
        self._waiting: list[_Batch] = []
        self._open: dict[_Key, _Batch] = {}
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batching-{i}", daemon=True)
            for i in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self,
        name: str,
        function: Function,
        arrays: Arrays,
        wanted: Sequence[str] = (),
    ) -> Outputs:
        """What `function(arrays, wanted)` gives; waits for others, and until it ran.

        Args:
            name: Of the signature; some are never batched.
            function: A version's signature.
            arrays: Input -> values.
            wanted: Outputs to compute; all if empty.

        Raises:
            tf.errors.OpError: Inputs that cannot be batched, too many batches that
                wait, or whatever the model raises.
        """
        if name in self._options.unbatched_signatures or not arrays:
            return function(arrays, wanted)
        rows = _common_rows(arrays)
        if rows == 0:
            return function(arrays, wanted)
        if rows > self._most_rows and not self._options.enable_large_batch_splitting:
            raise tf.errors.InvalidArgumentError(
                None,
                None,
                f"Task size {rows} is larger than maximum batch size {self._most_rows}"
                " (max_batch_size). Send fewer rows at a time.",
            )
        names = tuple(wanted)
        tasks = [
            _Task(function, part, names, _common_rows(part))
            for part in _split(arrays, rows, self._most_rows)
        ]
        self._enqueue(tasks)
        return _joined([task.done.result() for task in tasks])

    def close(self) -> None:
        """Ends the threads, after what waits has run."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # --- the queue --------------------------------------------------------------------

    def _enqueue(self, tasks: list[_Task]) -> None:
        """Adds all tasks, or none."""
        key = self._key(tasks[0])
        with self._changed:
            if self._is_closed:
                raise tf.errors.UnavailableError(None, None, "The server is stopping.")
            fits = self._fits(key, tasks[0])
            new_batches = len(tasks) - fits
            if len(self._waiting) + new_batches > self._options.max_enqueued_batches:
                raise tf.errors.UnavailableError(
                    None,
                    None,
                    "The batch scheduling queue to which this task was submitted is "
                    "full (max_enqueued_batches). Try again later.",
                )
            for task in tasks:
                self._add(key, task)
            self._changed.notify(len(tasks))

    def _fits(self, key: _Key, task: _Task) -> bool:
        batch = self._open.get(key)
        return batch is not None and batch.rows + task.rows <= self._most_rows

    def _add(self, key: _Key, task: _Task) -> None:
        if not self._fits(key, task):
            if key in self._open:
                self._open.pop(key).is_closed = True
            due_s = time.monotonic() + self._options.batch_timeout_micros / 1e6
            self._open[key] = _Batch(key, due_s)
            self._waiting.append(self._open[key])
        batch = self._open[key]
        batch.tasks.append(task)
        batch.rows += task.rows
        if batch.rows == self._most_rows:
            batch.is_closed = True
            del self._open[key]

    def _key(self, task: _Task) -> _Key:
        """Tasks with equal keys may share a batch."""
        pads = self._options.pad_variable_length_inputs
        return (
            id(task.function),  # a task that waits keeps it from being another's
            task.wanted,
            *(
                (name, array.dtype.str, array.ndim if pads else array.shape[1:])
                for name, array in sorted(task.arrays.items())
            ),
        )

    def _take(self) -> _Batch | None:
        """Waits for a batch that is full or due; None when all is done."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                for index, batch in enumerate(self._waiting):
                    if batch.is_closed or self._is_closed or batch.due_s <= now_s:
                        del self._waiting[index]
                        if self._open.get(batch.key) is batch:
                            del self._open[batch.key]
                        return batch
                if self._is_closed:
                    return None
                due_s = min((b.due_s for b in self._waiting), default=None)
                self._changed.wait(None if due_s is None else due_s - now_s)

    # --- the threads ------------------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            now_s = time.monotonic()
            for task in batch.tasks:
                self._metrics.waited(now_s - task.begin_s)
            self._run(batch.tasks)

    def _run(self, tasks: list[_Task]) -> None:
        try:
            outputs = self._outputs(tasks)
        except tf.errors.OpError as error:
            if len(tasks) == 1:
                tasks[0].done.set_exception(error)
                return
            for task in tasks:
                self._run([task])
        except BaseException as error:  # whoever waits must be told
            for task in tasks:
                task.done.set_exception(error)
        else:
            for task, part in zip(tasks, outputs, strict=True):
                task.done.set_result(part)

    def _outputs(self, tasks: list[_Task]) -> list[Outputs]:
        """Runs tasks of one key at once; the outputs of each."""
        rows = sum(task.rows for task in tasks)
        allowed = [size for size in self._options.allowed_batch_sizes if size >= rows]
        padded_rows = allowed[0] if allowed else rows
        arrays = {
            name: _merged([task.arrays[name] for task in tasks], padded_rows)
            for name in tasks[0].arrays
        }
        self._metrics.ran([task.rows for task in tasks], padded_rows)
        outputs = tasks[0].function(arrays, tasks[0].wanted)
        for name, output in outputs.items():
            _check_output(name, output, padded_rows)
        ends = np.cumsum([task.rows for task in tasks]).tolist()
        return [
            {name: output[end - t.rows : end] for name, output in outputs.items()}
            for t, end in zip(tasks, ends, strict=True)
        ]


def _common_rows(arrays: Arrays) -> int:
    """The size of the first dimension, which all inputs share."""
    if any(np.ndim(array) == 0 for array in arrays.values()):
        raise tf.errors.InvalidArgumentError(
            None,
            None,
            "Batching session Run() input tensors must have at least one dimension.",
        )
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise tf.errors.InvalidArgumentError(
            None,
            None,
            "Batching session Run() input tensors must have equal 0th-dimension size. "
            f"Got {sizes}.",
        )
    return next(iter(sizes.values()))


def _split(arrays: Arrays, rows: int, most_rows: int) -> list[Arrays]:
    if rows <= most_rows:
        return [arrays]
    return [
        {name: array[start : start + most_rows] for name, array in arrays.items()}
        for start in range(0, rows, most_rows)
    ]


def _joined(parts: list[Outputs]) -> Outputs:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _merged(parts: list[npt.NDArray[Any]], rows: int) -> npt.NDArray[Any]:
    """[n, ...] of each task -> [rows, ...]; what is missing repeats a row.

    That row is one that a client sent, so the model can take it.
    """
    row_shape = np.max([part.shape[1:] for part in parts], axis=0).astype(int).tolist()
    filled = [_filled(part, [len(part), *row_shape]) for part in parts]
    missing = rows - sum(map(len, parts))
    if missing:
        filled.append(np.repeat(filled[-1][:1], missing, axis=0))
    return filled[0] if len(filled) == 1 else np.concatenate(filled)


def _filled(array: npt.NDArray[Any], shape: list[int]) -> npt.NDArray[Any]:
    """An array made larger at its ends by its first value, as upstream does."""
    if list(array.shape) == shape:
        return array
    if array.size == 0:
        raise tf.errors.InvalidArgumentError(
            None, None, "Got empty tensor in batch of non-empty tensors."
        )
    larger = np.full(shape, array.flat[0], array.dtype)
    larger[tuple(map(slice, array.shape))] = array
    return larger


def _check_output(name: str, output: Any, rows: int) -> None:
    if np.ndim(output) == 0:
        raise tf.errors.FailedPreconditionError(
            None, None, f"Batched output tensor has 0 dimensions: {name}"
        )
    if len(output) != rows:
        raise tf.errors.FailedPreconditionError(
            None,
            None,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th "
            f"dimension sizes of the input tensors: {name} has {len(output)}, not "
            f"{rows}",
        )
