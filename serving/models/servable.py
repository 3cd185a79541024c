"""One loaded SavedModel: its signatures as functions of arrays, its metadata, warmup.

What TensorFlow Serving does with a version directory, in this process.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.models.manifest import damaged_file
from serving.models.session import (
    Arrays,
    LoadError,
    Signature,
    defaults_of,
    load_signatures,
    read_meta_graph,
)

__all__ = ["LoadError", "Servable", "Signature", "load", "named"]

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST_WARMUP_RECORDS = 1000
_LONGEST_ERROR = 400


@dataclasses.dataclass(frozen=True)
class Servable:
    """One version of a model, ready to answer; freed when nobody has it any more.

    Attributes:
        signatures: By name.
        metadata: The `signature_def` map of the metadata call.
    """

    signatures: dict[str, Signature]
    metadata: dict[str, Any]


def load(path: str) -> Servable:
    """Loads and warms a version directory.

    Raises:
        LoadError: No SavedModel that can be read and has a graph tagged `serve`, or a
            warmup request that cannot be read or fails. Names the file or directory.
    """
    try:
        return _load(path)
    except LoadError:
        raise
    except Exception as error:  # a broken graph raises KeyError, TypeError, ...
        raise LoadError(
            f"{path}: cannot be loaded: {named(error)}. Bring the directory back from "
            "a copy, or export the model again."
        ) from error


def _load(path: str) -> Servable:
    meta_graph = read_meta_graph(path)
    if damage := damaged_file(path):
        raise LoadError(
            f"{path}: {damage}. Bring the directory back from a copy, or export the "
            "model again."
        )
    metadata = {
        name: _signature_metadata(definition)
        for name, definition in meta_graph.signature_def.items()
    }
    servable = Servable(load_signatures(path), metadata)
    _warm(servable, os.path.join(path, WARMUP_FILE))
    return servable


# --- metadata -------------------------------------------------------------------------


def _signature_metadata(definition: meta_graph_pb2.SignatureDef) -> dict[str, Any]:
    return {
        "inputs": {n: _tensor_metadata(t) for n, t in definition.inputs.items()},
        "outputs": {n: _tensor_metadata(t) for n, t in definition.outputs.items()},
        "method_name": definition.method_name,
        "defaults": {
            name: json_format.MessageToDict(value, preserving_proto_field_name=True)
            for name, value in defaults_of(definition).items()
        },
    }


def _tensor_metadata(info: meta_graph_pb2.TensorInfo) -> dict[str, Any]:
    shape = info.tensor_shape
    return {
        "dtype": types_pb2.DataType.Name(info.dtype),
        "tensor_shape": {
            "dim": [{"size": str(d.size), "name": d.name} for d in shape.dim],
            "unknown_rank": shape.unknown_rank,
        },
        "name": info.name,
    }


# --- warmup ---------------------------------------------------------------------------


def _warm(servable: Servable, path: str) -> None:
    """Replays the recorded requests; any that fails makes the version unfit."""
    if not tf.io.gfile.exists(path):
        return
    for index, signature, arrays in _read_warmup(path):
        if signature not in servable.signatures:
            raise LoadError(f"{path}: record {index}: no signature {signature!r}.")
        try:
            servable.signatures[signature](arrays)
        except Exception as error:  # as many kinds as graphs have ops
            raise LoadError(f"{path}: record {index} fails: {named(error)}") from error


def _read_warmup(path: str) -> list[tuple[int, str, Arrays]]:
    """Record, signature and inputs of each recorded request."""
    # A model without a warmup file is served without this package.
    from tensorflow_serving.apis import prediction_log_pb2

    requests: list[tuple[int, str, Arrays]] = []
    index = 0
    try:
        for index, record in enumerate(
            tf.data.TFRecordDataset(path).as_numpy_iterator()
        ):
            if index == _MOST_WARMUP_RECORDS:
                raise LoadError(
                    f"{path}: at most {_MOST_WARMUP_RECORDS} warmup records are "
                    "allowed. Got more."
                )
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof("log_type")
            if kind not in _REPLAYED:
                raise LoadError(
                    f"{path}: record {index} is a {kind}; replayed are "
                    f"{', '.join(_REPLAYED)}."
                )
            runs = _REPLAYED[kind](getattr(log, kind).request)
            requests += [(index, signature, arrays) for signature, arrays in runs]
    except tf.errors.OpError as error:
        raise LoadError(f"{path}: is no TFRecord file: {error.message}") from None
    except message.DecodeError as error:
        raise LoadError(
            f"{path}: record {index} is no PredictionLog: {error}"
        ) from None
    return requests


def _of_predict(request: Any) -> list[tuple[str, Arrays]]:
    arrays = {name: tf.make_ndarray(t) for name, t in request.inputs.items()}
    return [(_signature_of(request), arrays)]


def _of_examples(request: Any) -> list[tuple[str, Arrays]]:
    return [(_signature_of(request), _serialized(request.input))]


def _of_several(request: Any) -> list[tuple[str, Arrays]]:
    arrays = _serialized(request.input)
    return [(_signature_of(task), arrays) for task in request.tasks]


def _signature_of(request: Any) -> str:
    return str(request.model_spec.signature_name) or "serving_default"


def _serialized(given: Any) -> Arrays:
    from serving.wire.grpc_tensors import example_bytes

    return {"inputs": np.array(example_bytes(given), object)}


_REPLAYED: dict[str, Callable[[Any], list[tuple[str, Arrays]]]] = {
    "predict_log": _of_predict,
    "classify_log": _of_examples,
    "regress_log": _of_examples,
    "multi_inference_log": _of_several,
}


def named(error: Exception) -> str:
    """The error with its type: the text of a KeyError alone says nothing.

    On one line, and without the nodes that a graph's error names at its length.
    """
    text = " ".join(str(error).split())
    if len(text) > _LONGEST_ERROR:
        text = f"{text[:_LONGEST_ERROR]}..."
    return f"{type(error).__name__}: {text}"
