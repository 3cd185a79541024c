"""What an encoder may ask: the spec, and what was learned of the base's days."""

from __future__ import annotations

import dataclasses
import os

import tensorflow as tf
import tensorflow_transform as tft

from feature_specs import FeatureSpec, Spec
from trainer.days.encoding import Encoding, vocabulary_file


@dataclasses.dataclass(frozen=True)
class Known:
    """What encoders are given beside the values and the feature.

    Attributes:
        spec: The spec, or its encoding view.
        encoding: Vocabularies and scales.
        folder: Holds the vocabularies' files while the graph is traced; they become
            its assets.
    """

    spec: Spec
    encoding: Encoding
    folder: str

    def look_up(self, values: tf.Tensor, feature: FeatureSpec) -> tf.Tensor:
        """[B] string -> [B] int64: 1 + the place in the vocabulary, `room` + 1 if none.

        Only inside a graph that tensorflow_transform traces, which keeps the table.
        """
        name = feature.name
        others = self.encoding.room[name] + 1
        if not self.encoding.vocabularies[name]:  # TensorFlow reads no empty file
            return tf.fill(tf.shape(values), tf.constant(others, tf.int64))

        def create() -> tf.lookup.StaticHashTable:
            entries = tf.lookup.TextFileInitializer(
                os.path.join(self.folder, vocabulary_file(name)),
                *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            )
            return tf.lookup.StaticHashTable(entries, default_value=others - 1)

        table = tft.make_and_track_object(create, name=f"table_{name}")
        found: tf.Tensor = table.lookup(values) + 1
        return found
