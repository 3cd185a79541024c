"""Calls a served model over REST: the embedded server or `tensorflow/serving`.

with Client("http://127.0.0.1:8501", spec) as client:
    scores = client.rank(user_features, candidates)["log_score"]
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from feature_specs import Spec
from feature_specs.errors import TrailrankError
from serving.requests import rank_inputs


class ClientError(TrailrankError, RuntimeError):
    """No usable answer.

    Attributes:
        status: The HTTP status, 200 for an answer of another kind; None if the server
            was not reached.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Client:
    """One model of one server. It keeps its connection; close it, or use `with`.

    >>> with trailrank.Client(url, spec) as client:
    ...     answer = client.rank({"user_id": 1}, [{"video_id": 10}, {"video_id": 11}])
    >>> sorted(answer), len(answer["score"])
    (['log_score', 'long_view', 'score', 'watched'], 2)

    Args:
        url: Like `http://127.0.0.1:8501`.
        model: The served model's spec, which `rank` needs, or only its name.
        timeout_s: Longest wait for an answer.

    Proxies that the environment names (HTTP_PROXY, ...) are asked for every server but
    one on this machine.

    Raises:
        ClientError: The environment's proxy cannot be used.
    """

    def __init__(self, url: str, model: Spec | str, timeout_s: float = 30.0):
        self._url = url.rstrip("/")
        self._spec = None if isinstance(model, str) else model
        self._model = model if isinstance(model, str) else model.name
        self._http = _http(self._url, timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def predict(
        self,
        *,
        inputs: Any = None,
        instances: Sequence[Any] | None = None,
        signature_name: str = "serving_default",
    ) -> Any:
        """Calls one signature: with columns (`inputs`) or with rows (`instances`).

        Args:
            inputs: Input name -> nested lists or NumPy array, the values of all rows;
                or these values alone if the signature has one input.
            instances: One mapping of input name -> value a row, or the value alone if
                the signature has one input. NaN, infinities, NumPy values and bytes
                (sent as base64) may stand in both.
            signature_name: Which one.

        Returns:
            For `inputs`, output name -> nested lists; for `instances`, one mapping of
            output name -> value a row. Without the names if the signature has one
            output only.

        Raises:
            ValueError: Both of `inputs` and `instances` are given, or neither is.
            TypeError: A value has no form in JSON.
            ClientError: The server could not be reached, refused the request, or
                answered something else than TensorFlow Serving does.
        """
        if (inputs is None) == (instances is None):
            raise ValueError("predict: give inputs or instances, one of them.")
        columnar = instances is None
        tensors = {"inputs": inputs} if columnar else {"instances": instances}
        body = json.dumps({"signature_name": signature_name, **tensors}, default=_plain)
        wanted = "outputs" if columnar else "predictions"
        return self._send("POST", ":predict", wanted, body.encode())[wanted]

    def rank(
        self,
        request: Mapping[str, Any],
        candidates: Sequence[Mapping[str, Any]],
        weights: Mapping[str, float] | None = None,
    ) -> dict[str, list[float]]:
        """`score`, `log_score` and every task's prediction, one value a candidate.

        Order candidates by `log_score`: it is finite and apart where `score` is 0.

        Args:
            request: Query and context feature -> value; sequences are lists. A feature
                left out, or None, is missing.
            candidates: The same for each candidate's features, one mapping a candidate.
            weights: Task -> exponent of the fused score; tasks left out keep the
                spec's.

        Raises:
            ValueError: A name that the spec does not have, or the client has no spec.
            ClientError: The server refused the request or could not be reached.
        """
        if self._spec is None:
            raise ValueError(
                f"Client of {self._model!r}: rank needs the model's spec to fill in "
                "what is missing. Make it with Client(url, spec)."
            )
        inputs = rank_inputs(self._spec, request, candidates, weights)
        answer: dict[str, list[float]]
        answer = self.predict(inputs=inputs, signature_name="rank")
        return answer

    def status(self) -> list[dict[str, Any]]:
        """`version`, `state` and `status` of each version that the server reports.

        Raises:
            ClientError: As in `predict`; also for a model that the server lacks.
        """
        wanted = "model_version_status"
        return self._send("GET", "", wanted)[wanted]

    def metadata(self) -> dict[str, Any]:
        """The served version (`model_spec`) and its signatures (`metadata`).

        Raises:
            ClientError: As in `predict`; also while no version is served.
        """
        return self._send("GET", "/metadata", "metadata")

    def _send(
        self, method: str, path: str, wanted: str, body: bytes | None = None
    ) -> dict[str, Any]:
        """The answer, an object that has the key `wanted`."""
        url = f"{self._url}/v1/models/{self._model}{path}"
        try:
            response = self._http.request(method, url, content=body)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ClientError(
                f"{self._url}: no answer ({error}){_by_proxy(self._url)}. Start a "
                "server with `trailrank serve --root RUN`, or name another --url."
            ) from None
        if response.status_code != 200:
            raise ClientError(
                f"{url}: HTTP {response.status_code}: {_error_text(response)}",
                response.status_code,
            )
        try:
            answer = json.loads(response.content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or wanted not in answer:
            raise ClientError(
                f"{url}: the answer is not TensorFlow Serving's: "
                f"{response.text[:60]!r}. Does another program use this port? "
                "Name the server's --url.",
                response.status_code,
            )
        return answer


def _http(url: str, timeout_s: float) -> httpx.Client:
    """Connections to a server; straight to one on this machine."""
    if _is_here(url):
        # A transport of one's own leaves the environment's proxies out, and nothing
        # else that the environment says.
        return httpx.Client(timeout=timeout_s, transport=httpx.HTTPTransport())
    try:
        return httpx.Client(timeout=timeout_s)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = " and ".join(_proxy_variables())
        raise ClientError(
            f"{names or 'the environment'}: names a proxy that cannot be used "
            f"({error}). Mend it, or add the server's host to NO_PROXY."
        ) from None


def _is_here(url: str) -> bool:
    """Whether a URL's host is a loopback address or a name of one."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _proxy_variables() -> list[str]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return [
        name for name in names if os.environ.get(name.lower()) or os.environ.get(name)
    ]


def _by_proxy(url: str) -> str:
    """What to say of a proxy that may have been asked; it may hold a password."""
    names = _proxy_variables()
    if not names or _is_here(url):
        return ""
    return f", asked as {' and '.join(names)} and NO_PROXY say"


def _error_text(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or "(no text)"


def _plain(value: Any) -> Any:
    """What JSON has no type for."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON: {value!r}")
