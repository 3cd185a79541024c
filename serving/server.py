"""The embedded server: TensorFlow Serving's REST API for a laptop and for tests.

    trailrank serve --root RUN                 # serves RUN/models on port 8501
    trailrank serve --models DIR --port 9000

Serves the newest version of every model below the directory that can be loaded, says
why a newer one cannot, and follows what is pushed there. Production uses
`tensorflow/serving`; see `serving/deploy/`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from serving import rest
from serving.starting import ServeError, ready_store
from serving.store_options import StoreOptions
from serving.versions import ModelStore

DEFAULT_PORT = 8501
_LOG = logging.getLogger("trailrank.serving")


def create_app(store: ModelStore, pool: concurrent.futures.Executor) -> Starlette:
    """The ASGI application; `pool` runs the models, so that the event loop does not."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        query = scope["query_string"]
        path = scope["raw_path"] + (b"?" + query if query else b"")
        found = await asyncio.get_running_loop().run_in_executor(
            pool,
            rest.handle,
            store,
            request.method,
            path.decode("latin-1"),
            request.headers,
            body,
        )
        response = Response(
            found.body, found.status, headers={"content-type": found.content_type}
        )
        await response(scope, receive, send)

    return Starlette(routes=[Mount("/", app=answer)])


def serve(
    models: str | StoreOptions,
    port: int = DEFAULT_PORT,
    host: str = "127.0.0.1",
    *,
    poll_s: float = 1.0,
) -> None:
    """Serves until interrupted.

    Raises:
        ServeError: No model there, one without a version that can be loaded,
            or the port is taken.
    """
    with _server(models, port, host, poll_s) as (server, listener):
        server.run(sockets=[listener])


class Server:
    """A server in a thread of this process. Close it, or use `with`.

    Args:
        models: A directory of `<name>/<version>/`, or all that can be said of models.
        port: 0 takes a free one.
        host: `0.0.0.0` for every network.
        poll_s: Seconds between looks for new versions of a directory.

    Attributes:
        url: Like `http://127.0.0.1:8501`.

    Raises:
        ServeError: No model there, one without a version that can be loaded,
            or the port is taken.
    """

    def __init__(
        self,
        models: str | StoreOptions,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        poll_s: float = 1.0,
    ):
        self._running = contextlib.ExitStack()
        running = serve_in_thread(models, port, host, poll_s=poll_s)
        self.url: str = self._running.enter_context(running)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Answers what was asked, then ends; the second time it does nothing."""
        self._running.close()

    def __repr__(self) -> str:
        return f"Server({self.url!r})"


@contextlib.contextmanager
def serve_in_thread(
    models: str | StoreOptions,
    port: int = 0,
    host: str = "127.0.0.1",
    *,
    poll_s: float = 1.0,
) -> Iterator[str]:
    """Serves while the block runs; gives the URL. Port 0 takes a free one."""
    with _server(models, port, host, poll_s) as (server, listener):
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def _server(
    models: str | StoreOptions, port: int, host: str, poll_s: float
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """A server that listens and whose models are loaded, not running yet.

    It is bound first, so that a taken port is told before the models are loaded.
    """
    workers = 2 * (os.cpu_count() or 1)
    with (
        contextlib.closing(_bind(host, port)) as listener,
        concurrent.futures.ThreadPoolExecutor(workers, "predict") as pool,
    ):
        if isinstance(models, str):
            models = StoreOptions(models_dir=models, poll_s=poll_s)
        store = ready_store(models)
        # Whoever connects from here on waits for the server's loop, and is not refused.
        _listen(listener)
        store.start()
        config = uvicorn.Config(
            create_app(store, pool),
            log_level="warning",
            access_log=False,
            lifespan="off",
        )
        try:
            names, port = ", ".join(store.names()), listener.getsockname()[1]
            _LOG.info("serving %s at http://%s:%d", names, host, port)
            yield uvicorn.Server(config), listener
        finally:
            store.stop()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named so that asyncio sets TCP_NODELAY: a small answer would wait
    # 40 ms for the acknowledgement of its header.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _port_error(host, port, error) from None
    return listener


def _listen(listener: socket.socket) -> None:
    """Fails if another server, bound while this one was, listens by now."""
    host, port = listener.getsockname()[:2]
    try:
        listener.listen()
    except OSError as error:
        raise _port_error(host, port, error) from None


def _port_error(host: str, port: int, error: OSError) -> ServeError:
    return ServeError(
        f"port {port} on {host} cannot be used ({error.strerror}). Stop the other "
        "server, or choose another --port."
    )
