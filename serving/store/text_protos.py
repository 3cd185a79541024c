"""TensorFlow Serving's configuration files, text protos, and what is wrong in one.

The messages of batching and monitoring are not among the Python stubs that TensorFlow
Serving publishes; they are described here, field by field.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    text_format,
)

from feature_specs.errors import TrailrankError
from feature_specs.places import Place, is_bucket

M = TypeVar("M", bound=message.Message)

# Of monitoring_config.proto and session_bundle_config.proto. Field numbers play no part
# in a text proto.
_MESSAGES = {
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "Int64Value": {"value": "int64"},
    "StringValue": {"value": "string"},
    "BoolValue": {"value": "bool"},
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
}


class ConfigFileError(TrailrankError, ValueError):
    """A configuration file that cannot be taken; the message says where and why."""


def read_text(path: Place) -> str:
    """The text of a file of this machine or of a bucket.

    Raises:
        ConfigFileError: It cannot be read.
    """
    try:
        if is_bucket(path):
            import tensorflow as tf  # seconds; a file of this machine needs none of it

            with tf.io.gfile.GFile(path, "rb") as file:
                content: bytes = file.read()
        else:
            with open(path, "rb") as local:
                content = local.read()
        return content.decode()
    except Exception as error:  # OSError, or any of a bucket's
        reason = getattr(error, "strerror", None) or error
        raise ConfigFileError(f"{path}: cannot be read: {reason}.") from None


def parse(text: str, found: M, where: Place, example: str) -> M:
    """Fills `found` from a text proto and returns it.

    Args:
        text: Of the file.
        found: An empty message.
        where: The file, for the message.
        example: How such a file begins, for the message.

    Raises:
        ConfigFileError: It is no such text proto.
    """
    try:
        text_format.Parse(text, found)
    except (text_format.ParseError, ValueError) as error:
        problem = str(error).rstrip(".")
        raise ConfigFileError(
            f"{where}:{problem}. It must be a text proto like {example}."
        ) from None
    return found


@functools.cache
def message_class(name: str) -> Any:
    """`MonitoringConfig` or `BatchingParameters` as a class."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    descriptor = pool.FindMessageTypeByName(f"trailrank.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="trailrank/serving_config.proto", package="trailrank", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _describe(described.field.add(name=field, number=number), kind)
    return file


def _describe(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    kind, is_repeated = kind.removeprefix("repeated "), kind.startswith("repeated ")
    field.label = field.LABEL_REPEATED if is_repeated else field.LABEL_OPTIONAL
    if kind in _MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".trailrank.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
