"""Where a value of a row is: in its example, in the packed matrix, in a `Batch`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from feature_specs import Spec, TaskSpec, label_key, mask_key
from feature_specs.spec import KEY_REQUEST
from trainer.days.encoding import read_encoding
from trainer.days.raw_rows import Encode, load_graph, raw_columns
from trainer.model.ranker import Batch

_FORMAT = 1  # counts up when the order of columns or of rows changes
_DIGITS = 16  # of the digest
_INT32 = 0x7FFF_FFFF
_VECTOR_ROWS = 64  # a multiple of what any processor takes at once


class Layout:
    """Where the values of a row lie in an int32 matrix [rows, width].

    One value of an integer feature (ids, codes, buckets, facets) has a column; those
    come first, then the integer lists; then, bit by bit, the float32 values: features
    of one float, those of several, labels, masks. Which is which the kinds of the
    features say (`FeatureKind.shape` and `encoded`).

    Args:
        spec: Its features and tasks.
        graph: Directory of the `TransformGraph` that encodes raw examples; without one
            the examples are encoded already.

    Attributes:
        tasks: The spec's, in the order of `labels`.
        width: Columns of the matrix.
        digest: Changes with what the columns hold, and with how it was encoded.
        keeps_requests: Whether rows of one request lie together, and batches hold
            `KEY_REQUEST`, its hash's last 31 bits; 0 is none.
    """

    def __init__(self, spec: Spec, graph: str | None = None):
        self._spec, self._graph = spec, graph
        self._readers: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {}
        self.tasks: tuple[TaskSpec, ...] = spec.tasks
        made = [entry.name for entry in spec.facet_inputs]
        self._names = [*(f.name for f in spec.features), *made]
        floats = [f for f in spec.features if f.is_number]
        ints = [f for f in spec.features if not f.is_number]
        self.keeps_requests = spec.keeps_requests
        keys = [KEY_REQUEST] if spec.keeps_requests else []
        self._names += keys
        self._codes = [*(f.name for f in ints if not f.shape), *made, *keys]
        self._sequences = {f.name: sum(f.shape) for f in ints if f.shape}
        self._numbers = [f.name for f in floats if not f.shape]
        self._vectors = {f.name: sum(f.shape) for f in floats if f.shape}
        self._labels = [label_key(task.name) for task in spec.tasks]
        self._masks = [mask_key(task.name) for task in spec.tasks]
        self._columns = {
            f.name: tf.io.FixedLenFeature(list(f.shape), tf.as_dtype(f.of_kind.encoded))
            for f in spec.features
        } | {name: tf.io.FixedLenFeature([], tf.int64) for name in made}
        self._sizes = [len(self._codes), *self._sequences.values()]
        self._sizes += [len(self._numbers), *self._vectors.values()]
        self._sizes += [len(self._labels), len(self._masks)]
        self.width = sum(self._sizes)
        self.digest = self._digest()

    def _digest(self) -> str:
        parts: list[object] = [self._codes, self._sequences, self._numbers]
        parts += [self._vectors] if self._vectors else []
        parts += [read_encoding(self._graph).digest] if self._graph else []
        return short_digest([_FORMAT, *parts, self._labels])

    # --- examples -----------------------------------------------------------------

    def reader(self, machine: int = 0) -> Callable[[tf.Tensor], tf.Tensor]:
        """Serialized examples [rows] -> their matrix, as a graph that is traced once.

        Args:
            machine: Whose input pipeline it is for, in whose `tf.device` it is asked
                for first: the tables of an encoding lie there.

        Raises:
            TrainingError: The encoding's graph is none, or of another spec.
        """
        if machine not in self._readers:
            encode = load_graph(self._spec, self._graph) if self._graph else None

            @tf.function(autograph=False)
            def parse(serialized: tf.Tensor) -> tf.Tensor:
                return self._parse(serialized, encode)

            self._readers[machine] = parse
        return self._readers[machine]

    @property
    def is_raw(self) -> bool:
        """Whether it encodes raw examples."""
        return self._graph is not None

    def _parse(self, serialized: tf.Tensor, encode: Encode | None) -> tf.Tensor:
        if encode is None:
            columns = self._columns | self._passed_columns()
            return self.pack(tf.io.parse_example(serialized, columns))
        columns = raw_columns(self._spec.features) | self._passed_columns()
        raw = tf.io.parse_example(_filled_up(serialized), columns)
        passed = {name: raw.pop(name) for name in self._passed_columns()}
        matrix = self.pack(encode(raw) | passed)  # a graph passes labels and keys too
        return matrix[: tf.shape(serialized)[0]]

    def parse_labels(self, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Serialized examples [rows] -> labels and masks, [rows, T] each."""
        row = tf.io.parse_example(serialized, self._label_columns())
        return (
            tf.stack([row[key] for key in self._labels], axis=1),
            tf.stack([row[key] for key in self._masks], axis=1),
        )

    def _passed_columns(self) -> dict[str, tf.io.FixedLenFeature]:
        """What is not encoded: labels, masks, the request."""
        found = self._label_columns()
        if self.keeps_requests:
            found[KEY_REQUEST] = tf.io.FixedLenFeature([], tf.int64)
        return found

    def _label_columns(self) -> dict[str, tf.io.FixedLenFeature]:
        keys = [*self._labels, *self._masks]
        return {key: tf.io.FixedLenFeature([], tf.float32) for key in keys}

    # --- the matrix ---------------------------------------------------------------

    def pack(self, row: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Parsed columns, int64 or float32, by their names in the example -> matrix."""
        if self.keeps_requests:
            row = {**row, KEY_REQUEST: row[KEY_REQUEST] & _INT32}
        codes = _columns(row, self._codes)
        ints = [*codes, *(row[name] for name in self._sequences)]
        floats = [*_columns(row, self._numbers), *(row[name] for name in self._vectors)]
        floats += [*_columns(row, self._labels), *_columns(row, self._masks)]
        bits = tf.bitcast(tf.concat(floats, axis=1), tf.int32)
        if not ints:
            return bits
        return tf.concat([tf.cast(tf.concat(ints, axis=1), tf.int32), bits], axis=1)

    def unpack(self, matrix: tf.Tensor, rows: int) -> Batch:
        """The batch of a matrix, filled up to `rows` rows with zeros of weight 0."""
        count = tf.shape(matrix)[0]
        filled = tf.pad(matrix, [[0, rows - count], [0, 0]])
        filled = tf.ensure_shape(filled, [rows, self.width])
        parts = iter(tf.split(filled, self._sizes, axis=1))
        found = _by_name(self._codes, next(parts))
        found |= {name: next(parts) for name in self._sequences}
        found |= _by_name(self._numbers, tf.bitcast(next(parts), tf.float32))
        found |= {n: tf.bitcast(next(parts), tf.float32) for n in self._vectors}
        return Batch(
            features={name: found[name] for name in self._names},
            labels=tf.bitcast(next(parts), tf.float32),
            masks=tf.bitcast(next(parts), tf.float32),
            weight=tf.cast(tf.range(rows) < count, tf.float32),
        )

    def labels(
        self, matrix: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Labels and masks of a matrix, float32 [rows, T] each."""
        tasks = len(self._labels)
        both = np.ascontiguousarray(matrix[:, -2 * tasks :]).view(np.float32)
        return both[:, :tasks], both[:, tasks:]


def short_digest(value: object) -> str:
    """Hex digits that change with a value, as JSON has it."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:_DIGITS]


def _filled_up(serialized: tf.Tensor) -> tf.Tensor:
    """With copies of the first row up to whole vectors of a processor.

    TensorFlow takes the last few numbers of a column one by one, and their logarithms
    have other last bits than those of whole vectors: a row's encoding would follow from
    the batch that it happens to be in.
    """
    lacking = -tf.shape(serialized)[0] % _VECTOR_ROWS
    return tf.concat([serialized, tf.repeat(serialized[:1], lacking)], axis=0)


def _columns(row: Mapping[str, tf.Tensor], names: Sequence[str]) -> list[tf.Tensor]:
    """[tensor [rows, names]], or nothing without names."""
    return [tf.stack([row[name] for name in names], axis=1)] if names else []


def _by_name(names: Sequence[str], columns: tf.Tensor) -> dict[str, tf.Tensor]:
    if not names:
        return {}
    return dict(zip(names, tf.unstack(columns, axis=1), strict=True))
