"""One loaded SavedModel: its signatures as functions of arrays, its metadata, warmup.

What TensorFlow Serving does with a version directory, in this process.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy.typing as npt
import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.manifest import damaged_file
from serving.session import (
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
    for index, (signature, arrays) in enumerate(_read_warmup(path)):
        if signature not in servable.signatures:
            raise LoadError(f"{path}: record {index}: no signature {signature!r}.")
        try:
            servable.signatures[signature](arrays)
        except Exception as error:  # as many kinds as graphs have ops
            raise LoadError(f"{path}: record {index} fails: {named(error)}") from error


def _read_warmup(path: str) -> list[tuple[str, dict[str, npt.NDArray[Any]]]]:
    # A model without a warmup file is served without this package.
    from tensorflow_serving.apis import prediction_log_pb2

    requests: list[tuple[str, dict[str, npt.NDArray[Any]]]] = []
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof("log_type")
            if kind != "predict_log":
                raise LoadError(
                    f"{path}: record {len(requests)} is a {kind}; only predict_log is "
                    "replayed."
                )
            request = log.predict_log.request
            arrays = {n: tf.make_ndarray(t) for n, t in request.inputs.items()}
            name = request.model_spec.signature_name or "serving_default"
            requests.append((name, arrays))
    except tf.errors.OpError as error:
        raise LoadError(f"{path}: is no TFRecord file: {error.message}") from None
    except message.DecodeError as error:
        raise LoadError(
            f"{path}: record {len(requests)} is no PredictionLog: {error}"
        ) from None
    if len(requests) > _MOST_WARMUP_RECORDS:
        raise LoadError(
            f"{path}: at most {_MOST_WARMUP_RECORDS} warmup records are allowed. Got "
            f"{len(requests)}."
        )
    return requests


def named(error: Exception) -> str:
    """The error with its type: the text of a KeyError alone says nothing.

    On one line, and without the nodes that a graph's error names at its length.
    """
    text = " ".join(str(error).split())
    if len(text) > _LONGEST_ERROR:
        text = f"{text[:_LONGEST_ERROR]}..."
    return f"{type(error).__name__}: {text}"
