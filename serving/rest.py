"""TensorFlow Serving's REST API over a `ModelStore`: one request in, one answer out.

No socket here: `handle` takes what an HTTP server has read and returns what it should
send. Rules and texts follow the REST contract, whose section numbers stand below.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import urllib.parse
import zlib
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from serving import json_tensors
from serving.json_tensors import BadRequest
from serving.servable import Servable, Signature
from serving.versions import ModelStore, UnknownLabelError, VersionStatus

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
_LARGEST_BODY_BYTES = 100 * 2**20  # after inflation

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
_JSON, _HTML = "application/json", "text/html"
_NOT_FOUND_PAGE = b"<html><head><title>404 Not Found</title></head></html>\n"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    content_type: str = _JSON


@dataclasses.dataclass(frozen=True)
class Target:
    """What a path names.

    Attributes:
        name: The model.
        version: A number, or None for the newest.
        label: A version's label, or None.
    """

    name: str
    version: int | None
    label: str | None


def handle(
    store: ModelStore, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Answers one request.

    Args:
        store: The models.
        method: `GET`, `POST`, ...
        path: As sent, still percent-encoded, with the query string (it takes part in
            matching, sec. 1).
        headers: Names in lower case.
        body: As sent.
    """
    if not path.lower().startswith("/v1/"):
        return Answer(404, _NOT_FOUND_PAGE, _HTML)
    if method == "OPTIONS":
        origin = headers.get("origin", "")
        is_web = "http://" in origin or "https://" in origin
        return Answer(200 if is_web else 400, b"")
    try:
        return _route(store, method, path, _inflate(headers, body))
    except BadRequest as error:
        return _error(error.status, str(error))
    except tf.errors.OpError as error:
        return _error(_HTTP_STATUS.get(error.error_code, 500), error.message)
    except Exception as error:  # one request's surprise must not end the server
        _LOG.exception("%s %s failed", method, path)
        return _error(500, f"Internal error: {type(error).__name__}: {error}")


def _route(store: ModelStore, method: str, path: str, body: bytes) -> Answer:
    call = _CALL.fullmatch(path) if method == "POST" else None
    look = _LOOK.fullmatch(path) if method == "GET" else None
    match = call or look
    if match is None:
        raise BadRequest(f"Malformed request: {method} {path}")
    if not match["name"]:
        raise BadRequest(f"Missing model name in request: {method} {path}")
    target = _target(match)
    if target.version is not None and target.version > _LARGEST_VERSION:
        return Answer(400, b"")
    if look is not None:
        show = _metadata if look["metadata"] else _status
        return show(store, target)
    # Only the fixed parts of a path match in any case; the verb does not.
    if match["verb"] == "predict":
        return _predict(store, target, body)
    if match["verb"] in ("classify", "regress"):
        return _classify_or_regress(store, target, match["verb"], body)
    raise BadRequest(f"Malformed request: {method} {path}")


def _target(match: re.Match[str]) -> Target:
    version, label = match["version"], match["label"]
    return Target(
        name=urllib.parse.unquote(match["name"]),
        version=int(version) if version else None,
        label=urllib.parse.unquote(label) if label else None,
    )


def _inflate(headers: Mapping[str, str], body: bytes) -> bytes:
    """The body as it was before gzip; a corrupt one reads as empty (sec. 7)."""
    if "gzip" not in headers.get("content-encoding", ""):
        return body
    recorded_size = int.from_bytes(body[-4:], "little")
    if recorded_size > _LARGEST_BODY_BYTES:
        return b""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, max_length=_LARGEST_BODY_BYTES)
    except zlib.error:
        return b""
    return inflated if inflater.eof else b""


# --- predict --------------------------------------------------------------------------


def _predict(store: ModelStore, target: Target, body: bytes) -> Answer:
    request = json_tensors.parse_body(body)
    name = json_tensors.signature_name(request)
    _, servable = _loaded(store, target)
    signature = _signature(servable, name)
    row_format = json_tensors.is_row_format(request)
    arrays = json_tensors.request_arrays(request, signature.inputs)
    outputs = signature(arrays)
    return Answer(200, json_tensors.response_body(outputs, row_format))


def _loaded(store: ModelStore, target: Target) -> tuple[int, Servable]:
    model = store.get(target.name)
    try:
        found = model.servable(target.version, target.label) if model else None
    except UnknownLabelError as error:
        raise BadRequest(str(error)) from None
    if found is None:
        wanted = f"Latest({target.name})"
        if target.version is not None:
            wanted = f"Specific({target.name}, {target.version})"
        raise BadRequest(f"Servable not found for request: {wanted}", status=404)
    return found


def _signature(servable: Servable, name: str) -> Signature:
    if name not in servable.signatures:
        raise BadRequest(f'Serving signature name: "{name}" not found in signature def')
    return servable.signatures[name]


def _classify_or_regress(
    store: ModelStore, target: Target, verb: str, body: bytes
) -> Answer:
    """Errors as upstream; a signature fit for the call is not implemented here."""
    request = json_tensors.parse_body(body)
    name = json_tensors.signature_name(request)
    examples = request.get("examples")
    if not isinstance(examples, list) or not examples:
        raise BadRequest(
            f"When method is {verb}, key 'examples' is expected and must be a list "
            "that is not empty"
        )
    _, servable = _loaded(store, target)
    if set(_signature(servable, name).inputs) != {"inputs"}:
        raise BadRequest(
            f"Expecting exactly one input named 'inputs' for {verb}; signature "
            f'"{name}" has none'
        )
    raise BadRequest(
        f"The embedded server has no {verb}. Use predict, or tensorflow/serving.",
        status=501,
    )


# --- status and metadata --------------------------------------------------------------


def _status(store: ModelStore, target: Target) -> Answer:
    """A label is ignored, as upstream does (sec. 6)."""
    model = store.get(target.name)
    if model is None:
        raise BadRequest(
            f"Could not find any versions of model {target.name}", status=404
        )
    statuses = model.statuses()
    if target.version is not None:
        statuses = [s for s in statuses if s.version == target.version]
        if not statuses:
            raise BadRequest(
                f"Could not find version {target.version} of model {target.name}",
                status=404,
            )
    return _json({"model_version_status": [_status_json(s) for s in statuses]})


def _status_json(status: VersionStatus) -> dict[str, Any]:
    code = "UNKNOWN" if status.error else "OK"
    return {
        "version": str(status.version),
        "state": status.state,
        "status": {"error_code": code, "error_message": status.error},
    }


def _metadata(store: ModelStore, target: Target) -> Answer:
    version, servable = _loaded(store, target)
    spec = {"name": target.name, "signature_name": "", "version": str(version)}
    signatures = {"signature_def": {"signature_def": servable.metadata}}
    return _json({"model_spec": spec, "metadata": signatures})


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value, indent=1).encode("utf-8", "replace"))


def _error(status: int, message: str) -> Answer:
    return _json({"error": message}, status)
