"""Tables on the TPU's embedding engine, through TFRS' `TPUEmbedding`.

On TPU v2 to v4 that layer shards its tables over the chips, looks up all ids of a step
in one call, and trains the tables by an optimizer of its own as the gradient passes.
Elsewhere its tables are ordinary variables that the step's optimizer trains. One set of
rules serves both: the ids come as the step gets them from the input, and the ranker
looks up once, ahead of its networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import tensorflow as tf
import tensorflow_recommenders as tfrs

from feature_specs import FeatureSpec, ModelConfig, TableSpec
from tpu_configs import SliceConfig
from trainer.errors import DeviceError, ModelError
from trainer.model.embeddings import INITIAL_SCALE, SMALL_ROWS

# Tables of the spec with more rows than this are the engine's.
_ABOVE = {"tpu_embedding": 0, "partial": SMALL_ROWS}
_Generation: TypeAlias = tf.tpu.experimental.HardwareFeature.EmbeddingFeature


class EmbeddingEngine(tf.keras.layers.Layer):
    """The tables of the spec that have more than some number of rows.

    B = rows of a replica, T = steps, D = columns. The vectors of a feature travel among
    the features, under a key that `add` gives.

    Args:
        optimizer: Of the tables; on a TPU the engine works as it does.
        above: The number of rows.
        rows: B in training; fixed, as a TPU makes room for it.
    """

    def __init__(
        self,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        *,
        above: int,
        rows: int,
    ):
        super().__init__(name="engine")
        self._above, self._rows = above, rows
        # Behind a function, or a checkpoint would call the slots by their place here.
        self._optimizer = lambda: optimizer
        self._tables: dict[str, tf.tpu.experimental.embedding.TableConfig] = {}
        self._table_of: dict[str, str] = {}
        self._features: dict[str, FeatureSpec] = {}
        self.layer: tfrs.layers.embedding.TPUEmbedding | None = None

    def add(
        self,
        place: str,
        features: Sequence[FeatureSpec],
        tables: dict[str, TableSpec],
    ) -> dict[str, str]:
        """Takes on the features whose tables belong here.

        Args:
            place: A network's name; networks share no tables.
            features: Of the network.
            tables: The spec's.

        Returns:
            Feature -> key of its vectors, of those taken on.
        """
        keys = {}
        for feature in features:
            if not feature.table or feature.rows(tables) <= self._above:
                continue
            key, name = f"{place}/{feature.name}", f"{place}_{feature.table}"
            if name not in self._tables:
                self._tables[name] = _table_config(name, tables[feature.table])
            self._table_of[key], self._features[key] = name, feature
            keys[feature.name] = key
        return keys

    def create_tables(self) -> None:
        """After the last `add`, in the strategy's scope."""
        if not self._features:
            return
        self.layer = tfrs.layers.embedding.TPUEmbedding(
            {
                key: tf.tpu.experimental.embedding.FeatureConfig(table=table, name=key)
                for key, table in self._configs().items()
            },
            optimizer=self._optimizer(),
        )
        steps = {k: (*f.shape, 1) for k, f in self._features.items() if f.shape}
        shapes = {
            key: tf.TensorShape([self._rows, *steps.get(key, ())])
            for key in self._features
        }
        self.layer.build(shapes)

    def as_input(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Features as the input has to bring them: its sequences as [B, T, 1].

        The engine sums over the last axis, and takes ids from the input only, not from
        an op of the step.
        """
        mine = {f.name for f in self._features.values() if f.shape}
        return {k: _with_last_axis(v) if k in mine else v for k, v in features.items()}

    def call(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """All features that belong here looked up; at most once a step on a TPU.

        Args:
            features: Name -> int32 [B], [B, T] or as `as_input` gives them.

        Returns:
            The features, sequences as [B, T], and the vectors: float32 [B, D] and
            [B, T, D] (off TPU [B, T, 1, D]).
        """
        if self.layer is None or self._features.keys() <= features.keys():
            return features
        return _without_last_axis(features) | self.layer(self.ids(features))

    def ids(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What the layer is called with: key -> int32 [B] or [B, T, 1]."""
        taken = self.as_input(features)
        return {key: taken[f.name] for key, f in self._features.items()}

    def look_up(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same off TPU, of any features: for serving."""
        if self.layer is None:
            return features
        tables, configs = self.layer.embedding_tables, self._configs()
        vectors = {
            key: tf.gather(tables[configs[key]], features[f.name])
            for key, f in self._features.items()
            if f.name in features
        }
        return features | vectors

    def no_vectors(self, rows: int) -> dict[str, tf.Tensor]:
        """Zeros for the vectors of `rows` rows."""
        found = {}
        for key, table in self._configs().items():
            feature = self._features[key]
            found[key] = tf.zeros([rows, *feature.shape, table.dim])
        return found

    def _configs(self) -> dict[str, tf.tpu.experimental.embedding.TableConfig]:
        return {key: self._tables[name] for key, name in self._table_of.items()}


def create(
    slice: SliceConfig,
    config: ModelConfig,
    optimizer: tf.keras.optimizers.legacy.Optimizer,
    rows: int,
) -> EmbeddingEngine | None:
    """The engine that a slice asks for, in the strategy's scope; None for `dense`.

    Args:
        slice: Its `embedding` is used.
        config: The preset.
        optimizer: Of the tables.
        rows: Of a replica's batch.

    Raises:
        ValueError: The preset's tables cannot be on an engine.
        RuntimeError: This TPU has no engine that can be used.
    """
    if slice.embedding == "dense":
        return None
    if config.unified.buckets:
        raise ModelError(
            f"Slice {slice.name!r}: embedding: must be dense with unified embeddings, "
            f"whose rows the step computes. Got {slice.embedding!r}. Set embedding: "
            f"dense in a slice of your own, or unified.buckets: 0 in the preset."
        )
    strategy = tf.distribute.get_strategy()
    if on_tpu(strategy):
        hardware = strategy.extended.tpu_hardware_feature
        check_generation(hardware.embedding_feature, slice)
    return EmbeddingEngine(optimizer, above=_ABOVE[slice.embedding], rows=rows)


def on_tpu(strategy: tf.distribute.Strategy) -> bool:
    """Whether tables are on the chips, and the variables only stand for them."""
    kinds = tf.distribute.TPUStrategy, tf.distribute.experimental.TPUStrategy
    return isinstance(strategy, kinds)


def check_generation(generation: _Generation, slice: SliceConfig) -> None:
    """That a TPU has an engine that we know our tables work on.

    A SparseCore is refused: the layer cannot be built for one with TensorFlow 2.16, and
    with 2.21 it wants shapes of look-ups that nobody has tried.

    Raises:
        RuntimeError: Says what is missing.
    """
    if generation == _Generation.UNSUPPORTED:
        lacking = "has no embedding engine"
    elif generation == _Generation.V2:
        lacking = "has a SparseCore, which TFRS' layer was never tried on"
    else:
        return
    raise DeviceError(
        f"Slice {slice.name!r}: embedding: must be dense, as this TPU {lacking}. Got "
        f"{slice.embedding!r}. Set embedding: dense in a slice of your own."
    )


def feature_name(key: str) -> str:
    """The feature whose ids or vectors `key` names."""
    return key.rpartition("/")[2]


def _table_config(
    name: str, table: TableSpec
) -> tf.tpu.experimental.embedding.TableConfig:
    return tf.tpu.experimental.embedding.TableConfig(
        vocabulary_size=table.buckets,
        dim=table.width,
        initializer=tf.random_normal_initializer(stddev=INITIAL_SCALE),
        combiner="sum",
        name=name,
    )


def _with_last_axis(ids: tf.Tensor) -> tf.Tensor:
    return ids if ids.shape.rank == 3 else ids[..., tf.newaxis]


def _without_last_axis(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        name: tf.squeeze(value, axis=2) if value.shape.rank == 3 else value
        for name, value in features.items()
    }
