"""The ASGI application: reads a request within limits, has it answered, sends that.

What needs a model waits for a worker; everything else is answered at once, so that
health checks and metrics see a busy server, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.options import ServerOptions
from serving.server import rest
from serving.server.held_bytes import NO_ROOM, Loan
from serving.server.rest import Reply, Request, error_reply
from serving.server.service import Overloaded, Service

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_CLOSE = (b"connection", b"close")
_MAY_PASS = (429, 503)  # the client is told when to come back


class App:
    """An ASGI application over a service."""

    def __init__(self, service: Service):
        self._service = service

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        loan = Loan(self._service.held)
        try:
            reply = await self._answer(scope, receive, loan)
        except _ClientLeft:
            return
        except _Refused as refused:
            reply = refused.reply
        except asyncio.CancelledError:  # the time to drain is over
            reply = error_reply(503, "The server is shutting down.", _CLOSE)
        finally:
            loan.end()
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", b"%d" % len(reply.body)),
            *reply.headers,
        ]
        if reply.status in _MAY_PASS:
            retry_after_s = self._service.options.retry_after_s
            headers.append((b"retry-after", b"%d" % retry_after_s))
        await send(
            {"type": "http.response.start", "status": reply.status, "headers": headers}
        )
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Message, receive: Receive, loan: Loan) -> Reply:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        options = self._service.options
        body = await _read(receive, headers, options, loan)
        query = scope["query_string"]
        path = scope["raw_path"] + (b"?" + query if query else b"")
        abandoned = threading.Event()
        request = Request(
            scope["method"],
            path.decode("latin-1"),
            headers,
            body,
            lambda: not abandoned.is_set(),
        )
        if not rest.is_call(request):
            return rest.handle(self._service, request)
        try:
            return await self._work(request, receive, loan)
        finally:
            abandoned.set()

    async def _work(self, request: Request, receive: Receive, loan: Loan) -> Reply:
        """Has a worker answer; leaves the queue with the client, or when time is up."""
        service = self._service
        try:
            is_large = rest.size_bytes(request) > service.options.large_body_bytes
            submit = service.submit_large if is_large else service.submit
            future = submit(rest.handle, service, request)
        except Overloaded as error:
            service.count(rest.model_of(request), error.name)
            return error_reply(503, error.message)
        loan.lasts_until(future.add_done_callback)
        answered = asyncio.wrap_future(future)
        left = asyncio.ensure_future(_leaves(receive))
        try:
            done, _ = await asyncio.wait(
                (answered, left),
                timeout=service.options.request_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if answered in done:
                return answered.result()
        finally:
            left.cancel()
            answered.cancel()  # a request that waits is forgotten
        if left in done:
            service.count(rest.model_of(request), "CANCELLED")
            raise _ClientLeft
        service.count(rest.model_of(request), "DEADLINE_EXCEEDED")
        waited_s = service.options.request_timeout_s
        return error_reply(504, f"Timed out: no answer within {waited_s:g} s.")


class _ClientLeft(Exception):
    """Nobody is there to be answered."""


class _Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, reply: Reply):
        super().__init__(reply.status)
        self.reply = reply


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# --- bodies ---------------------------------------------------------------------------


async def _read(
    receive: Receive, headers: dict[str, str], options: ServerOptions, loan: Loan
) -> bytes:
    """The body of a request, if it comes in time and is small enough."""
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > options.max_body_bytes:
        raise _Refused(_too_large(options))
    # asyncio.wait_for would make a task of it, though most bodies are there already.
    task, is_late = asyncio.current_task(), False

    def stop() -> None:
        nonlocal is_late
        is_late = True
        if task is not None:
            task.cancel()

    timer = asyncio.get_running_loop().call_later(options.body_timeout_s, stop)
    try:
        return await _read_parts(receive, options, loan)
    except asyncio.CancelledError:
        if not is_late:
            raise
        text = f"Timed out: no complete body within {options.body_timeout_s:g} s."
        raise _Refused(error_reply(408, text, _CLOSE)) from None
    finally:
        timer.cancel()


async def _read_parts(receive: Receive, options: ServerOptions, loan: Loan) -> bytes:
    parts: list[bytes] = []
    size_bytes, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        part: bytes = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > options.max_body_bytes:
            raise _Refused(_too_large(options))
        if not loan.take(len(part)):
            raise _Refused(error_reply(503, NO_ROOM))
        parts.append(part)
        is_more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(options: ServerOptions) -> Reply:
    return error_reply(
        413, f"Request too large: more than {options.max_body_bytes} bytes."
    )
