"""Connections: slow, silent, odd and crowding clients, by raw sockets."""

import json

import pytest

from tests.serving.http_service import (
    BRIEF_S,
    PREDICT,
    post,
    read_all,
    read_reply,
    status,
    until,
)

GOOD = post(PREDICT, b'{"inputs": [1.0]}')
LAST = post(PREDICT, b'{"inputs": [1.0]}', "connection: close")


def error(reply: bytes) -> str:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    return json.loads(body)["error"]


def test_headers_that_do_not_end_are_closed(serve_half):
    reply = serve_half(header_timeout_s=BRIEF_S).exchange(
        b"GET /v1/models/half HTTP/1.1\r\n"
    )
    assert status(reply) == 408
    assert "no complete header within 0.05 s" in error(reply)


def test_so_are_those_of_a_second_request(serve_half):
    server = serve_half(header_timeout_s=1.0)
    with server.connect() as client:
        client.sendall(GOOD)
        assert status(read_reply(client)) == 200
        client.sendall(b"GET /v1/mod")
        assert status(read_all(client)) == 408


def test_a_connection_without_a_word_is_closed(serve_half):
    assert serve_half(header_timeout_s=BRIEF_S).exchange() == b""


def test_an_idle_connection_is_closed(serve_half):
    server = serve_half(keep_alive_s=BRIEF_S)
    with server.connect() as client:
        client.sendall(GOOD)
        assert status(read_all(client)) == 200  # and then the end


def test_headers_beyond_the_limit_are_refused(serve_half):
    server = serve_half(max_header_bytes=1000)
    head = b"GET /v1/models/half HTTP/1.1\r\nhost: x\r\n"
    fits = head + b"connection: close\r\nx: " + b"y" * 500 + b"\r\n\r\n"
    assert status(server.exchange(fits)) == 200
    reply = server.exchange(head + b"x: " + b"y" * 5000)
    assert status(reply) == 431
    assert "Invalid HTTP request received" in error(reply)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so(serve_half, sent):
    reply = serve_half().exchange(sent)
    assert status(reply) == 400
    assert "Invalid HTTP request received" in error(reply)


def test_a_body_in_crumbs_is_refused(serve_half):
    chunked = "transfer-encoding: chunked"
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\n{chunked}\r\n\r\n".encode()
    crumbs = b"1\r\n \r\n"
    server = serve_half()
    few = server.exchange(
        head.replace(b"host: x", b"host: x\r\nconnection: close"),
        crumbs * 4000 + b"0\r\n\r\n",
    )
    assert (status(few), "The document is empty" in error(few)) == (400, True)
    many = server.exchange(head, crumbs * 5000)
    assert status(many) == 400
    assert "too many small pieces of a body" in error(many)


@pytest.mark.parametrize("path", ["/v1/models/half", "/other"])
def test_an_offer_of_websockets_is_declined(serve_half, path):
    offer = (
        f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\n"
        "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    reply = serve_half().exchange(offer.encode())
    assert status(reply) == (200 if "v1" in path else 404)


def test_connections_are_limited(serve_half):
    server = serve_half(max_connections=2)
    with server.connect() as first, server.connect() as second:
        for client in (first, second):
            client.sendall(GOOD)
            assert status(read_reply(client)) == 200
        refused = server.exchange(GOOD)
        assert status(refused) == 503
        assert b"retry-after: 1" in refused
        assert "too many connections" in error(refused)
        first.sendall(GOOD)
        assert status(read_reply(first)) == 200
    until(lambda: server.connections() == 0)
    assert status(server.exchange(LAST)) == 200


def test_a_client_that_does_not_take_its_answer_is_let_go(serve_half):
    server = serve_half(send_timeout_s=BRIEF_S)
    values = b"[" + b",".join([b"1234.5678"] * 900_000) + b"]"
    with server.connect() as client:  # reads nothing
        client.sendall(post(PREDICT, b'{"inputs": %s}' % values))
        until(lambda: b'status="OK"} 1.0' in server.service.metrics.text())
        until(lambda: server.connections() == 0)


def test_a_body_that_goes_on_after_its_refusal_is_cut_off(serve_half):
    server = serve_half(max_body_bytes=10)
    with server.connect() as client:
        client.sendall(post(PREDICT, b"", length=10**9))
        assert status(read_reply(client)) == 413
        assert read_all(client) == b""  # the server closes, though nothing ends


def test_requests_one_behind_the_other_are_answered_in_turn(serve_half):
    second = post(PREDICT, b'{"inputs": [3.0]}', "connection: close")
    found = serve_half().exchange(GOOD + second)
    assert found.index(b"2.5") < found.index(b"3.5")


def test_a_client_may_ask_before_it_sends(serve_half):
    with serve_half().connect() as client:
        client.sendall(post(PREDICT, b"", "expect: 100-continue", length=17))
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b'{"inputs": [1.0]}')
        assert status(read_reply(client)) == 200
