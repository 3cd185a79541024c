"""The embedded server: TensorFlow Serving's REST and gRPC APIs in this process.

    trailrank serve --root RUN         # serves RUN/models on ports 8501 and 8500 (gRPC)
    trailrank serve --models DIR --port 9000 --grpc_port off

Without more words it serves the newest version of every model below the directory that
can be loaded, says why a newer one cannot, and follows what is pushed there. Production
uses `tensorflow/serving`; see `serving/deploy/`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import os
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import uvicorn

from serving.models import memory
from serving.options import ServerOptions
from serving.server.app import App
from serving.server.connections import limited_protocol
from serving.server.grpc_server import GrpcServer, grpc_serving
from serving.server.serve import owned_log
from serving.server.service import Service
from serving.server.starting import ServeError, ready_store, tell_trial
from serving.store.store_options import StoreOptions

_LOG = logging.getLogger("trailrank.serving")
_SPARE_FILES = 512  # that a process has open beside its connections
# A thread in Python code lets another one in so soon. With Python's own 5 ms a small
# request, which needs its turn a dozen times, waits too long beside a few large ones.
_SWITCH_S = 0.0005
ANY_PORT = ServerOptions(rest_port=0, grpc_port=None)


def serve(models: str | StoreOptions, options: ServerOptions | None = None) -> None:
    """Serves until interrupted or told to end; running requests are answered first.

    Args:
        models: A directory of `<name>/<version>/`, or all that can be said of models.
        options: Where, and with which limits.

    Raises:
        ServeError: No model there, one without a version that can be loaded,
            or the port is taken.
    """
    options = options or ServerOptions()
    _allow_files(options.max_connections + _SPARE_FILES)
    sys.setswitchinterval(_SWITCH_S)
    # One pool of threads for all sessions of a process, made with the first of them.
    threads = options.tensorflow_intra_op_parallelism
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    memory.set_libraries_apart()
    with _server(models, options) as running:
        running.server.run(sockets=[running.listener])


class Server:
    """A server in a thread of this process. Close it, or use `with`.

    Args:
        models: A directory of `<name>/<version>/`, or all that can be said of models.
        options: Where, and with which limits; a free port by default.

    Attributes:
        url: Like `http://127.0.0.1:8501`.
        grpc_address: Like `127.0.0.1:8500`; None where no gRPC is served.

    Raises:
        ServeError: No model there, one without a version that can be loaded,
            or the port is taken.
    """

    def __init__(
        self, models: str | StoreOptions, options: ServerOptions = ANY_PORT
    ) -> None:
        self._running = contextlib.ExitStack()
        running = self._running.enter_context(_in_thread(models, options))
        self.url: str = _url(running.listener)
        self.grpc_address: str | None = running.grpc_address

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
    options: ServerOptions = ANY_PORT,
    *,
    poll_s: float = 1.0,
) -> Iterator[str]:
    """Serves while the block runs; gives the URL.

    Args:
        models: A directory of `<name>/<version>/`, or all that can be said of models.
        options: Where, and with which limits; a free port by default.
        poll_s: Seconds between looks for new versions of a directory.
    """
    if isinstance(models, str):
        models = StoreOptions(models_dir=models, poll_s=poll_s)
    with _in_thread(models, options) as running:
        yield _url(running.listener)


class _Running(NamedTuple):
    """A server that listens, with its gRPC one beside it."""

    server: uvicorn.Server
    listener: socket.socket
    grpc_address: str | None

    @property
    def where(self) -> str:
        """URL and address, for people."""
        over_grpc = self.grpc_address
        told = "" if over_grpc is None else f", and over gRPC at {over_grpc}"
        return _url(self.listener) + told


@contextlib.contextmanager
def _in_thread(
    models: str | StoreOptions, options: ServerOptions
) -> Iterator[_Running]:
    with _server(models, options) as running:
        server, listener = running.server, running.listener
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def _server(models: str | StoreOptions, options: ServerOptions) -> Iterator[_Running]:
    """A server that listens and whose models are loaded, not running yet.

    It is bound first, so that a taken port is told before the models are loaded.
    """
    if isinstance(models, str):
        models = StoreOptions(models_dir=models)
    if options.trial is not None:
        models = dataclasses.replace(models, beside=options.trial.versions)
    with (
        owned_log(options.trial),
        contextlib.closing(_bind(options.host, options.rest_port)) as listener,
    ):
        store = ready_store(models)
        # Whoever connects from here on waits for the server's loop, and is not refused.
        _listen(listener)
        store.start()
        service = Service(store, options)
        try:
            with _over(service, listener) as running:
                _LOG.info("serving %s at %s", ", ".join(store.names()), running.where)
                tell_trial(store, options.trial)
                yield running
        finally:
            service.close()
            store.stop()


@contextlib.contextmanager
def _over(service: Service, listener: socket.socket) -> Iterator[_Running]:
    """A service over both APIs, of which REST's is not running yet."""
    with grpc_serving(service) as over_grpc:
        address = None if over_grpc is None else over_grpc.address
        yield _Running(_Uvicorn(_config(service), over_grpc), listener, address)


class _Uvicorn(uvicorn.Server):
    """uvicorn's, at whose end both APIs stop at once and have the same time."""

    def __init__(self, config: uvicorn.Config, over_grpc: GrpcServer | None):
        super().__init__(config)
        self._over_grpc = over_grpc

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ended = self._over_grpc.drain() if self._over_grpc else None
        await super().shutdown(sockets)
        if ended is not None:
            await asyncio.get_running_loop().run_in_executor(None, ended.wait)


def _config(service: Service) -> uvicorn.Config:
    options = service.options
    return uvicorn.Config(
        App(service),
        http=limited_protocol(options),
        ws="none",
        timeout_graceful_shutdown=math.ceil(options.drain_s),
        log_level="error",  # a line for each odd request would fill a disk
        access_log=False,
        server_header=False,
        lifespan="off",
    )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_files(count: int) -> None:
    """Lets this process have so many files open, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


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
