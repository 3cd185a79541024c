"""Limits on requests: what is too large, too late or too much is refused, and why."""

import gzip
import json

import httpx
import pytest

from serving.options import Limits
from tests.serving.http_service import (
    BRIEF_S,
    PREDICT,
    busy,
    post,
    read_all,
    read_reply,
    status,
    until,
)

GOOD = post(PREDICT, b'{"inputs": [1.0]}')


def error(reply: bytes) -> str:
    return json.loads(reply.partition(b"\r\n\r\n")[2])["error"]


def test_a_body_declared_too_large_is_refused_before_it_is_sent(serve_half):
    server = serve_half(max_body_bytes=100)
    with server.connect() as client:
        client.sendall(post(PREDICT, b"", length=101))
        reply = read_reply(client)
    assert status(reply) == 413
    assert error(reply) == "Request too large: more than 100 bytes."


def test_a_body_of_unknown_length_is_read_to_the_limit(serve_half):
    server = serve_half(max_body_bytes=100)
    whole, too_long = [(b"x" * 50 for _ in range(count)) for count in (2, 3)]
    assert httpx.post(server.url + PREDICT, content=whole).status_code == 400  # no JSON
    assert httpx.post(server.url + PREDICT, content=too_long).status_code == 413


def test_the_rest_of_a_body_that_was_refused_is_dropped(serve_half):
    server = serve_half(max_body_bytes=100)
    with server.connect() as client:
        client.sendall(post(PREDICT, b"x" * 100_000))
        assert status(read_reply(client)) == 413
        client.sendall(GOOD)
        assert status(read_reply(client)) == 200


def test_gzip_is_inflated_to_the_limit_only(serve_half):
    server = serve_half(max_inflated_bytes=1000)
    headers = {"content-encoding": "gzip"}
    exact = b'{"inputs": [1.0]}'.ljust(1000)
    for body, wanted in ((exact, 200), (exact + b" ", 413), (b" " * 10**8, 413)):
        answer = httpx.post(
            server.url + PREDICT, content=gzip.compress(body), headers=headers
        )
        assert answer.status_code == wanted


@pytest.mark.parametrize("sent", [b"", b'{"inputs": '])
def test_a_body_that_does_not_end_is_closed(serve_half, sent):
    server = serve_half(body_timeout_s=BRIEF_S)
    reply = server.exchange(post(PREDICT, sent, length=100))
    assert status(reply) == 408
    assert "no complete body within 0.05 s" in error(reply)


def test_rows_and_elements_are_limited(serve_half):
    server = serve_half(limits=Limits(max_elements=4, max_rows=3))
    for body, wanted in (
        ({"instances": [1, 2, 3]}, 200),
        ({"instances": [1, 2, 3, 4]}, 400),
        ({"inputs": [1, 2, 3, 4]}, 200),
        ({"inputs": [1, 2, 3, 4, 5]}, 400),
    ):
        assert httpx.post(server.url + PREDICT, json=body).status_code == wanted


def test_who_comes_when_too_many_wait_is_told_when_to_come_back(serve_half):
    server = serve_half(workers=1, max_waiting=1, retry_after_s=7)
    with busy(server.service) as go_on, server.connect() as waiting:
        waiting.sendall(GOOD)
        until(lambda: server.service.workers.load() == (1, 1))
        refused = httpx.post(server.url + PREDICT, json={"inputs": [1.0]})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
        assert "1 requests wait for 1 workers" in refused.json()["error"]
        looked = httpx.get(f"{server.url}/v1/models/half")
        assert looked.status_code == 200  # a busy server is no dead one
        go_on.set()
        assert status(read_reply(waiting)) == 200
    assert b'status="UNAVAILABLE"} 1.0' in server.service.metrics.text()


def test_an_answer_that_takes_too_long_is_not_waited_for(serve_half):
    server = serve_half(workers=1, request_timeout_s=BRIEF_S)
    with busy(server.service):
        late = httpx.post(server.url + PREDICT, json={"inputs": [1.0]})
        until(lambda: server.service.workers.load() == (1, 0))  # it leaves the queue
    assert late.status_code == 504
    assert "no answer within 0.05 s" in late.json()["error"]


