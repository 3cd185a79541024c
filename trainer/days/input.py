"""Examples -> batches of static shape.

Rows are parsed, and raw ones encoded, many at once. The last batch is padded, the order
seeded: the same files and seed give the same batches, whatever the machine and however
many of them share the work.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt
import tensorflow as tf

from trainer.days.layout import Layout
from trainer.days.packed import DayCache, rows_of
from trainer.days.shards import check_whole, for_evaluation
from trainer.errors import TrainingError
from trainer.model.ranker import Batch

_SHUFFLE_ROWS = 4096  # examples come shuffled within their day already
_SCAN_ROWS = 4096  # rows parsed at once where no batch is asked for
_ENCODED_ROWS = 4096  # raw ones at once: a graph costs as much for one as for hundreds
_FILES_AT_ONCE = 4
_PARSED_AT_ONCE = min(os.cpu_count() or 1, 64)  # batches
_PREFETCHED = 4  # batches
_BLOCK_ROWS = 64  # read at once: handing single rows from thread to thread costs more


def match_files(
    day: str,
    patterns: Sequence[str],
    *,
    evaluation: bool = False,
    required: bool = True,
) -> list[str]:
    """The files that a day's globs name, sorted.

    Args:
        day: Its name.
        patterns: Paths or globs.
        evaluation: Whether rows count that are judged but never trained on.
        required: Whether one must be there.

    Raises:
        ValueError: There is none, but must be one.
    """
    found = {path for p in patterns for path in tf.io.gfile.glob(p)}
    files = sorted(path for path in found if evaluation or not for_evaluation(path))
    if required and not files:
        raise TrainingError(
            f"Day {day!r}: must have one file of examples at least. Nothing matches "
            f"{', '.join(patterns) or 'an empty list of files'}. Check the directory "
            f"of examples, or leave the day out."
        )
    return files


class Share(NamedTuple):
    """Which part of each global batch one machine reads, and for how many replicas.

    Attributes:
        machine: Number of this one, from 0.
        machines: All that read.
        replicas: Of this machine; its rows come in so many batches, one each.
    """

    machine: int = 0
    machines: int = 1
    replicas: int = 1

    @classmethod
    def from_context(cls, context: tf.distribute.InputContext) -> Share:
        """The share that a strategy asks for."""
        machines, replicas = context.num_input_pipelines, context.num_replicas_in_sync
        return cls(context.input_pipeline_id, machines, replicas // machines)


_ALONE = Share()


class BatchReader:
    """Reads files of one layout as `Batch`es; each global one has `batch_size` rows.

    Keep one for all days: its parse function is traced once.

    Args:
        layout: Of the files' rows.
        batch_size: Rows of one step, over all replicas.
        sample: Share of the rows that is read, always the same ones.
        seed: Which rows these are.
        cache: Where days are kept, if anywhere; the batches are the same.

    Attributes:
        batch_size: As given.
    """

    def __init__(
        self,
        layout: Layout,
        batch_size: int,
        *,
        sample: float = 1.0,
        seed: int = 0,
        cache: DayCache | None = None,
    ):
        @tf.function(autograph=False)
        def unpack(matrix: tf.Tensor, rows: int) -> Batch:
            return layout.unpack(matrix, rows)

        self.batch_size, self._unpack = batch_size, unpack
        self._layout = layout
        self._sample, self._seed, self._cache = sample, seed, cache

    def batches(
        self, files: Sequence[str], *, seed: int, skip: int = 0, share: Share = _ALONE
    ) -> tf.data.Dataset:
        """One pass over `files` (gzipped TFRecords of examples).

        The files are read interleaved and shuffled by `seed`. Every batch has the same
        rows; the last one is filled up with rows of weight and masks 0. Machines that
        share the work cut their parts out of the same global batches: each unpacks all
        files, which is cheap, and parses its own rows only.

        Args:
            files: Paths, in order.
            seed: Of the order of rows.
            skip: Global batches at the beginning that are left out, not even parsed.
            share: Of this machine.
        """
        rows = self.batch_size // share.machines
        source = self._source(files, share)
        ordered = self._ordered(source.records, seed).skip(skip * self.batch_size)
        chosen = ordered.batch(self.batch_size * source.batches)
        if share.machines > 1:
            first = share.machine * rows
            chosen = chosen.map(lambda batch: batch[first : first + rows])
        parsed = self._parsed(chosen, source, rows)
        if share.replicas > 1:
            parsed = parsed.map(lambda b: _split(b, share.replicas)).unbatch()
        return not_tuned(parsed.prefetch(_PREFETCHED * share.replicas))

    def serialized(self, files: Sequence[str], *, seed: int) -> tf.data.Dataset:
        """The same batches, not yet parsed: string [rows] each."""
        ordered = self._ordered(_records(files), seed)
        return not_tuned(ordered.batch(self.batch_size))

    def _source(self, files: Sequence[str], share: Share) -> _Source:
        matrix = _cached(self._cache, files, self._layout)
        if matrix is not None:
            numbers = tf.data.Dataset.range(len(matrix))
            return _Source(numbers, functools.partial(rows_of, matrix))
        read = self._layout.reader(share.machine)
        # Parts of several machines' batches are never joined: the last may be empty on
        # one of them, which would then have a batch less than the others.
        joined = self._layout.is_raw and share.machines == 1
        at_once = max(1, _ENCODED_ROWS // self.batch_size) if joined else 1
        return _Source(_records(files), read, at_once)

    def _ordered(self, records: tf.data.Dataset, seed: int) -> tf.data.Dataset:
        """Those of the sample, in the order of `seed`; numbers are ordered alike.

        Where requests are to stay together, blocks of rows change places, not rows: the
        examples come shuffled by requests.
        """
        if self._sample < 1:
            records = _sampled(records, self._sample, self._seed)
        if not self._layout.keeps_requests:
            return records.shuffle(_SHUFFLE_ROWS, seed, False)
        blocks = records.batch(_BLOCK_ROWS)
        return blocks.shuffle(_SHUFFLE_ROWS // _BLOCK_ROWS, seed, False).unbatch()

    def _parsed(
        self, chosen: tf.data.Dataset, source: _Source, rows: int
    ) -> tf.data.Dataset:
        """Batches of `rows` rows of what was chosen, one or several batches at once."""
        if source.batches == 1:
            return chosen.map(
                lambda batch: self._unpack(source.read(batch), rows),
                num_parallel_calls=_PARSED_AT_ONCE,
            )
        matrices = chosen.map(source.read, num_parallel_calls=_PARSED_AT_ONCE)
        return matrices.rebatch(rows).map(
            lambda matrix: self._unpack(matrix, rows),
            num_parallel_calls=_PARSED_AT_ONCE,
        )


class _Source(NamedTuple):
    """Where a day's rows come from.

    Attributes:
        records: Serialized examples, or the numbers of packed rows.
        read: Some of them -> their matrix.
        batches: So many are read at once.
    """

    records: tf.data.Dataset
    read: Callable[[tf.Tensor], tf.Tensor]
    batches: int = 1


def not_tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset without autotuning, so that its end is its end.

    With it, an iterator that goes often waits for the next round of tuning, up to as
    long as it has lived and a minute at most: TensorFlow's tuner misses the word that
    it is over. After every pass and every look at a few batches nothing would happen.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _sampled(records: tf.data.Dataset, share: float, seed: int) -> tf.data.Dataset:
    """A share of the records; which ones follows from their place and `seed`."""

    def keep(index: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform(
            tf.shape(batch), [seed, tf.cast(index, tf.int32)], alg="philox"
        )
        return tf.boolean_mask(batch, draws < share)

    return records.batch(_SCAN_ROWS).enumerate().map(keep).unbatch()


def _split(batch: Batch, replicas: int) -> Batch:
    """[B, ...] -> [replicas, B / replicas, ...]"""
    return tf.nest.map_structure(
        lambda value: tf.reshape(value, [replicas, -1, *value.shape[1:]]), batch
    )


class LabelCounts(NamedTuple):
    """What labels look like before training.

    Attributes:
        means: Task -> mean label over the rows of its sample space. A binary task's is
            smoothed by half a row of each label, so that one that is never seen starts
            rare and not impossible.
        rows: Task -> rows in its sample space.
    """

    means: dict[str, float]
    rows: dict[str, float]


def count_labels(
    layout: Layout, files: Sequence[str], cache: DayCache | None = None
) -> LabelCounts:
    """The labels of some files, from one pass."""
    tasks = layout.tasks
    sums = tf.zeros([2, len(tasks)], tf.float64)
    for labels, masks in _labels(layout, files, cache):
        counted = tf.stack([labels * masks, masks])
        sums += tf.cast(tf.reduce_sum(counted, axis=1), tf.float64)
    totals, rows = sums.numpy()
    means = {
        task.name: task.of_kind.mean_label(float(total), float(count))
        for task, total, count in zip(tasks, totals, rows, strict=True)
    }
    names = [task.name for task in tasks]
    return LabelCounts(means, dict(zip(names, rows.tolist(), strict=True)))


def _labels(
    layout: Layout, files: Sequence[str], cache: DayCache | None
) -> Iterable[tuple[tf.Tensor, tf.Tensor]]:
    """Pairs of labels and masks, each [rows, T]."""
    matrix = _cached(cache, files, layout)
    if matrix is not None:
        starts = range(0, len(matrix), _SCAN_ROWS)
        return (layout.labels(matrix[i : i + _SCAN_ROWS]) for i in starts)
    return not_tuned(_records(files).batch(_SCAN_ROWS).map(layout.parse_labels))


def _cached(
    cache: DayCache | None, files: Sequence[str], layout: Layout
) -> npt.NDArray[Any] | None:
    """The matrix of all rows of the files, in the order of `_records`."""
    if cache is None:
        return None
    return cache.open(
        files,
        lambda: (
            not_tuned(_records(files))
            .batch(_SCAN_ROWS)
            .map(layout.reader(), num_parallel_calls=_PARSED_AT_ONCE)
            .prefetch(_PREFETCHED)
        ),
    )


def _records(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized examples, blocks of the files' records taken in turn.

    Raises:
        DamagedExamplesError: A file is damaged, or one is missing.
    """
    check_whole(files)

    def blocks(file: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(file, "GZIP").batch(_BLOCK_ROWS)

    return (
        tf.data.Dataset.from_tensor_slices(list(files))
        .interleave(
            blocks,
            cycle_length=_FILES_AT_ONCE,
            num_parallel_calls=min(_FILES_AT_ONCE, len(files)),
            deterministic=True,
        )
        .unbatch()
    )
