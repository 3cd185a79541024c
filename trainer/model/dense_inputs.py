"""What the network reads of features that are floats and are not looked up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from feature_specs import FeatureSpec
from trainer.model.embeddings import EMBEDS, as_columns, no_columns


class DenseInputs(tf.keras.layers.Layer):
    """Numbers as they are, vectors of pre-trained models through a projection.

    B = batch, N = floats of a vector, P = columns of its projection. A projection is a
    dense layer of a feature's own, or one that features name together. A vector of
    zeros is a missing one and gets P floats that are learned, a set a feature: what it
    means that nothing is known of a cover is not what it means of a user's history.

    Args:
        features: Every feature that will be read.
    """

    def __init__(self, features: Sequence[FeatureSpec], **kwargs: Any):
        super().__init__(autocast=False, **kwargs)  # numbers stay as exact as they are
        projected = [f for f in features if f.of_kind.projected(f)]
        self.projections = {
            _key(f): tf.keras.layers.Dense(
                f.of_kind.projected(f), dtype=self.dtype_policy, name=_key(f)
            )
            for f in projected
        }
        self.missing = {
            f.name: self.add_weight(
                name=f"{f.name}_missing",
                shape=(f.of_kind.projected(f),),
                initializer="zeros",
            )
            for f in projected
        }

    def call(
        self, inputs: dict[str, tf.Tensor], features: Sequence[FeatureSpec]
    ) -> tf.Tensor:
        """The columns of those `features` that are floats, in order.

        Args:
            inputs: Feature name -> float32 [B] or [B, N].
            features: Those to read, looked-up ones left out.

        Returns:
            float32 [B, W]; W = 0 without features.
        """
        dense = [f for f in features if f.is_number]
        columns = [self._read(f, inputs[f.name]) for f in dense]
        if not columns:
            return no_columns(inputs)
        if all(column.shape.rank == 1 for column in columns):
            return tf.stack(columns, axis=1)
        return tf.concat([as_columns(column) for column in columns], axis=1)

    def _read(self, feature: FeatureSpec, values: tf.Tensor) -> tf.Tensor:
        values = EMBEDS[feature.of_kind](feature, values, None)
        if feature.name not in self.missing:
            return values
        vectors = self.projections[_key(feature)](values)
        missing = self.missing[feature.name]
        known = is_known(values)
        return tf.where(
            known, tf.cast(vectors, tf.float32), tf.cast(missing, tf.float32)
        )


def is_known(vectors: tf.Tensor) -> tf.Tensor:
    """[B, N] -> bool [B, 1]: whether a vector is none of zeros."""
    return tf.reduce_any(vectors != 0, axis=1, keepdims=True)


def cosine(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Of the vectors of each row, [B, N] each -> [B, 1]; 0 where one is missing."""
    return tf.reduce_sum(_of_length_1(one) * _of_length_1(other), axis=1, keepdims=True)


def _of_length_1(vectors: tf.Tensor) -> tf.Tensor:
    """Each of [B, N]; zeros stay zeros."""
    largest = tf.reduce_max(tf.abs(vectors), axis=1, keepdims=True)
    of_size_1 = tf.math.divide_no_nan(vectors, largest)  # their squares stay finite
    return tf.math.l2_normalize(of_size_1, axis=1)


def _key(feature: FeatureSpec) -> str:
    """The projection's name, by which a checkpoint knows it."""
    return feature.projection or f"feature_{feature.name}"
