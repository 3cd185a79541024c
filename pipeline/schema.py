"""The TFDV schema of raw examples, derived from the spec.

It is written, not inferred: a column that changes its type, an empty feature or a label
outside its range is an anomaly from the first run on.
"""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2

from feature_specs import Spec, label_key, mask_key
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER, slice_key

_TYPES = {
    "int64": schema_pb2.FeatureType.INT,
    "float32": schema_pb2.FeatureType.FLOAT,
    "string": schema_pb2.FeatureType.BYTES,
}


def build_schema(spec: Spec) -> schema_pb2.Schema:
    """The schema of the examples that `pipeline.examples` writes for `spec`."""
    schema = schema_pb2.Schema(default_environment=["TRAINING", "SERVING"])
    for feature in spec.features:
        _add(schema, feature.name, feature.dtype, is_list=feature.is_sequence)
        if feature.width:
            schema.feature[-1].shape.dim.add(size=feature.width)
        if feature.group == "trail":
            schema.feature[-1].not_in_environment.append("SERVING")
    for task in spec.tasks:
        _add_training_only(schema, label_key(task.name), "float32")
        if task.of_kind.label_range:
            _limit(schema.feature[-1], *task.of_kind.label_range)
        _add_training_only(schema, mask_key(task.name), "float32")
        _limit(schema.feature[-1], 0, 1)
    for key, column in ((KEY_USER, spec.log.user), (KEY_ITEM, spec.log.item)):
        _add_training_only(schema, key, spec.column_types[column])
    _add_training_only(schema, KEY_TIME, "int64")
    if spec.log.request:
        _add_training_only(schema, KEY_REQUEST, "int64")
    for column in spec.evaluation.slices:
        _add_training_only(schema, slice_key(column), spec.column_types[column])
    return schema


def _add(
    schema: schema_pb2.Schema, name: str, dtype: str, is_list: bool = False
) -> None:
    feature = schema.feature.add(name=name, type=_TYPES[dtype])
    if is_list:
        feature.value_count.min = 0
        return
    feature.presence.min_fraction = 1
    feature.shape.SetInParent()  # a scalar, always there


def _add_training_only(schema: schema_pb2.Schema, name: str, dtype: str) -> None:
    _add(schema, name, dtype)
    schema.feature[-1].not_in_environment.append("SERVING")


def _limit(feature: schema_pb2.Feature, low: float, high: float) -> None:
    feature.float_domain.min = low
    feature.float_domain.max = high
