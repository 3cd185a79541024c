"""TensorFlow Serving's REST API over a `Service`: one request in, one reply out.

No socket here: `handle` takes what an HTTP server has read and returns what it should
send. Rules and texts follow the REST contract, whose section numbers stand below.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from serving.models import memory
from serving.server.metrics import Metrics
from serving.server.service import (
    LONGEST_ID,
    REQUEST_ID,
    Call,
    Classified,
    Service,
    ServingError,
    always,
)
from serving.store.versions import VersionStatus
from serving.wire import json_tensors
from serving.wire.json_examples import serialized_examples
from serving.wire.json_floats import float_tokens
from serving.wire.json_tensors import BadRequest

_LOG = logging.getLogger("trailrank.serving")

_MODEL = r"/v1/models(?:/(?P<name>[^:/]+))?"
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(
    rf"{_MODEL}{_VERSION}:(?P<verb>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_LOOK = re.compile(
    rf"{_MODEL}{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII
)
_LARGEST_VERSION = 2**63 - 1
_MOST_DIGITS = len(str(_LARGEST_VERSION))

_HTTP_STATUS = {  # TensorFlow's error code -> HTTP (sec. 5)
    tf.errors.CANCELLED: 499,
    tf.errors.UNKNOWN: 500,
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.DEADLINE_EXCEEDED: 504,
    tf.errors.NOT_FOUND: 404,
    tf.errors.ALREADY_EXISTS: 409,
    tf.errors.PERMISSION_DENIED: 403,
    tf.errors.UNAUTHENTICATED: 401,
    tf.errors.RESOURCE_EXHAUSTED: 429,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.ABORTED: 409,
    tf.errors.OUT_OF_RANGE: 400,
    tf.errors.UNIMPLEMENTED: 501,
    tf.errors.INTERNAL: 500,
    tf.errors.UNAVAILABLE: 503,
    tf.errors.DATA_LOSS: 500,
}
_CODE = {501: tf.errors.UNIMPLEMENTED}  # of a BadRequest's status
_JSON, _HTML = "application/json", "text/html"
_NOT_FOUND_PAGE = b"<html><head><title>404 Not Found</title></head></html>\n"
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client sent.

    Attributes:
        method: `GET`, `POST`, ...
        path: As sent, still percent-encoded, with the query string (it takes part in
            matching, sec. 1).
        headers: Names in lower case.
        body: As sent.
        is_wanted: Whether the client still waits.
    """

    method: str
    path: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    is_wanted: Callable[[], bool] = always


@dataclasses.dataclass(frozen=True)
class Reply:
    """What is sent back.

    Attributes:
        status: Of HTTP.
        body: All of it.
        content_type: Of the body.
        headers: Further ones, names in lower case.
    """

    status: int
    body: bytes
    content_type: str = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def is_call(request: Request) -> bool:
    """Whether a request runs a model; all others are answered from memory."""
    return request.method == "POST" and _CALL.fullmatch(request.path) is not None


def model_of(request: Request) -> str:
    """The model that a request names; empty for none."""
    match = _CALL.fullmatch(request.path) or _LOOK.fullmatch(request.path)
    return urllib.parse.unquote(match["name"] or "") if match else ""


def handle(service: Service, request: Request) -> Reply:
    """Answers one request; blocks while a model runs."""
    path, options = request.path, service.options
    if path == options.monitoring_path and request.method == "GET":
        return Reply(200, service.metrics.text(), Metrics.content_type)
    if not path.lower().startswith("/v1/"):
        return Reply(404, _NOT_FOUND_PAGE, _HTML)
    reply = _handle_v1(service, request)
    if options.enable_cors:
        return dataclasses.replace(reply, headers=reply.headers + _CORS)
    return reply


def error_reply(status: int, message: str, *headers: tuple[bytes, bytes]) -> Reply:
    """A refusal as TensorFlow Serving words it."""
    return _json({"error": message}, status, headers)


def _handle_v1(service: Service, request: Request) -> Reply:
    if request.method == "OPTIONS":
        origin = request.headers.get("origin", "")
        is_web = "http://" in origin or "https://" in origin
        return Reply(200 if is_web else 400, b"")
    try:
        return _route(service, request)
    except _HttpError as error:
        return error_reply(error.status, error.message)
    except ServingError as error:
        return error_reply(_HTTP_STATUS.get(error.code, 500), error.message)
    except Exception as error:  # one request's surprise must not end the server
        _LOG.exception("%s %s failed", request.method, request.path)
        return error_reply(500, f"Internal error: {type(error).__name__}: {error}")


def _route(service: Service, request: Request) -> Reply:
    method, path = request.method, request.path
    call = _CALL.fullmatch(path) if method == "POST" else None
    look = _LOOK.fullmatch(path) if method == "GET" else None
    match = call or look
    if match is None:
        raise _invalid(f"Malformed request: {method} {path}")
    if not match["name"]:
        raise _invalid(f"Missing model name in request: {method} {path}")
    target = _target(match, request)
    if target.version is not None and target.version > _LARGEST_VERSION:
        return Reply(400, b"")
    if look is not None:
        show = _metadata if look["metadata"] else _status
        return show(service, target)
    # Only the fixed parts of a path match in any case; the verb does not.
    run = _VERBS.get(match["verb"])
    if run is None:
        raise _invalid(f"Malformed request: {method} {path}")
    with service.measured(target, match["verb"].capitalize()), _http_errors():
        return run(
            service, target, _inflate(request, service.options.max_inflated_bytes)
        )


