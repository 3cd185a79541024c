"""An encoding -> a TransformGraph of tensorflow_transform, without a pass over rows.

    write_transform_graph(encoding, spec, "graph")
    tft.TFTransformOutput("graph").transform_features_layer()

Vocabularies and scales are constants of the graph, so that nothing is left to analyze:
the function is traced and saved, and no pipeline runs.
"""

from __future__ import annotations

import functools
import os
import tempfile

import tensorflow as tf
from tensorflow_transform import impl_helper
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from feature_specs import Spec
from feature_specs.spec import (
    KEY_ITEM,
    KEY_REQUEST,
    KEY_TIME,
    KEY_USER,
    label_key,
    mask_key,
    slice_key,
)
from pipeline.encoding.encoders import encode
from pipeline.encoding.known import Known
from trainer.days.encoding import Encoding, vocabulary_file

_RAW_METADATA = "metadata"  # as TFTransformOutput looks for it
_TYPES = {"int64": tf.int64, "float32": tf.float32, "string": tf.string}


def write_transform_graph(encoding: Encoding, spec: Spec, directory: str) -> None:
    """Writes `transform_fn/`, the metadata of rows before it (`metadata/`) and after it
    (`transformed_metadata/`) and, last, `encoding.json`.

    Args:
        encoding: Of the spec's features.
        spec: What the examples hold; its encoding view is enough.
        directory: Empty or not there; a bucket's too. Other tools of TFX read it as
            the output of a Transform step.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_vocabularies(encoding, folder)
        features = feature_spec(spec)
        impl_helper.analyze_in_place(
            functools.partial(encode, known=Known(spec, encoding, folder)),
            force_tf_compat_v1=False,
            feature_specs=features,
            type_specs=impl_helper.get_type_specs_from_feature_specs(features),
            transform_output_path=directory,
        )
    raw = dataset_metadata.DatasetMetadata.from_feature_spec(features)
    metadata_io.write_metadata(raw, os.path.join(directory, _RAW_METADATA))
    encoding.write(directory)


def feature_spec(spec: Spec) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """How raw examples are parsed: each key that `pipeline.examples` writes."""
    found: dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature] = {}
    for feature in spec.features:
        dtype = _TYPES[feature.dtype]
        shape = [feature.width] if feature.width else []
        found[feature.name] = (
            tf.io.VarLenFeature(dtype)
            if feature.is_sequence
            else tf.io.FixedLenFeature(shape, dtype)
        )
    for task in spec.tasks:
        for key in (label_key(task.name), mask_key(task.name)):
            found[key] = tf.io.FixedLenFeature([], tf.float32)
    for key, column in _columns(spec).items():
        dtype = _TYPES[spec.column_types[column]]
        found[key] = tf.io.FixedLenFeature([], dtype)
    whole = [KEY_TIME, *([KEY_REQUEST] if spec.log.request else [])]
    return found | {key: tf.io.FixedLenFeature([], tf.int64) for key in whole}


def _columns(spec: Spec) -> dict[str, str]:
    """Key of an example -> the column whose values it has."""
    slices = {slice_key(column): column for column in spec.evaluation.slices}
    return {KEY_USER: spec.log.user, KEY_ITEM: spec.log.item, **slices}


def _write_vocabularies(encoding: Encoding, folder: str) -> None:
    for name, values in encoding.vocabularies.items():
        if values:
            path = os.path.join(folder, vocabulary_file(name))
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write("".join(f"{value}\n" for value in values))
