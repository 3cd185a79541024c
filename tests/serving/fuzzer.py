"""A grammar of bad requests: JSON, types, numbers, nesting, sizes, encodings, framing."""

import dataclasses
import functools
import gzip
import json
import random

SIGNATURES = ("serving_default", "mixed", "inverted", "half", "total", "joined", "none")
NUMBERS = [
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e3",
    "1E+3",
    "1e400",
    "-1e400",
    "1e-400",
    "NaN",
    "-NaN",
    "nan",
    "Inf",
    "-Inf",
    "Infinity",
    "-Infinity",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "0x10",
    "-",
    "1_000",
]
STRINGS = (
    '"a"', '""', '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u12"', '"\\x"',
    '"\\\\\\""', '"', '"a', '"\x01"', '"\u00e9"', '"Inf"', '"\\\\Inf"', '{"b64": "YQ=="}',
    '{"b64": "&"}', '{"b64": 1}', '{"b64": "YQ", "x": 1}',
)  # fmt: skip
WORDS = ("true", "false", "null", "True", "nul", "", ",", "]", "}", "//", "undefined")
PATHS = (
    "/v1/models/half:predict", "/v1/models/half/versions/1:predict",
    "/v1/models/half/labels/a:predict", "/v1/models/half:classify",
    "/v1/models/half:regress", "/v1/models/none:predict", "/v1/models/half",
    "/v1/models/half/metadata", "/v1/models", "/v1/", "/", "*", "http://x/v1/models/half",
    "/v1/models/%00:predict", "/v1/models/%ff%fe:predict", "/v1/models/half:predict?a=%",
    "/v1/models/half/versions/" + "9" * 5000, "/v1/models/half/versions/" + "0" * 5000,
    "/v1/models/" + "a/" * 2000, "/V1/MODELS/half:PREDICT", "/v1/models/half%3Apredict",
    "/../../etc/passwd", "/v1/models/" + "x" * 9000 + ":predict",
)  # fmt: skip
METHODS = [
    "POST",
    "GET",
    "PUT",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "post",
    "BREW",
]
HEADERS = (
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk",
    "expect: 100-continue", "expect: nothing", "origin: http://a", "content-encoding: gzip",
    "content-encoding: br", "content-type: \xff", "accept-encoding: gzip", "x: " + "y" * 9000,
    "x: y\r\n z", "x : y", "transfer-encoding: gzip", "content-length: 1e3",
    "content-length: -5", "content-length: " + "9" * 30, "connection: keep-alive, close",
    "transfer-encoding: chunked\r\ncontent-length: 3", "x: \x00", "\r\n",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Attack:
    """What is sent, in parts, and how the client ends.

    Attributes:
        parts: Sent one after the other.
        ends: `reads` to the end, `leaves` at once, or `resets` the connection.
        is_whole: Whether it is a request to its end, so that a reply must come.
    """

    parts: tuple[bytes, ...]
    ends: str
    is_whole: bool


def attack(draw: random.Random) -> Attack:
    """One more bad (or, by luck, good) request."""
    kinds = (
        _json,
        _json,
        _json,
        _types,
        _types,
        _big,
        _encoded,
        _framed,
        _header,
        _noise,
    )
    request = draw.choice(kinds)(draw)
    if draw.random() < 0.15:  # half of it, and then nothing
        cut = draw.randrange(len(request))
        ends = draw.choice(("leaves", "resets", "reads"))
        return Attack((request[:cut],), ends, is_whole=False)
    if draw.random() < 0.1:  # all of it, and gone
        return Attack((request,), draw.choice(("leaves", "resets")), is_whole=False)
    if draw.random() < 0.2:
        cut = draw.randrange(len(request))
        return Attack((request[:cut], request[cut:]), "reads", is_whole=True)
    return Attack((request,), "reads", is_whole=True)


def value(draw: random.Random, depth: int = 0) -> str:
    """Text that is JSON, or nearly."""
    kind = draw.random()
    if depth > 4 or kind < 0.35:
        return draw.choice(NUMBERS)
    if kind < 0.5:
        return draw.choice(STRINGS)
    if kind < 0.58:
        return draw.choice(WORDS)
    items = [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind < 0.85:
        return f"[{', '.join(items)}]"
    names = ("x", "count", "text", "flag", "n", "s", "inputs", "b64")
    members = ", ".join(f'"{draw.choice(names)}": {item}' for item in items)
    return f"{{{members}}}"


def _post(body: bytes, path: str = PATHS[0], *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", "connection: close", *headers]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _body(draw: random.Random) -> bytes:
    key = draw.choice(("instances", "inputs", "examples", "other"))
    members = [f'"{key}": {value(draw)}']
    if draw.random() < 0.5:
        name = draw.choice((*(f'"{s}"' for s in SIGNATURES), value(draw)))
        members.append(f'"signature_name": {name}')
    if draw.random() < 0.3:
        members.append(f'"{draw.choice(("inputs", "context", "z"))}": {value(draw)}')
    draw.shuffle(members)
    return f"{{{', '.join(members)}}}".encode("utf-8", "surrogatepass")


def _json(draw: random.Random) -> bytes:
    body = bytearray(_body(draw))
    for _ in range(draw.choice((0, 0, 0, 1, 3))):
        body[draw.randrange(len(body))] = draw.randrange(256)
    if draw.random() < 0.1:
        body = bytearray(b"\xef\xbb\xbf") + body
    if draw.random() < 0.1:
        body += draw.choice((b"{}", b"\x00", b"]", b" trailing"))
    path = draw.choice(PATHS[:6]) if draw.random() < 0.3 else PATHS[0]
    return _post(bytes(body), path)


def _types(draw: random.Random) -> bytes:
    """Well-formed JSON whose values fit a signature, or nearly."""
    leaf = draw.choice((1, 1.5, True, "a", None, {"b64": "YQ=="}, 2**63, -1, 1e300))
    rows = [leaf] * draw.randrange(1, 4)
    if draw.random() < 0.3:
        rows[-1] = draw.choice((list(rows), [], {}, "x", 0))
    named = {"count": rows, "text": rows, "x": rows}
    body = draw.choice(
        (
            {"inputs": rows},
            {"inputs": named},
            {"inputs": leaf},
            {"instances": rows},
            {"instances": [{"count": r, "text": r} for r in rows]},
            {"examples": [{"x": r} for r in rows]},
        )
    )
    body = {"signature_name": draw.choice(SIGNATURES), **body}
    path = draw.choice((PATHS[0], PATHS[0], PATHS[3], PATHS[4]))
    return _post(json.dumps(body).encode(), path)


def _big(draw: random.Random) -> bytes:
    size = draw.choice((1_000, 30_000, 300_000))
    return _post(draw.choice(_LARGE)(size), draw.choice((PATHS[0], PATHS[0], PATHS[4])))


_LARGE = (
    lambda size: b'{"instances": [%s]}' % b",".join([b"[]"] * size),
    lambda size: b'{"instances": [%s]}' % b",".join([b"{}"] * size),
    lambda _: b'{"inputs": %s1%s}' % (b"[" * 33, b"]" * 33),
    lambda size: b'{"inputs": %s%s}' % (b"[" * size, b"]" * size),
    lambda _: b'{"other": %s%s, "inputs": [1]}' % (b"[" * 900, b"]" * 900),
    lambda size: b'{"other": ' + b'{"a":' * size,
    lambda size: b'{"inputs": [%s]}' % b",".join([b"1.5"] * size),
    lambda size: b'{"inputs": "%s Inf"}' % (b"\\\\" * (size // 10)),
    lambda size: b'{"inputs": "%sInf' % (b'\\"' * size),
    lambda size: b'{"inputs": [1%s]}' % (b"0" * size),
    lambda size: b'{"inputs": [1e%s]}' % (b"9" * size),
    lambda size: b'{"inputs": [0.%s1]}' % (b"0" * size),
    lambda size: b"{%s}" % b",".join(b'"%d":0' % i for i in range(size // 10)),
    lambda size: (
        b'{"context": {"x": "%s"}, "examples": [%s]}'
        % (b"y" * (size // 10), b",".join([b"{}"] * (size // 10)))
    ),
    lambda size: b" " * size,
    lambda size: b"\x00" * size,
)


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 50_000_000)


def _encoded(draw: random.Random) -> bytes:
    body = draw.choice((_body(draw), b'{"inputs": [1]}', b""))
    packed = bytearray(_bomb() if draw.random() < 0.2 else gzip.compress(body))
    for _ in range(draw.choice((0, 0, 1, 5))):
        packed[draw.randrange(len(packed))] = draw.randrange(256)
    if draw.random() < 0.2:
        packed += packed[: draw.randrange(len(packed))]
    name = draw.choice(("gzip", "x-gzip", "gzip, gzip", "GZIP"))
    return _post(bytes(packed), PATHS[0], f"content-encoding: {name}")


def _framed(draw: random.Random) -> bytes:
    """Chunks, good and bad."""
    body = _body(draw)
    size = draw.choice((1, 7, 1000))
    chunks = [body[i : i + size] for i in range(0, len(body), size)] + [b""]
    written = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    broken = draw.choice(
        (
            written,
            written.replace(b"\r\n", b"\n"),
            written.replace(b"\r\n", b";name=value\r\n", 1),
            b"fffffffffffffffff\r\n" + written,
            b"-1\r\n" + written,
            b"zz\r\n" + written,
            b"1\r\nab\r\n" + written,
            b"1;" + b"x" * 50_000 + b"\r\n",
            b"1\r\n \r\n" * 6000 + b"0\r\n\r\n",
            written[:-2] + b"trailer: x\r\n\r\n",
        )
    )
    head = f"POST {PATHS[0]} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode() + broken


def _header(draw: random.Random) -> bytes:
    version = draw.choice(
        ("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "X")
    )
    lines = [f"{draw.choice(METHODS)} {draw.choice(PATHS)} {version}"]
    if draw.random() < 0.9:
        lines.append("host: x")
    lines += draw.choices(HEADERS, k=draw.randrange(3))
    body = draw.choice((b"", b'{"inputs": [1]}', _body(draw)))
    lines += [f"content-length: {len(body)}", "connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def _noise(draw: random.Random) -> bytes:
    return draw.choice(
        (
            draw.randbytes(draw.randrange(1, 2000)),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(32),
            b"GET / HTTP/1.1\n\n",
            b"\r\n" * draw.randrange(1, 50),
            b"GET /v1/models/half\r\n\r\n",
            b"A" * 50_000,
            b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 6000 + b"\r\n",
            _post(b'{"inputs": [1]}').replace(b"close", b"keep-alive") * 20
            + _post(b"{}"),
        )
    )
