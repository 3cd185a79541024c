"""What is asked again, how often and how soon; through real servers that are busy."""

import asyncio
import concurrent.futures
import contextlib
import email.utils
import http.server
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from feature_specs.errors import UsageError
from serving.client.client import AsyncClient, Client, ClientError
from serving.client.retries import Retries

AT_ONCE = Retries(tries=3, first_pause_s=0.0, longest_pause_s=0.0)
_STATUS = b'{"model_version_status": [{"version": "1"}]}'


@contextlib.contextmanager
def _server(*answers):
    """Gives these answers (status, headers) one by one, then well ones; what was asked.

    A status of 0 breaks the connection off.
    """
    left, asked = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status, headers = left.pop(0) if left else (200, {})
            if not status:
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(_STATUS)))
            self.end_headers()
            self.wfile.write(_STATUS)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def _status(url, **options):
    with Client(url, "m", **options) as client:
        return client.status()


def _status_async(url, **options):
    async def ask():
        async with AsyncClient(url, "m", **options) as client:
            return await client.status()

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [_status, _status_async])


@both
@pytest.mark.parametrize("busy", [(429, {}), (503, {"retry-after": "0"}), (0, {})])
def test_what_may_pass_is_asked_again(ask, busy):
    with _server(busy, busy) as (url, asked):
        assert ask(url, retries=AT_ONCE) == [{"version": "1"}]
    assert len(asked) == 3


@both
def test_the_last_refusal_is_told(ask):
    with (
        _server(*[(503, {})] * 3) as (url, asked),
        pytest.raises(ClientError, match="HTTP 503") as refused,
    ):
        ask(url, retries=AT_ONCE)
    assert refused.value.status == 503
    assert len(asked) == 3


@both
@pytest.mark.parametrize("status", [400, 404, 413, 500, 501, 504])
def test_what_will_not_pass_is_asked_once(ask, status):
    with _server((status, {})) as (url, asked), pytest.raises(ClientError):
        ask(url, retries=AT_ONCE)
    assert len(asked) == 1


@both
def test_a_pause_that_the_server_asks_for_and_nobody_would_wait_is_not_begun(ask):
    in_an_hour = email.utils.formatdate(time.time() + 3600, usegmt=True)
    for value in ("3600", in_an_hour):
        with (
            _server((503, {"retry-after": value})) as (url, asked),
            pytest.raises(ClientError) as refused,
        ):
            ask(url, timeout_s=60)
        assert refused.value.retry_after_s == pytest.approx(3600, abs=60)
        assert len(asked) == 1


def test_a_pause_that_the_server_asks_for_is_kept():
    with _server((429, {"retry-after": "1"})) as (url, asked):
        begin = time.monotonic()
        _status(url, retries=AT_ONCE)
        assert time.monotonic() - begin >= 1
    assert len(asked) == 2


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "\u0661"])
def test_a_pause_that_is_none_counts_as_none(value):
    with _server((503, {"retry-after": value.encode().decode("latin-1")})) as (url, _):
        assert _status(url, retries=AT_ONCE)


@contextlib.contextmanager
def _grpc_server(*refusals):
    """Refuses with these (code, trailing metadata) one by one, then answers."""
    left, asked = list(refusals), []

    class Servicer(model_service_pb2_grpc.ModelServiceServicer):
        def GetModelStatus(self, request, context):
            asked.append(request.model_spec.name)
            if left:
                code, metadata = left.pop(0)
                context.set_trailing_metadata(metadata)
                context.abort(code, "not now")
            response = get_model_status_pb2.GetModelStatusResponse()
            response.model_version_status.add().version = 1
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", asked
    finally:
        server.stop(None).wait()


_NOW = (("retry-after", "0"),)
_LATER = (("retry-after", "3600"),)


@both
def test_a_busy_gRPC_server_is_asked_again(ask):
    busy = (grpc.StatusCode.UNAVAILABLE, _NOW)
    with _grpc_server(busy, busy) as (url, asked):
        assert ask(url, retries=AT_ONCE)[0]["version"] == "1"
    assert asked == ["m"] * 3


@both
@pytest.mark.parametrize(
    ("code", "metadata", "status", "pause_s"),
    [
        (grpc.StatusCode.UNAVAILABLE, _LATER, 503, 3600),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, _LATER, 429, 3600),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (), 429, 0),  # a message too long
        (grpc.StatusCode.INVALID_ARGUMENT, (), 400, 0),
        (grpc.StatusCode.DEADLINE_EXCEEDED, (), 504, 0),
        (grpc.StatusCode.DATA_LOSS, (), 500, 0),
    ],
)
def test_other_refusals_of_gRPC_are_told_at_once(ask, code, metadata, status, pause_s):
    with (
        _grpc_server((code, metadata)) as (url, asked),
        pytest.raises(ClientError, match=f"m: {code.name}: not now") as refused,
    ):
        ask(url, timeout_s=60)
    assert (refused.value.status, refused.value.retry_after_s) == (status, pause_s)
    assert len(asked) == 1


def test_time_that_ran_out_is_not_begun_again():
    told = []

    def send(left_s):
        told.append(left_s)
        raise ClientError("busy", 503, may_pass=True)

    with pytest.raises(ClientError):
        Retries(tries=9, first_pause_s=5, longest_pause_s=5).run(send, timeout_s=4)
    assert len(told) == 1 and 3 < told[0] <= 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"tries": 0},
        {"first_pause_s": -1.0},
        {"first_pause_s": 3.0},
        {"longest_pause_s": float("nan")},
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match="Retries: "):
        Retries(**wrong)
