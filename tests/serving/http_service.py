"""A service behind a real socket, and raw clients for what HTTP libraries never send."""

import contextlib
import socket
import threading
import time

import uvicorn

from serving.server.server import _bind, _listen, _over
from serving.server.service import Service

PATIENCE_S = 60
BRIEF_S = 0.05  # a limit that a test waits for
PREDICT = "/v1/models/half:predict"


class Running:
    """A server in a thread. `service` is its service, `address` where it listens."""

    def __init__(
        self,
        service: Service,
        server: uvicorn.Server,
        listener: socket.socket,
        grpc_address: str | None,
    ):
        self.service, self._server = service, server
        self.grpc_address = grpc_address
        self.address = listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def stop(self) -> None:
        self._server.should_exit = True

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S)

    def exchange(self, *parts: bytes) -> bytes:
        """Sends all parts and reads until the server closes."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return read_all(client)


@contextlib.contextmanager
def running(service: Service):
    """Serves while the block runs."""
    with contextlib.closing(_bind("127.0.0.1", 0)) as listener:
        _listen(listener)
        with _over(service, listener) as served:
            found = Running(service, served.server, listener, served.grpc_address)
            thread = threading.Thread(target=served.server.run, args=([listener],))
            thread.start()
            try:
                yield found
            finally:
                found.stop()
                thread.join()


@contextlib.contextmanager
def busy(service: Service):
    """All workers are at work while the block runs."""
    go_on = threading.Event()
    count = service.options.worker_count
    futures = [service.submit(go_on.wait) for _ in range(count)]
    until(lambda: service.workers.load()[0] == count)
    try:
        yield go_on
    finally:
        go_on.set()
        for future in futures:
            future.result()


def read_all(client: socket.socket) -> bytes:
    """What comes until the server closes, or resets."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_reply(client: socket.socket) -> bytes:
    """One reply with a content-length."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += client.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """A request's bytes; `length` is what it declares, of `body` by default."""
    size = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {size}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def until(condition) -> None:
    """Waits for what other threads bring about."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)
