"""Which requests go through the environment's proxy: real servers that note them."""

import concurrent.futures
import contextlib
import http.server
import socket
import threading

import pytest

from serving.client.client import Client, ClientError
from serving.client.retries import Retries

_STATUS = b'{"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}'


@contextlib.contextmanager
def _server(host="127.0.0.1"):
    """A server that answers as a model's; yields its port and the lines that it got."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(_STATUS)))
            self.end_headers()
            self.wfile.write(_STATUS)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def proxy(monkeypatch):
    """The lines that a proxy got, which every variable names."""
    with _server() as (port, asked):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.8.7", "0.0.0.0"])
def test_a_server_on_this_machine_is_asked_itself(proxy, host):
    with (
        _server("0.0.0.0") as (port, asked),
        Client(f"http://{host}:{port}/", "tiny") as client,
    ):
        assert client.status()[0]["version"] == "1"
    assert asked == ["/v1/models/tiny"]
    assert proxy == []


def test_any_other_server_is_asked_through_the_proxy(proxy):
    with Client("http://ranker.invalid:8501", "tiny") as client:
        assert client.status()[0]["state"] == "AVAILABLE"
    assert proxy == ["http://ranker.invalid:8501/v1/models/tiny"]


def test_a_dead_proxy_is_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    with (
        Client("http://ranker.invalid", "tiny") as client,
        pytest.raises(
            ClientError, match="asked as HTTP_PROXY and NO_PROXY say"
        ) as told,
    ):
        client.status()
    assert "secret" not in str(told.value)


def test_an_unusable_proxy_is_told_and_no_hindrance_on_this_machine(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(
        ClientError, match="^ALL_PROXY: names a proxy that cannot be us"
    ):
        Client("http://ranker.invalid", "tiny")
    with _server() as (port, _), Client(f"http://127.0.0.1:{port}", "t") as client:
        assert len(client.status()) == 1


@contextlib.contextmanager
def _listening():
    """A port; the first line that whoever connects sends, or None."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)  # where nobody comes, the test fails

        def first_line():
            connection, _ = listener.accept()
            with connection:
                return connection.makefile("rb").readline()

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            yield listener.getsockname()[1], pool.submit(first_line)


def test_grpc_goes_through_the_proxy_to_other_machines_only(monkeypatch):
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    once = Retries(tries=1)
    with _listening() as (port, line):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        with (
            Client("grpc://ranker.invalid", "tiny", 10, retries=once) as client,
            pytest.raises(ClientError, match="no answer|UNAVAILABLE"),
        ):
            client.status()
        assert line.result(60).startswith(b"CONNECT ranker.invalid:8500 HTTP/1.")
    with _listening() as (port, line):
        with (
            Client(f"grpc://127.0.0.1:{port}", "tiny", 10, retries=once) as client,
            pytest.raises(ClientError),
        ):
            client.status()
        assert line.result(60).startswith(b"PRI * HTTP/2.0")  # not CONNECT
