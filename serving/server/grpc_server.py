"""TensorFlow Serving's gRPC API over a `Service`: predict, classify, regress, status,
metadata, and the health protocol.

The same store, workers, limits and metrics as REST. A request holds a thread here while
it waits for a worker: there are as many as requests that may run and wait.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import grpc
import tensorflow as tf
from google.protobuf import json_format, message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from feature_specs.errors import TrailrankError
from serving.options import ServerOptions
from serving.server.held_bytes import NO_ROOM, Loan
from serving.server.service import (
    LONGEST_ID,
    REQUEST_ID,
    Call,
    Overloaded,
    Service,
    ServingError,
    always,
)
from serving.store.versions import VersionStatus
from serving.wire.grpc_tensors import (
    TensorError,
    arrays_of,
    as_text,
    example_bytes,
    proto_of,
)

HEALTH_SERVICES = (
    "",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
_SIGNATURE_DEF = "signature_def"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_SPARE_THREADS = 4  # for health, status and metadata beside full workers
_MAY_PASS = (tf.errors.UNAVAILABLE, tf.errors.RESOURCE_EXHAUSTED)
_RETRY_AFTER = "retry-after"
_NOT_BUILT = "Method not implemented!"
# Of a refusal, whose text travels as a header: three times as many once encoded,
# and clients take 8 KB.
_MOST_TEXT_BYTES = 2000
T = TypeVar("T")
Context: TypeAlias = Any  # grpc.ServicerContext; the package has no types


class GrpcPortError(TrailrankError, OSError):
    """The port for gRPC cannot be used."""


class GrpcServer:
    """gRPC over a service, from `start` to `drain`.

    Args:
        service: What answers; its options say where.

    Attributes:
        address: `host:port`.

    Raises:
        GrpcPortError: The port is taken.
    """

    def __init__(self, service: Service):
        self._drain_s = service.options.drain_s
        self._server, self._health = _server(service)
        self.address = _bind(self._server, service.options)
        self._ended: threading.Event | None = None

    def start(self) -> None:
        """Takes requests, and tells that it does."""
        self._server.start()
        for name in HEALTH_SERVICES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def drain(self) -> threading.Event:
        """Takes nothing new, answers what runs, for `drain_s` seconds at most.

        Returns at once, the second time as well: the event tells the end.
        """
        if self._ended is None:
            self._health.enter_graceful_shutdown()
            self._ended = self._server.stop(self._drain_s)
        return self._ended


@contextlib.contextmanager
def grpc_serving(service: Service) -> Iterator[GrpcServer | None]:
    """Serves gRPC while the block runs; None without gRPC. What runs is answered.

    Raises:
        GrpcPortError: The port is taken.
    """
    if service.options.grpc_port is None:
        yield None
        return
    server = GrpcServer(service)
    server.start()
    try:
        yield server
    finally:
        server.drain().wait()


class _Parsing(grpc.ServerInterceptor):  # type: ignore[misc]
    """Bytes that are no message are the client's fault, not INTERNAL."""

    def __init__(self, service: Service):
        self._service = service

    def intercept_service(
        self, continuation: Callable[[Any], Any], handler_call_details: Any
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler

        def answer(raw: bytes, context: Context) -> Any:
            try:
                request = handler.request_deserializer(raw)
            except message.DecodeError:
                self._service.count("", "INVALID_ARGUMENT")
                text = "The request is no message of the kind that this call takes."
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )


