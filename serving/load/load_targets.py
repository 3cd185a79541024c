"""A server as a load test sees it: bodies that are ready, answers that are not read.

What a client does to a request before and after is the client's time, so it is done
once, before anything is measured.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Protocol

import httpx

from serving.client.calls import Predict, Target
from serving.client.rest_client import RestWire, WireRequest, http_client
from serving.load.arrivals import TIMEOUT

if TYPE_CHECKING:
    from serving.load.load_targets_grpc import GrpcLoadTarget

CONNECT, BROKEN_OFF = "connect", "broken off"


class LoadTarget(Protocol):
    """One model of one server."""

    async def prepare(self, calls: list[Predict]) -> None:
        """Keeps requests, ready to be sent.

        Raises:
            ClientError: Over gRPC, whose messages need the model's metadata.
        """

    async def ask(self) -> None:
        """Sends the first request and reads its answer.

        Raises:
            ClientError: There was no answer, or none of use.
        """

    async def send(self, number: int) -> str:
        """Sends a request that was prepared; the kind of error, or "" if answered."""

    async def close(self) -> None:
        """Closes the connections."""


def load_target(
    url: str, target: Target, timeout_s: float, most_in_flight: int
) -> LoadTarget:
    """The target at a URL, over REST or gRPC.

    Args:
        url: `http://`, `https://` or `grpc://`, host and port.
        target: The model.
        timeout_s: After which a request is given up.
        most_in_flight: Connections over HTTP.
    """
    if not url.startswith("grpc://"):
        return _RestLoadTarget(url, target, timeout_s, most_in_flight)
    from serving.load.load_targets_grpc import GrpcLoadTarget

    found: GrpcLoadTarget = GrpcLoadTarget(url, target, timeout_s)
    return found


class _RestLoadTarget:
    """Over HTTP, with a connection for each request that waits."""

    def __init__(self, url: str, target: Target, timeout_s: float, connections: int):
        self._wire = RestWire(url, target)
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        self._http = http_client(
            url,
            # The time-out is that of the whole request, below.
            functools.partial(httpx.AsyncClient, limits=limits, timeout=None),
            functools.partial(httpx.AsyncHTTPTransport, limits=limits),
        )
        self._timeout_s = timeout_s
        self._first: WireRequest | None = None
        self._requests: list[httpx.Request] = []

    async def prepare(self, calls: list[Predict]) -> None:
        wires = [self._wire.request(call) for call in calls]
        self._first = wires[0]
        self._requests = [
            self._http.build_request(wire.method, wire.url, content=wire.body)
            for wire in wires
        ]

    async def ask(self) -> None:
        assert self._first, "nothing was prepared"
        try:
            response = await asyncio.wait_for(
                self._http.send(self._requests[0]), self._timeout_s
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._wire.no_answer(error) from None
        except asyncio.TimeoutError:
            raise self._wire.no_answer(
                TimeoutError(f"nothing within {self._timeout_s:g} s")
            ) from None
        self._wire.answer(self._first, response)

    async def send(self, number: int) -> str:
        try:
            response = await asyncio.wait_for(
                self._http.send(self._requests[number]), self._timeout_s
            )
        except (asyncio.TimeoutError, httpx.TimeoutException):
            return TIMEOUT
        except httpx.ConnectError:
            return CONNECT
        except httpx.TransportError:
            return BROKEN_OFF
        status = response.status_code
        return "" if status == 200 else f"HTTP {status}"

    async def close(self) -> None:
        await self._http.aclose()
