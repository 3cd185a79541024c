"""Calls over TensorFlow Serving's gRPC API: messages, answers, two kinds of channel.

Values are sent as bytes of the types that the model's metadata name, which is asked for
once. Importing this imports TensorFlow, whose messages these are.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client.calls import Call, ClientError, Metadata, Predict, Status, Target
from serving.client.proxies import by_proxy, is_here
from serving.options import Limits
from serving.wire.grpc_tensors import arrays_of

DEFAULT_PORT = 8500
_PROXIES = ("GRPC_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_RETRY_AFTER = "retry-after"
_SIGNATURE_DEF = "signature_def"
_STATUS, _METADATA, _PREDICT = "GetModelStatus", "GetModelMetadata", "Predict"
_HTTP_STATUS = {  # as TensorFlow Serving has it over REST
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# How gRPC says that no server was reached; its code is that of a busy one, too.
NOT_REACHED = ("failed to connect", "DNS resolution", "name resolution")

Signatures = Mapping[str, Mapping[str, tf.DType]]  # signature -> input -> type


class GrpcTransport:
    """One server over gRPC; its channel carries any number of calls at a time.

    Args:
        url: Like `grpc://127.0.0.1:8500`; without a port it is 8500.
        target: The model.
    """

    def __init__(self, url: str, target: Target):
        self._wire = GrpcWire(url, target)
        self._channel = grpc.insecure_channel(
            self._wire.address, options=self._wire.channel_options()
        )
        self._methods = _methods(self._channel)

    def send(self, call: Call, timeout_s: float) -> Any:
        """The answer, in the form that REST has.

        Raises:
            ClientError: None.
        """
        steps, end = self._wire.exchange(call), time.monotonic() + timeout_s
        try:
            method, request = next(steps)
            while True:
                left_s = end - time.monotonic()
                response = self._methods[method](request, timeout=left_s)
                method, request = steps.send(response)
        except StopIteration as done:
            return done.value
        except grpc.RpcError as error:
            raise self._wire.refused(error) from None

    def as_read(self, call: Predict, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arrays, as a server reads them of its message.

        Args:
            call: Of one signature; metadata was asked for before.
            inputs: As in `RestTransport.as_read`; the channel knows them already.
        """
        del inputs
        return arrays_of(self._wire.predict_request(call).inputs, Limits())

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


class AsyncGrpcTransport:
    """`GrpcTransport` for coroutines of one event loop."""

    def __init__(self, url: str, target: Target):
        self._wire = GrpcWire(url, target)
        self._channel: Any = None  # it belongs to the loop that runs, so not made here
        self._methods: dict[str, Any] = {}

    async def send(self, call: Call, timeout_s: float) -> Any:
        """`GrpcTransport.send`."""
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self._wire.address, options=self._wire.channel_options()
            )
            self._methods = _methods(self._channel)
        steps, end = self._wire.exchange(call), time.monotonic() + timeout_s
        try:
            method, request = next(steps)
            while True:
                left_s = end - time.monotonic()
                response = await self._methods[method](request, timeout=left_s)
                method, request = steps.send(response)
        except StopIteration as done:
            return done.value
        except grpc.RpcError as error:
            raise self._wire.refused(error) from None

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()


def _methods(channel: Any) -> dict[str, Any]:
    predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
        _STATUS: models.GetModelStatus,
        _METADATA: predictions.GetModelMetadata,
        _PREDICT: predictions.Predict,
    }


