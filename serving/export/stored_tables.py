"""Large embedding tables in half or a quarter of the bytes, for an exported model.

    with stored_tables(ranker, "int8") as tables:
        ...  # functions that are traced here read the stored tables

`float16` rounds each number to eleven bits. `int8` has one scale a row: the row's
largest size is 127 steps of it, and each number is its nearest step, so that none is
off by more than half a step. Both are read by standard ops: a gather, a cast, and a
product with the gathered scales.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import tensorflow as tf

from feature_specs.errors import TrailrankError
from trainer.model.embeddings import FeatureEmbeddings, reading_instead
from trainer.model.ranker import Ranker

TableType: TypeAlias = Literal["float32", "float16", "int8"]
TABLE_TYPES: tuple[TableType, ...] = get_args(TableType)
_STEPS = 127


class TablesError(TrailrankError, ValueError):
    """Tables that cannot be stored in another type."""


class StoredTable(tf.Module):
    """One table, [rows, width].

    Args:
        table: As it was trained.
        kind: `float16` or `int8`.

    Attributes:
        replaces: `table.ref()`.
        rows: [rows, width] of that type.
        scales: [rows] float32, a step of `int8`; None for `float16`.
    """

    def __init__(self, table: tf.Variable, kind: TableType):
        super().__init__()
        self.replaces = table.ref()  # the variable itself would be saved with this
        values = tf.convert_to_tensor(table)
        self.scales: tf.Variable | None = None
        if kind == "int8":
            scales = tf.reduce_max(tf.abs(values), axis=1) / _STEPS  # [rows]
            steps = tf.math.divide_no_nan(values, scales[:, tf.newaxis])
            values = tf.clip_by_value(tf.round(steps), -_STEPS, _STEPS)
            self.scales = tf.Variable(scales, trainable=False, name="scales")
        self.rows = tf.Variable(tf.cast(values, kind), trainable=False, name="rows")

    def look_up(self, ids: tf.Tensor) -> tf.Tensor:
        """int [...] -> float32 [..., width]."""
        found = tf.cast(tf.gather(self.rows, ids), tf.float32)
        if self.scales is None:
            return found
        return found * tf.gather(self.scales, ids)[..., tf.newaxis]

    @property
    def size_bytes(self) -> int:
        """Of what is stored."""
        parts = [self.rows] if self.scales is None else [self.rows, self.scales]
        return sum(p.shape.num_elements() * p.dtype.size for p in parts)

    @property
    def float32_bytes(self) -> int:
        """Of the table as it was trained."""
        return int(self.rows.shape.num_elements() * tf.float32.size)


@contextlib.contextmanager
def stored_tables(ranker: Ranker, kind: TableType) -> Iterator[list[StoredTable]]:
    """While the block runs, what is traced reads the ranker's large tables so stored.

    Small ones, unified ones and those of an embedding engine stay as they are.

    Raises:
        TablesError: An unknown type, or no table is large.
    """
    if kind not in TABLE_TYPES:
        raise TablesError(
            f"tables: must be one of {', '.join(TABLE_TYPES)}. Got {kind!r}."
        )
    if kind == "float32":
        yield []
        return
    layers = [m for m in ranker.submodules if isinstance(m, FeatureEmbeddings)]
    tables = [table for layer in layers for table in layer.large_tables]
    if not tables:
        raise TablesError(
            f"tables: the model has no large table that can be stored as {kind}. "
            "Leave it out."
        )
    stored = [StoredTable(table, kind) for table in tables]
    with reading_instead({one.replaces: one.look_up for one in stored}):
        yield stored
