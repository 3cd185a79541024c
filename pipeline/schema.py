"""The TFDV schema of raw examples, derived from the spec.

It is written, not inferred: a column that changes its type, an empty feature or a label
outside its range is an anomaly from the first run on.

What is missing has a value in an example (-1, NaN, "") and none in statistics. So there
are two schemas: by one examples are read, the other one their statistics keep to.
"""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from feature_specs import FeatureSpec, Spec, expressions, label_key, mask_key
from feature_specs.errors import Status, TrailrankError
from feature_specs.past import HISTORY, TRAIL_LAST, with_readers
from feature_specs.spec import KEY_ITEM, KEY_REQUEST, KEY_TIME, KEY_USER, slice_key

SCHEMA_FILE = "schema.pbtxt"  # in a Schema artifact

_TYPES = {
    "int64": schema_pb2.FeatureType.INT,
    "float32": schema_pb2.FeatureType.FLOAT,
    "string": schema_pb2.FeatureType.BYTES,
}


class AnomaliesError(TrailrankError, ValueError):
    """The examples do not fit the spec's schema."""

    exit_status = Status.REFUSED


def build_schema(spec: Spec) -> schema_pb2.Schema:
    """By which the examples are read that `pipeline.examples` writes for `spec`."""
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


def statistics_schema(spec: Spec) -> schema_pb2.Schema:
    """What the statistics of a day's examples must keep to.

    A value may be missing, but not all of a served feature or of a label, unless it is
    of the past, which the first days have none of. Whole numbers that name something
    are categories, no amounts.
    """
    schema = build_schema(spec)
    needed = {f.name for f in spec.served_features if not _is_of_the_past(f, spec)}
    needed |= {label_key(task.name) for task in spec.tasks}
    needed |= {mask_key(task.name) for task in spec.tasks}
    needed |= {KEY_USER, KEY_ITEM, KEY_TIME}
    for feature in schema.feature:
        width = feature.shape.dim[0].size if feature.shape.dim else 1
        if feature.HasField("shape"):  # it may be missing, which a shape may not
            feature.ClearField("shape")
            feature.value_count.min = feature.value_count.max = width
        feature.ClearField("presence")
        if feature.name in needed:
            feature.presence.min_count = 1
        amount = feature.name in (KEY_TIME, KEY_REQUEST)
        if feature.type == schema_pb2.FeatureType.INT and not amount:
            feature.int_domain.is_categorical = True
    return schema


def check_anomalies(splits: Mapping[str, anomalies_pb2.Anomalies]) -> None:
    """Whether all splits fit the schema.

    Args:
        splits: Split -> what TFDV found in its statistics.

    Raises:
        AnomaliesError: One does not; the message lists everything that was found.
    """
    found = [
        f"{split}: {name or 'the data set'}: {info.description}"
        for split, anomalies in splits.items()
        for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if found:
        raise AnomaliesError(
            "ExampleValidator: the examples do not fit the spec's schema:\n  - "
            + "\n  - ".join(found)
            + "\nMend the logs or the spec; nothing was trained."
        )


def _is_of_the_past(feature: FeatureSpec, spec: Spec) -> bool:
    """Whether it reads what was known before: history, counters, statistics."""
    read = expressions.columns_of(feature.expr)
    texts = (feature.expr, *spec.derived.values())
    columns = {column for text in texts for column in expressions.columns_of(text)}
    past = {column for column in columns if column.startswith((HISTORY, TRAIL_LAST))}
    past |= {counter.name for counter in spec.counters}
    past |= {statistic.name for statistic in spec.statistics}
    return bool(read & with_readers(past, spec.derived))


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