def _server(service: Service) -> tuple[grpc.Server, health.HealthServicer]:
    options = service.options
    concurrent_calls = options.worker_count + options.max_waiting + _SPARE_THREADS
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(concurrent_calls, "grpc"),
        interceptors=[_Parsing(service)],
        maximum_concurrent_rpcs=concurrent_calls,
        options=[
            ("grpc.max_receive_message_length", options.max_inflated_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", options.max_header_bytes),
            ("grpc.so_reuseport", 0),  # a second server is told, and takes no requests
            ("grpc.max_connection_idle_ms", int(1000 * options.keep_alive_s)),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionServicer(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelServicer(service), server
    )
    health_servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    return server, health_servicer


def _bind(server: grpc.Server, options: ServerOptions) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    try:
        port = server.add_insecure_port(f"{host}:{options.grpc_port}")
    except RuntimeError:  # newer gRPC raises, older gives 0
        port = 0
    if not port:
        raise GrpcPortError(
            f"port {options.grpc_port} on {options.host} cannot be used for gRPC. Stop "
            "the other server, or choose another --grpc_port (off: no gRPC)."
        )
    return f"{host}:{port}"


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """`tensorflow.serving.PredictionService`."""

    def __init__(self, service: Service):
        self._service = service

    def Predict(
        self, request: predict_pb2.PredictRequest, context: Context
    ) -> predict_pb2.PredictResponse:
        """Runs a signature; `output_filter` names the outputs that are sent."""

        def predict(call: Call) -> predict_pb2.PredictResponse:
            limits = self._service.options.limits
            with self._service.measured(call, "Predict"), _refusing_tensors():
                loaded = self._service.find_of(call)
                self._service.signature(loaded, call.signature)
                arrays = arrays_of(request.inputs, limits)
                wanted = tuple(request.output_filter)
                answer = self._service.run_predict(loaded, call, arrays, wanted)
            response = predict_pb2.PredictResponse()
            _fill(response.model_spec, call, answer)
            for name, array in answer.outputs.items():
                response.outputs[name].CopyFrom(proto_of(array))
            return response

        return self._answer(request, context, predict)

    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: Context
    ) -> classification_pb2.ClassificationResponse:
        """Labels and scores of examples."""

        def classify(call: Call) -> classification_pb2.ClassificationResponse:
            examples = self._examples(request.input)
            found = self._service.classify(call, examples)
            response = classification_pb2.ClassificationResponse()
            _fill(response.model_spec, call, found)
            for labels, scores in zip(found.labels, found.scores, strict=True):
                classes = response.result.classifications.add().classes
                for label, score in zip(labels, scores, strict=True):
                    classes.add(label=as_text(label), score=float(score))
            return response

        return self._answer(request, context, classify)

    def Regress(
        self, request: regression_pb2.RegressionRequest, context: Context
    ) -> regression_pb2.RegressionResponse:
        """A value of each example."""

        def regress(call: Call) -> regression_pb2.RegressionResponse:
            found = self._service.regress(call, self._examples(request.input))
            response = regression_pb2.RegressionResponse()
            _fill(response.model_spec, call, found)
            for value in found.values:
                response.result.regressions.add(value=float(value))
            return response

        return self._answer(request, context, regress)

    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version."""
        with _aborting(context, self._service.options):
            fields = set(request.metadata_field)
            if fields != {_SIGNATURE_DEF}:
                raise _invalid(
                    f"metadata_field must be {_SIGNATURE_DEF!r}. Got {sorted(fields)}."
                )
            call = _call(request.model_spec)
            loaded = self._service.find_of(call)
            signatures = json_format.ParseDict(
                {"signature_def": loaded.servable.metadata},
                get_model_metadata_pb2.SignatureDefMap(),
                ignore_unknown_fields=True,  # an older stub knows no `defaults`
            )
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = call.model
            response.model_spec.version.value = loaded.version
            response.metadata[_SIGNATURE_DEF].Pack(signatures)
            return response

    def MultiInference(self, request: Any, context: Context) -> Any:
        """Not built: no ranker's client asks several signatures of examples."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _NOT_BUILT)

    def _examples(self, given: input_pb2.Input) -> list[bytes]:
        most = self._service.options.limits.max_rows
        rows = len(given.example_list.examples)
        rows += len(given.example_list_with_context.examples)
        if not rows:
            raise _invalid("Input is empty: no example.")
        if rows > most:
            raise _invalid(
                f"{rows} examples are more than the {most} that are allowed."
            )
        return example_bytes(given)

    def _answer(
        self,
        request: Any,
        context: Context,
        answer: Callable[[Call], T],
    ) -> T:
        """Has a worker answer; leaves its queue when time is up or the client goes."""
        service = self._service
        with _aborting(context, self._service.options):
            call = dataclasses.replace(
                _call(request.model_spec, context.is_active),
                request_id=_request_id(context),
            )
            try:
                future = self._submit(request.ByteSize(), answer, call)
            except Overloaded as error:
                service.count(call.model, error.name)
                raise
            context.add_callback(future.cancel)
            patience_s = service.options.request_timeout_s
            left_s = context.time_remaining()
            try:
                return future.result(
                    patience_s if left_s is None else min(patience_s, left_s)
                )
            except concurrent.futures.TimeoutError:
                future.cancel()
                service.count(call.model, "DEADLINE_EXCEEDED")
                raise ServingError(
                    tf.errors.DEADLINE_EXCEEDED, "Timed out: no answer in time."
                ) from None
            except concurrent.futures.CancelledError:
                service.count(call.model, "CANCELLED")
                raise ServingError(
                    tf.errors.CANCELLED, "The client has left."
                ) from None

    def _submit(
        self, size_bytes: int, answer: Callable[[Call], T], call: Call
    ) -> concurrent.futures.Future[T]:
        """Has a worker answer, if there is room for the request beside REST's."""
        service, loan = self._service, Loan(self._service.held)
        try:
            if not loan.take(size_bytes):
                raise Overloaded(NO_ROOM)
            future = service.submit(answer, call)
            loan.lasts_until(future.add_done_callback)
            return future
        finally:
            loan.end()


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """`tensorflow.serving.ModelService`, without reloading of configurations."""

    def __init__(self, service: Service):
        self._service = service

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: Context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The states of all known versions, or of the one that is named."""
        with _aborting(context, self._service.options):
            call = _call(request.model_spec)
            response = get_model_status_pb2.GetModelStatusResponse()
            version = call.version
            if call.label is not None:
                version = self._service.find_of(call).version
            for status in self._service.statuses(call.model, version):
                _add_status(response, status)
            return response

    def HandleReloadConfigRequest(self, request: Any, context: Context) -> Any:
        """Not built: a configuration file is followed by polling."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _NOT_BUILT)


def _add_status(
    response: get_model_status_pb2.GetModelStatusResponse, status: VersionStatus
) -> None:
    states = get_model_status_pb2.ModelVersionStatus.State
    added = response.model_version_status.add()
    added.version = status.version
    added.state = states.Value(status.state)
    added.status.error_code = tf.errors.UNKNOWN if status.error else tf.errors.OK
    added.status.error_message = status.error


def _call(spec: model_pb2.ModelSpec, is_wanted: Callable[[], bool] = always) -> Call:
    """What a `ModelSpec` asks for.

    Raises:
        ServingError: It names no model.
    """
    if not spec.name:
        raise _invalid("Missing ModelSpec: no model is named.")
    choice = spec.WhichOneof("version_choice")
    return Call(
        model=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
        signature=spec.signature_name,
        api="gRPC",
        is_wanted=is_wanted,
    )


def _request_id(context: Context) -> str:
    """The client's own, of the call's metadata; empty if it has none."""
    metadata = dict(context.invocation_metadata() or ())
    return str(metadata.get(REQUEST_ID, ""))[:LONGEST_ID]


def _fill(spec: model_pb2.ModelSpec, call: Call, answer: Any) -> None:
    """Tells which model, version and signature answered."""
    spec.name = call.model
    spec.version.value = answer.version
    spec.signature_name = answer.signature_name


@contextlib.contextmanager
def _refusing_tensors() -> Iterator[None]:
    try:
        yield
    except TensorError as error:
        raise _invalid(f"{error}.") from None


@contextlib.contextmanager
def _aborting(context: Context, options: ServerOptions) -> Iterator[None]:
    """Ends a call with the status of its error."""
    try:
        yield
    except ServingError as error:
        if error.code in _MAY_PASS:
            told = (_RETRY_AFTER, str(options.retry_after_s))
            context.set_trailing_metadata((told,))
        code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
        text = error.message.encode("utf-8", "replace")[:_MOST_TEXT_BYTES]
        context.abort(code, text.decode("utf-8", "ignore"))


def _invalid(message: str) -> ServingError:
    return ServingError(tf.errors.INVALID_ARGUMENT, message)
