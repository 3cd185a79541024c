"""TensorProtos of a client -> arrays, and back.

`tf.make_ndarray` believes what a proto says: a shape of 2^40 with one value would be
written out. Here all is checked before anything is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import input_pb2

from feature_specs.errors import TrailrankError
from serving.options import Limits

# Field of a TensorProto with the values of a type, and values an element.
_FIELDS = {
    "float16": ("half_val", 1),
    "bfloat16": ("half_val", 1),
    "float32": ("float_val", 1),
    "float64": ("double_val", 1),
    "int8": ("int_val", 1),
    "int16": ("int_val", 1),
    "int32": ("int_val", 1),
    "uint8": ("int_val", 1),
    "uint16": ("int_val", 1),
    "uint32": ("uint32_val", 1),
    "int64": ("int64_val", 1),
    "uint64": ("uint64_val", 1),
    "bool": ("bool_val", 1),
    "string": ("string_val", 1),
    "complex64": ("scomplex_val", 2),
    "complex128": ("dcomplex_val", 2),
}


class TensorError(TrailrankError, ValueError):
    """A tensor that is none; the message goes to the client."""


def arrays_of(
    protos: Mapping[str, tensor_pb2.TensorProto], limits: Limits
) -> dict[str, npt.NDArray[Any]]:
    """Input -> values.

    Raises:
        TensorError: A proto is malformed, or all of them hold more than allowed.
    """
    sizes = {name: _elements(name, proto) for name, proto in protos.items()}
    if sum(sizes.values()) > limits.max_elements:
        raise TensorError(
            f"the inputs hold {sum(sizes.values())} values, more than the "
            f"{limits.max_elements} that are allowed"
        )
    return {name: _array(name, protos[name], size) for name, size in sizes.items()}


def proto_of(array: npt.NDArray[Any]) -> tensor_pb2.TensorProto:
    """An output in the form that TensorFlow Serving answers in.

    Numbers stand in the field of their type (`float_val`, ...), not as bytes: clients
    in other languages read the field.
    """
    kind = _KINDS.get(array.dtype.name)
    if kind is None or kind.name == "string" or kind.width > 1:
        strings: tensor_pb2.TensorProto = tf.make_tensor_proto(array)
        return strings
    values = array.view(np.uint16) if kind.field == "half_val" else array
    proto = tensor_pb2.TensorProto(dtype=kind.enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, kind.field).extend(values.ravel().tolist())
    return proto


def _elements(name: str, proto: tensor_pb2.TensorProto) -> int:
    """How many values a shape asks for."""
    shape = proto.tensor_shape
    sizes = [dim.size for dim in shape.dim]
    if shape.unknown_rank or any(size < 0 for size in sizes):
        raise TensorError(f"input {name!r} has no whole shape: {sizes}")
    if len(sizes) > Limits.max_nesting:
        raise TensorError(
            f"input {name!r} has {len(sizes)} dimensions, more than "
            f"{Limits.max_nesting}"
        )
    return math.prod(sizes)


def _array(name: str, proto: tensor_pb2.TensorProto, elements: int) -> npt.NDArray[Any]:
    kind = _kind(name, proto)
    field, width = kind.field, kind.width
    given = len(getattr(proto, field))
    if proto.tensor_content:
        if kind.name == "string":
            raise TensorError(f"input {name!r}: strings stand in string_val")
        expected = elements * kind.size_bytes
        if len(proto.tensor_content) != expected:
            raise TensorError(
                f"input {name!r}: tensor_content must have {expected} bytes. Got "
                f"{len(proto.tensor_content)}"
            )
    elif given > elements * width or (elements and given < width):
        # Fewer are allowed: the last one then fills the rest.
        raise TensorError(
            f"input {name!r}: {field} must have {elements * width} values. Got {given}"
        )
    if field == "int_val" and proto.int_val:
        _check_range(name, proto, kind)
    shape = [dim.size for dim in proto.tensor_shape.dim]
    # The forms that clients send most; TensorFlow takes ten times as long for them.
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, kind.numpy).reshape(shape).copy()
    if kind.name == "string" and given == elements:
        texts = np.empty(elements, object)
        texts[:] = proto.string_val
        return texts.reshape(shape)
    if width == 1 and field != "half_val" and given == elements:
        return np.fromiter(getattr(proto, field), kind.numpy, elements).reshape(shape)
    try:
        found: npt.NDArray[Any] = tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise TensorError(f"input {name!r}: {error}") from None
    return found


def _check_range(name: str, proto: tensor_pb2.TensorProto, kind: _Kind) -> None:
    dtype = tf.as_dtype(kind.enum)
    if any(not dtype.min <= value <= dtype.max for value in proto.int_val):
        raise TensorError(
            f"input {name!r}: int_val holds a value that is no {kind.name}"
        )


def _kind(name: str, proto: tensor_pb2.TensorProto) -> _Kind:
    found = _KIND_OF.get(proto.dtype)
    if found is None:
        raise TensorError(f"input {name!r} has dtype {proto.dtype}, which is no type")
    return found


class _Kind(NamedTuple):
    """What is known of a type.

    Attributes:
        name: `DType.name`.
        enum: Its number in protos.
        numpy: Its type of arrays.
        size_bytes: Of an element.
        field: Of a TensorProto, that has the values.
        width: Values an element.
    """

    name: str
    enum: int
    numpy: Any
    size_bytes: int
    field: str
    width: int


def _kind_of(name: str, field: str, width: int) -> _Kind:
    dtype = tf.as_dtype(name)
    numpy = np.dtype(dtype.as_numpy_dtype)
    return _Kind(name, dtype.as_datatype_enum, numpy, dtype.size, field, width)


_KIND_OF = {
    kind.enum: kind for kind in (_kind_of(n, *own) for n, own in _FIELDS.items())
}
_KINDS = {kind.numpy.name: kind for kind in _KIND_OF.values()}  # by NumPy's names


def example_bytes(given: input_pb2.Input) -> list[bytes]:
    """Serialized `tf.train.Example`s; each has the context's features, too.

    Args:
        given: Examples, with or without a context: an Example with features of all of
            them, whose own count where both have one.
    """
    if given.WhichOneof("kind") != "example_list_with_context":
        return [e.SerializeToString() for e in given.example_list.examples]
    found, context = [], given.example_list_with_context.context
    for example in given.example_list_with_context.examples:
        whole = tf.train.Example()
        whole.CopyFrom(context)
        for key, feature in example.features.feature.items():
            whole.features.feature[key].CopyFrom(feature)
        found.append(whole.SerializeToString())
    return found


def as_text(value: Any) -> str:
    """A class's label: bytes that need not be UTF-8."""
    raw = value if isinstance(value, bytes) else bytes(np.asarray(value))
    return raw.decode("utf-8", "replace")
