"""`serving.load.load_targets` over gRPC. Importing this imports TensorFlow."""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.client.calls import Metadata, Predict, Target
from serving.client.grpc_client import NOT_REACHED, GrpcWire
from serving.load.arrivals import TIMEOUT
from serving.load.load_targets import CONNECT

_PREDICT = "/tensorflow.serving.PredictionService/Predict"


class GrpcLoadTarget:
    """One channel, whose messages are bytes: they are neither made nor read again."""

    def __init__(self, url: str, target: Target, timeout_s: float):
        self._wire = GrpcWire(url, target)
        self._timeout_s = timeout_s
        self._bodies: list[bytes] = []
        self._channel: Any = None  # it belongs to the loop that runs
        self._predict: Any = None

    async def prepare(self, calls: list[Predict]) -> None:
        """Metadata first, as a value's type is the model's."""
        self._channel = grpc.aio.insecure_channel(
            self._wire.address, options=self._wire.channel_options()
        )
        self._predict = self._channel.unary_unary(_PREDICT)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        steps = self._wire.exchange(Metadata())
        try:
            _, request = next(steps)
            steps.send(await stub.GetModelMetadata(request, timeout=self._timeout_s))
        except StopIteration:
            pass
        except grpc.RpcError as error:
            raise self._wire.refused(error) from None
        requests = [self._wire.predict_request(call) for call in calls]
        self._bodies = [request.SerializeToString() for request in requests]

    async def ask(self) -> None:
        """As in `LoadTarget`."""
        try:
            answer = await self._predict(self._bodies[0], timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._wire.refused(error) from None
        predict_pb2.PredictResponse.FromString(answer)

    async def send(self, number: int) -> str:
        """As in `LoadTarget`."""
        try:
            await self._predict(self._bodies[number], timeout=self._timeout_s)
        except grpc.RpcError as error:
            return _kind(error)
        return ""

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close()


def _kind(error: Any) -> str:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TIMEOUT
    if code is grpc.StatusCode.UNAVAILABLE and any(w in details for w in NOT_REACHED):
        return CONNECT
    return str(code.name)
