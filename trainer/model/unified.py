"""Unified embeddings: every id space in the same few tables (Coleman et al., 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow_recommenders.layers.feature_multiplexing.unified_embedding import (
    UnifiedEmbeddingConfig,
)

from feature_specs.model import UnifiedConfig

# The mixing constants of MurmurHash3's 32-bit finaliser.
_FIRST, _SECOND = 0x85EBCA6B, 0xC2B2AE35
_GOLDEN = 0x9E3779B9


class UnifiedTables(tf.keras.layers.Layer):
    """A few tables of equal size that all id spaces share.

    An embedding is put together of pieces: each piece of each id space has a hash
    function of its own into one of the tables, so that two ids that meet in one piece
    hardly ever meet in another. Which piece is in which table, and its salt, come from
    TFRS (`UnifiedEmbeddingConfig`). The look-up is ours: TFRS' layer hashes text,
    which no TPU step can do.

    Args:
        config: Buckets, number of tables and columns.
        widths: Id space -> columns wanted; rounded up to whole pieces.
    """

    def __init__(self, config: UnifiedConfig, widths: dict[str, int], **kwargs: Any):
        super().__init__(**kwargs)
        self._buckets = config.buckets
        layout = UnifiedEmbeddingConfig(
            config.buckets, config.dim, config.tables, "unified"
        )
        for name, width in widths.items():
            layout.add_feature(name, math.ceil(width / config.dim))
        self._pieces = {name: _pieces(layout, name) for name in widths}
        self.tables = {
            f"unified_{index}": self.add_weight(
                name=f"unified_{index}",
                shape=(config.buckets, config.dim),
                initializer=tf.keras.initializers.RandomNormal(stddev=0.01),
            )
            for index in range(config.tables)
        }

    def look_up(
        self,
        name: str,
        ids: tf.Tensor,
        gather: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        """Embeddings of ids of one space.

        Args:
            name: The id space.
            ids: int32, any shape.
            gather: How to look rows up: (table, rows) -> vectors.

        Returns:
            float32 [*ids.shape, D], D = pieces * columns.
        """
        pieces = [
            gather(self.tables[table], hashed(ids, salt, self._buckets))
            for table, salt in self._pieces[name]
        ]
        return tf.concat(pieces, axis=-1)


def hashed(ids: tf.Tensor, salt: tuple[int, int], buckets: int) -> tf.Tensor:
    """int32 ids -> int32 rows below `buckets`, another function for each salt.

    Whole numbers only, so that it compiles for TPU.
    """
    x = tf.cast(ids, tf.uint32)
    x += tf.constant((salt[0] * _GOLDEN + salt[1] * _FIRST + 1) % 2**32, tf.uint32)
    for factor, shift in ((_FIRST, 13), (_SECOND, 16), (_GOLDEN, 15)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _shift(16)))
        x *= tf.constant(factor, tf.uint32)
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, _shift(shift)))
    # The top 31 bits: the remainder is then the same as int32 and as uint32.
    return tf.cast(tf.bitwise.right_shift(x, _shift(1)), tf.int32) % buckets


def _shift(bits: int) -> tf.Tensor:
    return tf.constant(bits, tf.uint32)


def _pieces(layout: Any, name: str) -> list[tuple[str, tuple[int, int]]]:
    """Table and salt of each piece of an id space, as TFRS lays them out."""
    return [
        (piece.table.name, tuple(layout.hashing_config[name][key]["salt"]))
        for key, piece in layout.embedding_config[name].items()
    ]