class GrpcWire:
    """Calls as messages, and messages as answers.

    Attributes:
        address: `host:port`.
    """

    def __init__(self, url: str, target: Target):
        self._url, self._target = url, target
        try:
            parts = urllib.parse.urlsplit(url)
            self._host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        except ValueError as error:
            raise ClientError(f"{url}: is no address ({error}).") from None
        if not self._host or parts.path.strip("/"):
            raise ClientError(f"url must be like grpc://HOST:PORT. Got {url!r}.")
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"{host}:{port}"
        self._signatures: Signatures | None = None  # until they are asked for

    def channel_options(self) -> list[tuple[str, int]]:
        """Of a channel to `address`."""
        return [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),  # the server has a limit of its own
            ("grpc.enable_retries", 0),  # `Retries` repeats
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.enable_http_proxy", int(not is_here(self._host))),
        ]

    def exchange(self, call: Call) -> Generator[tuple[str, Any], Any, Any]:
        """Yields methods with their requests, takes the responses, returns the answer.

        The first prediction asks for the metadata before.
        """
        if isinstance(call, Status):
            return _statuses((yield _STATUS, self._status_request()))
        if isinstance(call, Metadata):
            return self._read_metadata((yield _METADATA, self._metadata_request()))
        if self._signatures is None:
            self._read_metadata((yield _METADATA, self._metadata_request()))
        return self._outputs(call, (yield _PREDICT, self.predict_request(call)))

    def _status_request(self) -> get_model_status_pb2.GetModelStatusRequest:
        spec = self._model_spec()
        # Over REST a label is ignored here; a version is not.
        spec.ClearField("version_label")
        return get_model_status_pb2.GetModelStatusRequest(model_spec=spec)

    def _metadata_request(self) -> get_model_metadata_pb2.GetModelMetadataRequest:
        return get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._model_spec(), metadata_field=[_SIGNATURE_DEF]
        )

    def _read_metadata(
        self, response: get_model_metadata_pb2.GetModelMetadataResponse
    ) -> dict[str, Any]:
        """REST's form of it; keeps the types of inputs."""
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_SIGNATURE_DEF].Unpack(found)
        self._signatures = {
            name: {key: tf.as_dtype(info.dtype) for key, info in one.inputs.items()}
            for name, one in found.signature_def.items()
        }
        spec = response.model_spec
        return {
            "model_spec": {
                "name": spec.name,
                "signature_name": spec.signature_name,
                "version": str(spec.version.value),
            },
            "metadata": {_SIGNATURE_DEF: _as_json(found)},
        }

    def predict_request(self, call: Predict) -> predict_pb2.PredictRequest:
        """Of a call; in the model's types once its metadata was asked for."""
        request = predict_pb2.PredictRequest(model_spec=self._model_spec())
        request.model_spec.signature_name = call.signature
        types = (self._signatures or {}).get(call.signature, {})
        for name, value in self._columns(call, types).items():
            if name in call.optional and name not in types:
                continue
            try:
                request.inputs[name].CopyFrom(_proto(value, types.get(name)))
            except (TypeError, ValueError, OverflowError) as error:
                raise self._invalid(f"input {name!r}: {error}") from None
        return request

    def _outputs(self, call: Predict, response: predict_pb2.PredictResponse) -> Any:
        """REST's form of them: a mapping, or a list of one a row."""
        arrays = {name: tf.make_ndarray(t) for name, t in response.outputs.items()}
        lists = {name: _as_lists(name, array) for name, array in arrays.items()}
        if call.instances is None:
            return lists if len(lists) != 1 else next(iter(lists.values()))
        shapes = {array.shape[:1] for array in arrays.values()}
        if len(shapes) != 1 or () in shapes:
            raise self._invalid(
                "the outputs have no row for each instance; send `inputs`"
            )
        if len(lists) == 1:
            return next(iter(lists.values()))
        return [
            dict(zip(lists, row, strict=True))
            for row in zip(*lists.values(), strict=True)
        ]

    def refused(self, error: Any) -> ClientError:
        """A failed call: which code, and whether it may pass."""
        code, details = error.code(), error.details() or ""
        status = _HTTP_STATUS.get(code, 500)
        if status == 400:  # perhaps another version serves, with other types
            self._signatures = None
        retry_after_s = _retry_after_s(error.trailing_metadata())
        if code is grpc.StatusCode.UNAVAILABLE and any(
            words in details for words in NOT_REACHED
        ):
            return ClientError(
                f"{self._url}: no answer ({details})"
                f"{by_proxy(self._host, _PROXIES)}. Start a server with "
                "`trailrank serve --root RUN`, or name another --url.",
                may_pass=True,
            )
        return ClientError(
            f"{self._url}, model {self._target.model}: {code.name}: {details}",
            status,
            retry_after_s=retry_after_s,
            # A message that is too long is RESOURCE_EXHAUSTED, and stays so.
            may_pass=code is grpc.StatusCode.UNAVAILABLE
            or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s > 0),
        )

    def _columns(self, call: Predict, types: Mapping[str, Any]) -> Mapping[str, Any]:
        if call.instances is not None:
            return self._transposed(call.instances, types)
        if isinstance(call.inputs, Mapping):
            return call.inputs
        return {self._only(types): call.inputs}

    def _transposed(
        self, rows: Sequence[Any], types: Mapping[str, Any]
    ) -> dict[str, Any]:
        if not len(rows):
            raise self._invalid("no values in `instances`")
        if not isinstance(rows[0], Mapping):
            return {self._only(types): rows}
        names = rows[0].keys()
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping) or row.keys() != names:
                raise self._invalid(
                    f"instance {index} must have the names of the first one: "
                    f"{', '.join(map(str, names))}"
                )
        return {name: [row[name] for row in rows] for name in names}

    def _only(self, types: Mapping[str, Any]) -> str:
        if len(types) != 1:
            raise self._invalid(
                f"values without a name need a signature of one input. It has "
                f"{len(types)}"
            )
        return next(iter(types))

    def _model_spec(self) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self._target.model)
        if self._target.version is not None:
            spec.version.value = self._target.version
        elif self._target.label is not None:
            spec.version_label = self._target.label
        return spec

    def _invalid(self, message: str) -> ClientError:
        """A request that REST answers with 400."""
        return ClientError(f"{self._url}, model {self._target.model}: {message}.", 400)


