"""HTTP connections with limits: uvicorn's protocol leaves slow and odd clients be.

uvicorn has no limit of time for the headers of a request, none for a client that does
not take its answer, and none for bodies in very small pieces, each of which costs as
much as a large one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.options import ServerOptions

_LINGER_S = 2.0  # for a refused client to read why; a closed socket would drop that
# Of a body: pieces beyond the free ones have so many bytes on average.
_FREE_PIECES, _PIECE_BYTES = 4096, 256
_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


def limited_protocol(options: ServerOptions) -> type[H11Protocol]:
    """The class of connections that keep to `options`."""
    return type("LimitedProtocol", (_LimitedProtocol,), {"options": options})


class _Connection(h11.Connection):
    """One that refuses bodies in crumbs, and versions of HTTP it does not speak."""

    _pieces = _size_bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._size_bytes = 0
            if event.http_version not in (b"1.0", b"1.1"):
                raise h11.RemoteProtocolError("only HTTP/1.0 and 1.1 are spoken")
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._size_bytes += len(event.data)
            if self._pieces > _FREE_PIECES + self._size_bytes // _PIECE_BYTES:
                raise h11.RemoteProtocolError("too many small pieces of a body")
        return event


class _LimitedProtocol(H11Protocol):
    options: ServerOptions

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER, self.options.max_header_bytes)
        self.timeout_keep_alive = self.options.keep_alive_s  # type: ignore[assignment]
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._is_refused = self._has_begun = False

    # --- what the transport calls -----------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.options.max_connections:
            self._refuse(503, "The server is busy: too many connections are open.")
            return
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._has_begun = True
        if self.conn.their_state is h11.IDLE:
            self._await_headers()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self._abort_in(self.options.send_timeout_s)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()

    # --- what uvicorn calls -----------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_if_unsent()
        elif self.conn.their_state is h11.SEND_BODY:
            # Answered before the body ended: the rest is dropped, but not for ever.
            self.loop.call_later(_LINGER_S, self._close_if_still_sending, self.cycle)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._abort_if_unsent()

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, h11.RemoteProtocolError):
            msg = f"Invalid HTTP request received: {error}"
        too_long = getattr(error, "error_status_hint", 400) == 431
        self._refuse(431 if too_long else 400, msg)

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # refused just now
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is offered may be left alone: a request as any other."""

    # --- limits -----------------------------------------------------------------------

    def _await_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(
                self.options.header_timeout_s, self._headers_are_late
            )

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_are_late(self) -> None:
        self._header_timer = None
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            return
        if self._has_begun:
            limit_s = self.options.header_timeout_s
            self._refuse(408, f"Timed out: no complete header within {limit_s:g} s.")
        else:
            self.transport.close()

    def _close_if_still_sending(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def _abort_if_unsent(self) -> None:
        """A closed connection waits for its client to take the rest; not for ever."""
        if self.transport.get_write_buffer_size():
            self._abort_in(self.options.send_timeout_s)

    def _refuse(self, status: int, message: str) -> None:
        """Says why, unless an answer has begun, and closes a little later."""
        self._is_refused = True
        self._stop_header_timer()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(self._refusal(status, message))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        crowd = 2 * self.options.max_connections
        if not self.transport.can_write_eof() or len(self.connections) > crowd:
            self.transport.close()
            return
        self.transport.write_eof()
        self._abort_in(_LINGER_S)

    def _refusal(self, status: int, message: str) -> bytes:
        body = json.dumps({"error": message}, indent=1).encode()
        retry = b"retry-after: %d\r\n" % self.options.retry_after_s
        return (
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n%s"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s"
        ) % (
            status,
            _REASONS[status],
            retry if status == 503 else b"",
            len(body),
            body,
        )

    def _abort_in(self, delay_s: float) -> asyncio.TimerHandle:
        return self.loop.call_later(delay_s, self.transport.abort)