def _target(match: re.Match[str], request: Request) -> Call:
    version, label = match["version"], match["label"]
    return Call(
        model=urllib.parse.unquote(match["name"]),
        version=_number(version) if version else None,
        label=urllib.parse.unquote(label) if label else None,
        is_wanted=request.is_wanted,
        request_id=request.headers.get(REQUEST_ID, "")[:LONGEST_ID],
    )


def _number(digits: str) -> int:
    """The number; Python reads no text of very many digits, and nobody needs to."""
    return int(digits.lstrip("0")[: _MOST_DIGITS + 1] or 0)


def size_bytes(request: Request) -> int:
    """Of the body as it was before gzip, as the body itself says."""
    if not _is_gzip(request):
        return len(request.body)
    return int.from_bytes(request.body[-4:], "little")


def _is_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("content-encoding", "")


def _inflate(request: Request, most_bytes: int) -> bytes:
    """The body as it was before gzip; a corrupt one reads as empty (sec. 7).

    Stops as soon as there is more than the limit, or than the body says.
    """
    if not _is_gzip(request):
        return request.body
    told_bytes = min(size_bytes(request), most_bytes)
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(request.body, max_length=told_bytes + 1)
    except zlib.error:
        return b""
    if len(inflated) > most_bytes:
        raise BadRequest(
            f"Request too large: more than {most_bytes} bytes before gzip.", status=413
        )
    return inflated if inflater.eof and not inflater.unused_data else b""


# --- errors ---------------------------------------------------------------------------


class _HttpError(ServingError):
    """A refusal whose HTTP status does not follow from its code."""

    def __init__(self, status: int, message: str):
        super().__init__(_CODE.get(status, tf.errors.INVALID_ARGUMENT), message)
        self.status = status


@contextlib.contextmanager
def _http_errors() -> Iterator[None]:
    try:
        yield
    except BadRequest as error:
        raise _HttpError(error.status, str(error)) from None


def _invalid(message: str) -> ServingError:
    return ServingError(tf.errors.INVALID_ARGUMENT, message)


# --- predict, classify, regress -------------------------------------------------------


def _predict(service: Service, target: Call, body: bytes) -> Reply:
    limits = service.options.limits
    with _reading(service, body):
        request = json_tensors.parse_body(body, limits)
        name = json_tensors.signature_name(request)
        call = dataclasses.replace(target, signature=name)
        loaded = service.find_of(call)
        signature = service.signature(loaded, call.signature)
        row_format = json_tensors.is_row_format(request)
        arrays = json_tensors.request_arrays(
            request, signature.inputs, limits, signature.defaults
        )
        del request  # while the model runs
    answer = service.run_predict(loaded, call, arrays)
    return Reply(200, json_tensors.response_body(answer.outputs, row_format))


def _classify(service: Service, target: Call, body: bytes) -> Reply:
    call, examples = _examples(service, target, body, "classify")
    found = service.run_classify(call, examples)
    return Reply(200, b'{"results": [\n%s\n]}' % b",\n".join(_classes_text(found)))


def _regress(service: Service, target: Call, body: bytes) -> Reply:
    call, examples = _examples(service, target, body, "regress")
    found = service.run_regress(call, examples)
    values = ", ".join(float_tokens(found.values))
    return Reply(200, b'{"results": [%s]}' % values.encode())


_VERBS = {"predict": _predict, "classify": _classify, "regress": _regress}


def _examples(
    service: Service, target: Call, body: bytes, verb: str
) -> tuple[Call, list[bytes]]:
    limits = service.options.limits
    with _reading(service, body):
        request = json_tensors.parse_body(body, limits)
        name = json_tensors.signature_name(request)
        examples = serialized_examples(request, verb, limits)
    return dataclasses.replace(target, signature=name), examples


def _reading(service: Service, body: bytes) -> contextlib.AbstractContextManager[None]:
    """Around the reading of a body; of few large ones at a time."""
    is_large = len(body) > service.options.large_body_bytes
    return memory.without_collections() if is_large else contextlib.nullcontext()


def _classes_text(found: Classified) -> Iterator[bytes]:
    """The JSON of each example's classes."""
    scores = iter(float_tokens(found.scores.ravel()))
    for labels in found.labels:
        pairs = (f"[{_string(label)}, {next(scores)}]" for label in labels)
        yield f"[{', '.join(pairs)}]".encode("utf-8", "surrogateescape")


def _string(label: bytes) -> str:
    return json.dumps(label.decode("utf-8", "surrogateescape"), ensure_ascii=False)


# --- status and metadata --------------------------------------------------------------


def _status(service: Service, target: Call) -> Reply:
    """A label is ignored, as upstream does (sec. 6)."""
    statuses = service.statuses(target.model, target.version)
    return _json({"model_version_status": [_status_json(s) for s in statuses]})


def _status_json(status: VersionStatus) -> dict[str, Any]:
    code = "UNKNOWN" if status.error else "OK"
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": code, "error_message": status.error},
    }


def _metadata(service: Service, target: Call) -> Reply:
    loaded = service.find_of(target)
    spec = {
        "name": target.model,
        "signature_name": "",
        "version": str(loaded.version),
    }
    signatures = {"signature_def": {"signature_def": loaded.servable.metadata}}
    return _json({"model_spec": spec, "metadata": signatures})


def _json(
    value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Reply:
    body = json.dumps(value, indent=1).encode("utf-8", "replace")
    return Reply(status, body, headers=headers)
