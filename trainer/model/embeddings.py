"""Features -> vectors: shared tables, small tables and scaled numbers.

Ids are dense int32 tensors: static shapes, no host op, so that the step compiles for
TPU.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from feature_specs import FeatureSpec, TableSpec, feature_kinds
from feature_specs.model import UnifiedConfig
from feature_specs.registry import RoomTable
from trainer.model import lanes
from trainer.model.unified import UnifiedTables

# Tables up to this many rows get a dense gradient everywhere: writing it costs less
# than sorting out which rows were touched.
SMALL_ROWS = 4096
INITIAL_SCALE = 0.01  # a new id starts close to "no opinion"

# Kind of feature -> what the network reads of it. For kinds that are looked up:
# (feature, ids [B, T], vectors [B, T, D]) -> [B, D]. For the others: (feature, values
# [B] or [B, W], None) -> the same, or of another width.
_Embed: TypeAlias = Callable[[FeatureSpec, tf.Tensor, "tf.Tensor | None"], tf.Tensor]
EMBEDS: RoomTable[_Embed] = RoomTable(
    "trainer.model.embeddings", "embeds features of", "@trainer.model.embeddings.embeds"
)
embeds = EMBEDS.register


class FeatureEmbeddings(tf.keras.layers.Layer):
    """The embedding tables of some features, and the look-up.

    Features with a `table` share the variable of that table. Categories and buckets
    have a small one of their own. Row 0 of each is the trained embedding of "missing";
    inside a sequence id 0 is padding and counts for nothing.

    Args:
        features: Every feature that will be looked up.
        tables: The spec's tables.
        width: Columns of every table. By default each table's own; with a width, no
            variable is shared and each feature has a table of its own.
        unified: With buckets, the spec's tables are unified (`trainer.model.unified`).
        vectors: Feature -> key of its vectors among the inputs, for those that are
            looked up elsewhere (`trainer.model.embedding_engine`).
        sparse_gradients: Whether large tables get `IndexedSlices`, which updates only
            the rows of the batch: right on CPU and GPU. On TPU a dense update is
            faster, and the sparse one does not compile.
        ahead: Begin of the keys of what `look_up_ahead` adds; without one it adds
            nothing.
        rounded: Whether rows may be read as bfloat16 there (`trainer.model.lanes`).
    """

    def __init__(
        self,
        features: Sequence[FeatureSpec],
        tables: dict[str, TableSpec],
        *,
        width: int = 0,
        unified: UnifiedConfig | None = None,
        vectors: Mapping[str, str] | None = None,
        sparse_gradients: bool = True,
        ahead: str = "",
        rounded: bool = False,
        name: str = "embeddings",
    ):
        super().__init__(name=name)
        self._features = tuple(features)
        self._ahead, self._rounded = ahead, rounded
        self._width = width
        self._sparse = sparse_gradients
        self._vectors = dict(vectors or {})
        self._row_counts: dict[str, int] = {}
        self._widths: dict[str, int] = {}
        self._tables: dict[str, tf.Variable] = {}
        shared = {f.table: tables[f.table].width for f in features if f.table}
        self._unified = (
            UnifiedTables(unified, shared)
            if unified and unified.buckets and shared and not width
            else None
        )
        for feature in features:
            if not feature.is_number and not self._is_unified(feature):
                self._add_table(feature, tables)

    def _add_table(self, feature: FeatureSpec, tables: dict[str, TableSpec]) -> None:
        key = self._key(feature)
        if key in self._widths:
            return
        rows = feature.rows(tables)
        own = TableSpec(name=key, buckets=rows, dim=self._width)
        shared = feature.table and not self._width
        width = (tables[key] if shared else own).width
        self._row_counts[key], self._widths[key] = rows, width
        if feature.name in self._vectors:
            return
        self._tables[key] = self.add_weight(
            name=key,
            shape=(rows, width),
            initializer=tf.keras.initializers.RandomNormal(stddev=INITIAL_SCALE),
        )

    def _key(self, feature: FeatureSpec) -> str:
        """The variable's name, by which a checkpoint knows it."""
        if feature.table and not self._width:
            return feature.table
        return f"feature_{feature.name}"

    def call(
        self, inputs: dict[str, tf.Tensor], features: Sequence[FeatureSpec]
    ) -> tf.Tensor:
        """The embeddings of `features`, pooled and joined.

        Args:
            inputs: Feature name -> int32 [B] or [B, length]; vectors that were looked
                up elsewhere under their key.
            features: Those to look up, numbers left out; any subset, in any order.

        Returns:
            float32 [B, D]; D = 0 without features.
        """
        embedded = [f for f in features if not f.is_number]
        unified = [f for f in embedded if self._is_unified(f)]
        own = [f for f in embedded if not self._is_unified(f)]
        large = sorted((f for f in own if self._is_large(f)), key=self._key)
        small = sorted((f for f in own if not self._is_large(f)), key=self._columns)
        there = [f for f in embedded if self._alone(f) or self._key_ahead(f) in inputs]
        found = {f.name: self._pooled(f, inputs) for f in there}
        missing = [f for f in large if f.name not in found]
        found |= self._look_up(missing, inputs, key=self._key, joined=False)
        found |= self._look_up(small, inputs, key=self._columns, joined=True)
        parts = [found[f.name] for f in (*unified, *large, *small)]
        return tf.concat(parts, axis=1) if parts else no_columns(inputs)

    def look_up_ahead(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """With the vectors of the features of large tables, one gather a table.

        For TPU, where each gather has a gradient as large as its table. What `call` and
        `steps` find among their inputs they do not look up.

        Args:
            inputs: Feature name -> int32 [B] or [B, length], of all features.
        """
        large = [f for f in self._features if self._is_looked_up_ahead(f, inputs)]
        found = dict(inputs)
        for key, same in itertools.groupby(sorted(large, key=self._key), self._key):
            features, table = list(same), self._tables[key]
            ids = {f.name: as_columns(inputs[f.name]) for f in features}
            flat = [tf.reshape(i, [-1]) for i in ids.values()]
            joined = tf.concat(flat, axis=0)
            packed = self._rounded and lanes.fits(*table.shape)
            vectors = (lanes.gather if packed else _gather_dense)(table, joined)
            pieces = tf.split(vectors, [i.shape[0] for i in flat])
            for feature, piece in zip(features, pieces, strict=True):
                shape = [*ids[feature.name].shape, table.shape[1]]
                found[self._key_ahead(feature)] = tf.reshape(piece, shape)
        return found

    def _is_looked_up_ahead(
        self, feature: FeatureSpec, inputs: dict[str, tf.Tensor]
    ) -> bool:
        return (
            bool(self._ahead)
            and not feature.is_number
            and not self._alone(feature)
            and self._is_large(feature)
            and self._key_ahead(feature) not in inputs
        )

    def _key_ahead(self, feature: FeatureSpec) -> str:
        return f"{self._ahead} {feature.name}"

    def steps(self, inputs: dict[str, tf.Tensor], feature: FeatureSpec) -> tf.Tensor:
        """Every step of a sequence, not pooled: [B, T, D]."""
        ids = as_columns(inputs[feature.name])
        if self._key_ahead(feature) in inputs:
            return inputs[self._key_ahead(feature)]
        if feature.name in self._vectors:
            vectors = inputs[self._vectors[feature.name]]
            return tf.reshape(vectors, [-1, ids.shape[1], vectors.shape[-1]])
        if self._unified is not None and self._is_unified(feature):
            gather = tf.gather if self._sparse else _gather_dense
            return self._unified.look_up(self._key(feature), ids, gather)
        table = self._tables[self._key(feature)]
        dense = not self._sparse or not self._is_large(feature)
        return _gather(table, ids, dense=dense)

    @property
    def large_tables(self) -> list[tf.Variable]:
        """The variables of tables that are gathered from by themselves."""
        return [t for t in self._tables.values() if t.shape[0] > SMALL_ROWS]

    def _pooled(self, feature: FeatureSpec, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """[B, D] of one feature by itself."""
        ids = as_columns(inputs[feature.name])
        return EMBEDS[feature.of_kind](feature, ids, self.steps(inputs, feature))

    def _alone(self, feature: FeatureSpec) -> bool:
        """Whether no gather of several features serves it."""
        return feature.name in self._vectors or self._is_unified(feature)

    def _is_unified(self, feature: FeatureSpec) -> bool:
        return self._unified is not None and bool(feature.table)

    def _is_large(self, feature: FeatureSpec) -> bool:
        return self._rows(feature) > SMALL_ROWS

    def _rows(self, feature: FeatureSpec) -> int:
        return self._row_counts[self._key(feature)]

    def _columns(self, feature: FeatureSpec) -> int:
        return self._widths[self._key(feature)]

    def _look_up(
        self,
        features: Sequence[FeatureSpec],
        inputs: dict[str, tf.Tensor],
        *,
        key: Callable[[FeatureSpec], Any],
        joined: bool,
    ) -> dict[str, tf.Tensor]:
        """One gather for all features with the same `key`: name -> [B, D]."""
        found: dict[str, tf.Tensor] = {}
        here = [f for f in features if not self._alone(f)]
        for _, same in itertools.groupby(here, key):
            found |= self._gather_together(list(same), inputs, joined)
        return found

    def _gather_together(
        self,
        features: Sequence[FeatureSpec],
        inputs: dict[str, tf.Tensor],
        joined: bool,
    ) -> dict[str, tf.Tensor]:
        keys = list(dict.fromkeys(self._key(f) for f in features))
        tables = [self._tables[key] for key in keys]
        sizes = [table.shape[0] for table in tables]
        first_row = dict(zip(keys, itertools.accumulate([0, *sizes[:-1]]), strict=True))
        ids = [as_columns(inputs[f.name]) for f in features]  # [B, steps]
        moved = [
            i + first_row[self._key(f)] for i, f in zip(ids, features, strict=True)
        ]
        rows = tf.concat(moved, axis=1)
        table = tf.concat(tables, axis=0) if joined else tables[0]
        dense = joined or not self._sparse
        vectors = _gather(table, rows, dense=dense)
        pieces = tf.split(vectors, [i.shape[1] for i in ids], axis=1)
        return {
            f.name: EMBEDS[f.of_kind](f, i, piece)
            for f, i, piece in zip(features, ids, pieces, strict=True)
        }


def missing_rows(feature: FeatureSpec, rows: int) -> tf.Tensor:
    """`rows` rows in which `feature` is missing, [B, *shape]."""
    dtype = tf.float32 if feature.is_number else tf.int32
    return tf.zeros([rows, *feature.shape], dtype)


def pool(vectors: tf.Tensor, valid: tf.Tensor, pooling: str) -> tf.Tensor:
    """One vector a sequence; zeros if it has no valid step.

    Args:
        vectors: float [B, T, D].
        valid: bool [B, T], the valid steps first.
        pooling: `mean`, `sum`, `max` or `concat`; `attention` needs a candidate, see
            there.

    Returns:
        float [B, D]; of `concat` [B, T * D], the last valid step first, so that a place
        means the same in every row, and zeros for those that are none.
    """
    if pooling == "concat":
        steps = tf.reduce_sum(tf.cast(valid, tf.int32), axis=1)
        known = tf.where(valid[..., tf.newaxis], vectors, tf.zeros_like(vectors))
        newest_first = tf.reverse_sequence(known, steps, seq_axis=1)
        return tf.reshape(newest_first, [-1, vectors.shape[1] * vectors.shape[2]])
    if pooling == "max":
        lowest = tf.where(valid[..., tf.newaxis], vectors, vectors.dtype.min)
        most = tf.reduce_max(lowest, axis=1)
        return tf.where(tf.reduce_any(valid, axis=1, keepdims=True), most, 0.0)
    weights = tf.cast(valid, vectors.dtype)
    if pooling == "mean":
        count = tf.reduce_sum(weights, axis=1, keepdims=True)
        weights = tf.math.divide_no_nan(weights, count)
    return tf.einsum("bt,btd->bd", weights, vectors)


@embeds(feature_kinds.Embedded)
def _one(feature: FeatureSpec, ids: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    return tf.squeeze(vectors, axis=1)  # [B, 1, D]: one step


@embeds(feature_kinds.Sequence)
def _pooled(feature: FeatureSpec, ids: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    return pool(vectors, ids > 0, feature.pooling)


@embeds(feature_kinds.Dense)
def _as_it_is(feature: FeatureSpec, values: tf.Tensor, _: None) -> tf.Tensor:
    return values


def as_columns(values: tf.Tensor) -> tf.Tensor:
    """[B] or [B, W] -> [B, 1] or [B, W]."""
    return values[:, tf.newaxis] if values.shape.rank == 1 else values


def no_columns(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """[B, 0]"""
    some = next(iter(inputs.values()))
    return tf.zeros([tf.shape(some)[0], 0])


_LookUp: TypeAlias = Callable[[tf.Tensor], tf.Tensor]
_INSTEAD: contextvars.ContextVar[Mapping[Any, _LookUp]] = contextvars.ContextVar(
    "look-ups in place of tables"
)


@contextlib.contextmanager
def reading_instead(look_ups: Mapping[Any, _LookUp]) -> Iterator[None]:
    """While the block runs, some tables are read in another way; nothing is trained.

    Args:
        look_ups: `ref()` of a large table's variable -> ids [...] to rows [..., D].
    """
    token = _INSTEAD.set(look_ups)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def _gather(table: tf.Tensor | tf.Variable, ids: tf.Tensor, dense: bool) -> tf.Tensor:
    """Rows of a table; `dense` is about the gradient."""
    look_ups = _INSTEAD.get({})
    if look_ups and isinstance(table, tf.Variable) and table.ref() in look_ups:
        return look_ups[table.ref()](ids)
    return _gather_dense(table, ids) if dense else tf.gather(table, ids)


@tf.custom_gradient
def _gather_dense(
    table: tf.Tensor, ids: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """`tf.gather`, with a dense gradient of static shape."""
    rows = table.shape[0]

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.math.unsorted_segment_sum(upstream, ids, rows), None

    return tf.gather(table, ids), gradient