def test_a_client_that_leaves_takes_its_request_along(serve_half):
    server = serve_half(workers=1)
    with busy(server.service):
        with server.connect() as client:
            client.sendall(GOOD)
            until(lambda: server.service.workers.load() == (1, 1))
        until(lambda: server.service.workers.load() == (1, 0))
    assert b'status="CANCELLED"} 1.0' in server.service.metrics.text()


def test_the_bytes_of_all_requests_together_are_limited_and_given_back(serve_half):
    server = serve_half(max_buffered_bytes=100, workers=1)
    body = b'{"inputs": [1.0]}'.ljust(60)
    with busy(server.service) as go_on, server.connect() as first:
        first.sendall(post(PREDICT, body))
        until(lambda: server.service.workers.load() == (1, 1))
        with server.connect() as second:
            second.sendall(post(PREDICT, body))
            refused = read_reply(second)
        assert (status(refused), b"retry-after: 1" in refused) == (503, True)
        go_on.set()
        assert status(read_reply(first)) == 200
    for _ in range(5):  # a loan that stayed would fill the hundred
        assert httpx.post(server.url + PREDICT, content=body).status_code == 200


def test_a_client_that_left_gives_its_bytes_back(serve_half):
    server = serve_half(max_buffered_bytes=100, workers=1)
    body = b'{"inputs": [1.0]}'.ljust(60)
    with busy(server.service):
        for _ in range(3):
            with server.connect() as client:
                client.sendall(post(PREDICT, body))
                until(lambda: server.service.workers.load() == (1, 1))
            until(lambda: server.service.workers.load() == (1, 0))


def test_the_end_waits_for_what_runs_and_takes_nothing_new(serve_half):
    server = serve_half(workers=1)
    with busy(server.service) as go_on, server.connect() as client:
        client.sendall(GOOD)
        until(lambda: server.service.workers.load() == (1, 1))
        server.stop()
        until(lambda: _is_refused(server))
        go_on.set()
        reply = read_all(client)
    assert status(reply) == 200


def _is_refused(server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_does_not_end_in_time_is_told_so_at_the_end(serve_half):
    server = serve_half(workers=1, drain_s=BRIEF_S)
    with busy(server.service), server.connect() as client:
        client.sendall(GOOD)
        until(lambda: server.service.workers.load() == (1, 1))
        server.stop()
        reply = read_all(client)
    assert status(reply) == 503
    assert error(reply) == "The server is shutting down."
    assert b"retry-after: 1" in reply


def test_cors_headers_are_sent_where_asked_for(serve_half):
    plain, open_one = serve_half(), serve_half(enable_cors=True)
    wanted = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "Content-Type",
    }
    for path in ("/v1/models/half", "/v1/models/none", "/v1/"):
        assert wanted.items() <= httpx.get(open_one.url + path).headers.items()
        assert not wanted.keys() & httpx.get(plain.url + path).headers.keys()
    assert "access-control-allow-origin" not in httpx.get(open_one.url + "/").headers
    asked = httpx.options(open_one.url + PREDICT, headers={"origin": "http://a.b"})
    assert (asked.status_code, asked.content) == (200, b"")
    assert wanted.items() <= asked.headers.items()


def test_metrics_are_served_where_asked_for(serve_half):
    path = "/monitoring/prometheus/metrics"
    assert httpx.get(serve_half().url + path).status_code == 404
    server = serve_half(monitoring_path=path)
    for body in ('{"inputs": [1.0]}', "{"):
        httpx.post(server.url + PREDICT, content=body)
    httpx.post(server.url + "/v1/models/any:predict", content="{}")
    answer = httpx.get(server.url + path)
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    count = ":tensorflow:serving:request_count"
    latency = ":tensorflow:serving:request_latency_count"
    runtime = ":tensorflow:serving:runtime_latency_count"
    assert f"# TYPE {count} counter" in lines
    assert f'{count}{{model_name="half",status="OK"}} 1.0' in lines
    assert f'{count}{{model_name="half",status="INVALID_ARGUMENT"}} 1.0' in lines
    assert f'{count}{{model_name="(unknown)",status="NOT_FOUND"}} 1.0' in lines
    labels = 'API="REST",entrypoint="Predict",model_name="half"'
    assert f"{latency}{{{labels}}} 1.0" in lines
    labels = 'API="REST",model_name="half",runtime="TF1"'
    assert f"{runtime}{{{labels}}} 1.0" in lines