# --- requests -------------------------------------------------------------------------


def _proto(value: Any, dtype: tf.DType | None) -> tensor_pb2.TensorProto:
    """A tensor of the model's type; without one, the server tells what is wrong.

    Raises:
        TypeError, ValueError, OverflowError: It is none, or not of the type.
    """
    if dtype is None or dtype == tf.string:
        return tf.make_tensor_proto(np.asarray(value, object) if dtype else value)
    array = np.asarray(value)
    if array.size:
        _check_kind(array, dtype)
    with np.errstate(over="ignore"):  # as over REST, a double may become infinite
        return tf.make_tensor_proto(array.astype(dtype.as_numpy_dtype))


def _check_kind(array: npt.NDArray[Any], dtype: tf.DType) -> None:
    """Refuses what REST refuses: no floats for integers, no flags for numbers."""
    allowed = "b" if dtype.is_bool else "iu" if dtype.is_integer else "iuf"
    if dtype.is_complex:
        allowed = "iufc"
    # Types of ml_dtypes, bfloat16 among them, have kind V.
    if array.dtype.kind not in allowed and array.dtype != dtype.as_numpy_dtype:
        raise TypeError(f"must be {dtype.name}. Got {array.dtype.name}")
    if dtype.is_integer and (array.min() < dtype.min or array.max() > dtype.max):
        raise OverflowError(
            f"must be between {dtype.min} and {dtype.max}, as {dtype.name} is"
        )


# --- answers --------------------------------------------------------------------------


def _as_lists(name: str, array: npt.NDArray[Any]) -> Any:
    if array.dtype != object or name.endswith("_bytes"):
        return array.tolist()
    texts = np.empty(array.shape, object)
    texts.ravel()[:] = [one.decode("utf-8", "replace") for one in array.ravel()]
    return texts.tolist()


def _statuses(
    response: get_model_status_pb2.GetModelStatusResponse,
) -> list[dict[str, Any]]:
    return [
        {
            "version": str(one.version),
            "state": get_model_status_pb2.ModelVersionStatus.State.Name(one.state),
            "status": {
                "error_code": error_codes_pb2.Code.Name(one.status.error_code),
                "error_message": one.status.error_message,
            },
        }
        for one in response.model_version_status
    ]


def _as_json(found: message.Message) -> Any:
    """With the fields that are empty; protobuf 5 has another word for that."""
    fields = {"preserving_proto_field_name": True}
    try:
        return json_format.MessageToDict(
            found, always_print_fields_with_no_presence=True, **fields
        )
    except TypeError:
        return json_format.MessageToDict(
            found, including_default_value_fields=True, **fields
        )


def _retry_after_s(metadata: Any) -> float:
    for key, value in metadata or ():
        if key == _RETRY_AFTER and str(value).isdecimal():
            return float(value)
    return 0.0
