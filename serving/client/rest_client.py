"""Calls over TensorFlow Serving's REST API: bodies, answers, and two HTTP clients."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import email.utils
import json
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx
import numpy as np
import orjson

from serving.client.calls import Call, ClientError, Metadata, Predict, Status, Target
from serving.client.proxies import by_proxy, is_here, proxy_variables
from serving.wire.json_tensors import parse_body, request_arrays

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_BUSY = (429, 503)
# TensorFlow's name of a type in metadata -> that of arrays, where it is another word.
_DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
# The connection did not come about, or ended without an answer.
_BROKEN_OFF = (httpx.NetworkError, httpx.RemoteProtocolError)
T = TypeVar("T", httpx.Client, httpx.AsyncClient)


class RestTransport:
    """One server over HTTP, with a pool of connections.

    Raises:
        ClientError: The environment's proxy cannot be used.
    """

    def __init__(self, url: str, target: Target):
        self._wire = RestWire(url, target)
        self._http = http_client(url, httpx.Client, httpx.HTTPTransport)

    def send(self, call: Call, timeout_s: float) -> Any:
        """The answer, in TensorFlow Serving's form.

        Raises:
            ClientError: None, or one of another kind.
        """
        request = self._wire.request(call)
        try:
            response = self._http.request(
                request.method, request.url, content=request.body, timeout=timeout_s
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._wire.no_answer(error) from None
        return self._wire.answer(request, response)

    def as_read(self, call: Predict, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arrays, as a server reads them of its body.

        Args:
            call: Of one signature.
            inputs: Its inputs, as the metadata has them.
        """
        body = self._wire.request(call).body or b""
        names = {name: info["dtype"] for name, info in inputs.items()}
        dtypes = {name: _DTYPES.get(d, d[3:].lower()) for name, d in names.items()}
        return request_arrays(parse_body(body), dtypes)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()


class AsyncRestTransport:
    """`RestTransport` for coroutines."""

    def __init__(self, url: str, target: Target):
        self._wire = RestWire(url, target)
        self._http = http_client(url, httpx.AsyncClient, httpx.AsyncHTTPTransport)

    async def send(self, call: Call, timeout_s: float) -> Any:
        """`RestTransport.send`."""
        request = self._wire.request(call)
        try:
            response = await self._http.request(
                request.method, request.url, content=request.body, timeout=timeout_s
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._wire.no_answer(error) from None
        return self._wire.answer(request, response)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


@dataclasses.dataclass(frozen=True)
class WireRequest:
    """What is sent, and the key that its answer has."""

    method: str
    url: str
    wanted: str
    body: bytes | None = None


class RestWire:
    """Calls as HTTP requests, and HTTP responses as answers."""

    def __init__(self, url: str, target: Target):
        self._url, self._host = url, _host(url)
        self._model = f"{url}/v1/models/{urllib.parse.quote(target.model, safe='')}"
        self._version = ""
        if target.version is not None:
            self._version = f"/versions/{target.version}"
        elif target.label is not None:
            self._version = f"/labels/{urllib.parse.quote(target.label, safe='')}"

    def request(self, call: Call) -> WireRequest:
        path = f"{self._model}{self._version}"
        if isinstance(call, Status):
            return WireRequest("GET", path, "model_version_status")
        if isinstance(call, Metadata):
            return WireRequest("GET", f"{path}/metadata", "metadata")
        wanted = "outputs" if call.instances is None else "predictions"
        return WireRequest("POST", f"{path}:predict", wanted, _body(call))

    def answer(self, request: WireRequest, response: httpx.Response) -> Any:
        """An object that has the key `wanted`: its value, and all of metadata's."""
        if response.status_code != 200:
            raise ClientError(
                f"{request.url}: HTTP {response.status_code}: {_error_text(response)}",
                response.status_code,
                retry_after_s=_retry_after_s(response.headers.get("retry-after", "")),
                may_pass=response.status_code in _BUSY,
            )
        try:
            answer = parsed(response.content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or request.wanted not in answer:
            raise ClientError(
                f"{request.url}: the answer is not TensorFlow Serving's: "
                f"{response.text[:60]!r}. Does another program use this port? "
                "Name the server's --url.",
                response.status_code,
            )
        return answer if request.wanted == "metadata" else answer[request.wanted]

    def no_answer(self, error: Exception) -> ClientError:
        return ClientError(
            f"{self._url}: no answer ({error or type(error).__name__})"
            f"{by_proxy(self._host, _PROXIES)}. Start a "
            "server with `trailrank serve --root RUN`, or name another --url.",
            may_pass=isinstance(error, _BROKEN_OFF),
        )


def http_client(
    url: str, client: Callable[..., T], own_transport: Callable[[], Any]
) -> T:
    """Connections to a server; straight to one on this machine.

    Args:
        url: The server's.
        client: Makes the client, of its own transport or of none.
        own_transport: Makes that.

    Raises:
        ClientError: The environment's proxy cannot be used.
    """
    if is_here(_host(url)):
        # A transport of one's own leaves the environment's proxies out, and nothing
        # else that the environment says.
        return client(transport=own_transport())
    try:
        return client()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = " and ".join(proxy_variables(_PROXIES))
        raise ClientError(
            f"{names or 'the environment'}: names a proxy that cannot be used "
            f"({error}). Mend it, or add the server's host to NO_PROXY."
        ) from None


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return ""


# --- bodies ---------------------------------------------------------------------------


def _body(call: Predict) -> bytes:
    """A column at a time, so that one with NaN does not slow down the others."""
    key, tensors = "inputs", call.inputs
    if call.instances is not None:
        key, tensors = "instances", call.instances
    if isinstance(tensors, Mapping):
        written: Any = {
            str(name): orjson.Fragment(_json(values))
            for name, values in tensors.items()
        }
    else:
        written = orjson.Fragment(_json(tensors))
    return orjson.dumps({"signature_name": call.signature, key: written})


def _json(value: Any) -> bytes:
    try:
        found = orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # whole numbers beyond 64 bits, too; the other writer tells
        found = b"null"
    if b"null" in found:  # it writes NaN and infinities so, which the server reads
        found = json.dumps(value, default=_plain).encode()
    return found


def _plain(value: Any) -> Any:
    """What JSON has no type for."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r}")


# --- answers --------------------------------------------------------------------------


def parsed(content: bytes) -> Any:
    """JSON with NaN, infinities and strings as base64; ValueError if it is none."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:  # NaN and infinities stand in answers
        found = json.loads(content)
    return _with_bytes(found) if b'"b64"' in content else found


def _with_bytes(value: Any) -> Any:
    """`{"b64": ...}` as the bytes that it stands for."""
    if isinstance(value, list):
        return [_with_bytes(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error:
            return value
    return {name: _with_bytes(part) for name, part in value.items()}


def _error_text(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or "(no text)"


def _retry_after_s(value: str) -> float:
    """Seconds, or a date (RFC 9110 sec. 10.2.3); 0 for anything else."""
    if value.isdecimal() and value.isascii():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
        return max(0.0, (until - datetime.datetime.now(until.tzinfo)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
