"""Raw examples -> what the model reads, by the graph of an encoding.

The graph is that of a `TransformGraph` directory, which the served model carries too: a
row is encoded alike in training and in a request. It runs over whole batches inside
`tf.data`, on the machine that reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

from feature_specs import FeatureSpec, Spec
from trainer.errors import TrainingError

GRAPH = "transform_fn"  # the SavedModel inside a TransformGraph directory

Encode: TypeAlias = Callable[[Mapping[str, Any]], dict[str, tf.Tensor]]


def raw_columns(
    features: Iterable[FeatureSpec],
) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """How features of a raw example are parsed; an absent one is missing."""
    return {feature.name: _column(feature) for feature in features}


def load_graph(spec: Spec, directory: str) -> Encode:
    """The function that encodes parsed raw features, of one machine.

    Its tables lie on the machine in whose `tf.device` it is called, so that the input
    pipelines of several machines need one each.

    Args:
        spec: Its features are encoded.
        directory: A `TransformGraph`, which may lie in a bucket.

    Returns:
        Raw features by name, [B] or [B, N], lists as SparseTensor -> encoded ones.

    Raises:
        TrainingError: There is no such graph, or it was made of another spec.
    """
    path = os.path.join(directory, GRAPH)
    if not tf.io.gfile.exists(os.path.join(path, "saved_model.pb")):
        raise TrainingError(
            f"--encoding {directory}: must hold the graph of an encoding, "
            f"{GRAPH}/saved_model.pb. Got none. Name the directory that "
            f"`make_encoding`, or the run's step EncodingGen, wrote."
        )
    with tf.init_scope(), tf.device("CPU:0"):
        loaded = tf.saved_model.load(path)
    function = _only_function(loaded.transform_fn)
    inputs = function.structured_input_signature[0][0]
    _check_features(spec, inputs, directory)

    def encode(raw: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        fed = {
            name: raw[name] if name in raw else _nothing(expected)
            for name, expected in inputs.items()
        }
        found: dict[str, tf.Tensor] = loaded.transform_fn(fed)
        return found

    return encode


def _only_function(restored: Any) -> Any:
    """The concrete function; a tf.function was saved with one signature."""
    return getattr(restored, "concrete_functions", [restored])[0]


def _check_features(spec: Spec, inputs: Mapping[str, Any], directory: str) -> None:
    for feature in spec.features:
        expected = inputs.get(feature.name)
        is_list = isinstance(expected, tf.SparseTensorSpec)
        wanted = (tf.as_dtype(feature.dtype), feature.is_sequence)
        if expected is None or (expected.dtype, is_list) != wanted:
            got = "no such feature" if expected is None else str(expected)
            kind = f"{'a list of ' if feature.is_sequence else ''}{feature.dtype}"
            raise TrainingError(
                f"--encoding {directory}: must encode the spec's features. Feature "
                f"{feature.name!r} is {kind} in the spec. Got {got}. Make the encoding "
                f"of this spec's examples."
            )


def _nothing(expected: tf.TypeSpec) -> tf.Tensor | tf.SparseTensor:
    """For labels and keys, which the graph only passes: no rows; nobody reads them."""
    if isinstance(expected, tf.SparseTensorSpec):
        return tf.sparse.from_dense(tf.zeros([0, 0], expected.dtype))
    shape = [size or 0 for size in expected.shape.as_list()]
    return tf.zeros([0, *shape[1:]], expected.dtype)


def _column(feature: FeatureSpec) -> tf.io.FixedLenFeature | tf.io.VarLenFeature:
    dtype = tf.as_dtype(feature.dtype)
    if feature.is_sequence:
        return tf.io.VarLenFeature(dtype)
    if feature.width:
        nothing = [feature.missing] * feature.width
        return tf.io.FixedLenFeature([feature.width], dtype, default_value=nothing)
    return tf.io.FixedLenFeature([], dtype, default_value=feature.missing)
