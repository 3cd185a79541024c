"""Calls a served model over REST or gRPC: `trailrank serve` or `tensorflow/serving`.

    with Client("http://127.0.0.1:8501", spec) as client:
        best = client.rank(user_features, candidates, top_k=10).positions

    async with AsyncClient("grpc://127.0.0.1:8500", spec) as client:
        scores = await client.rank(user_features, candidates)

REST needs no TensorFlow. gRPC's messages are TensorFlow's: it is imported by the first
client of a `grpc://` URL, which takes seconds.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from feature_specs import Spec
from serving.client.calls import Call, ClientError, Metadata, Predict, Status, Target
from serving.client.rest_client import AsyncRestTransport, RestTransport
from serving.client.retries import Retries
from serving.export.requests import RequestError, rank_inputs

if TYPE_CHECKING:
    from serving.client.grpc_client import AsyncGrpcTransport, GrpcTransport

DEFAULT_TIMEOUT_S = 30.0
_RETRIES = Retries()
_POSITIONS = "positions"  # in a model of this release
_SCHEMES = ("http", "https", "grpc")


@dataclasses.dataclass(frozen=True, eq=False)
class Scores(Mapping[str, list[float]]):
    """Output -> a value a candidate: `score`, `log_score` and every task.

    Two are equal as mappings are.

    Attributes:
        outputs: Output name -> values.
        positions: Whose values these are, as positions in the request's candidates: all
            in their order; with `top_k` the best of them, the best first.
    """

    outputs: dict[str, list[float]]
    positions: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Positions in the request's candidates, the best first.

        By `log_score`, which is finite and tells apart what `score` rounds to 0; of two
        that are alike the one that was sent first. A model of an earlier release has
        `score` alone.
        """
        values = self.outputs.get("log_score", self.outputs["score"])
        return tuple(self.positions[index] for index in _best(values))

    def best(self, top_k: int) -> Scores:
        """Those of the best `top_k`, in order; of all, if there are fewer."""
        values = self.outputs.get("log_score", self.outputs["score"])
        kept = _best(values)[:top_k]
        return Scores(
            {name: [found[n] for n in kept] for name, found in self.outputs.items()},
            tuple(self.positions[n] for n in kept),
        )

    def __getitem__(self, name: str) -> list[float]:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)


def _best(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda n: values[n], reverse=True)


class Client:
    """One model of one server, for any number of threads. Close it, or use `with`.

    >>> with trailrank.Client(url, spec) as client:
    ...     answer = client.rank({"user_id": 1}, [{"video_id": 10}, {"video_id": 11}])
    >>> sorted(answer), len(answer["score"])
    (['log_score', 'long_view', 'score', 'watched'], 2)

    Args:
        url: Like `http://127.0.0.1:8501` or `grpc://127.0.0.1:8500`.
        model: The served model's spec, which `rank` needs, or only its name.
        timeout_s: Longest wait for an answer, repeated tries included.
        version: Of the model; the newest that is loaded by default.
        label: A version's label, in place of its number.
        retries: How often and how soon calls are repeated.

    Proxies that the environment names (HTTP_PROXY, ...; for gRPC grpc_proxy, ...) are
    asked for every server but one on this machine.

    Raises:
        ClientError: The URL has another scheme, or the environment's proxy cannot be
            used.
        UsageError: Both a version and a label.
    """

    def __init__(
        self,
        url: str,
        model: Spec | str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        *,
        version: int | None = None,
        label: str | None = None,
        retries: Retries = _RETRIES,
    ):
        self._spec = None if isinstance(model, str) else model
        self._target = _target(model, version, label)
        self._timeout_s, self._retries = timeout_s, retries
        self._transport = transport(url, self._target)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

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
                or these values alone if the signature has one input. Over gRPC an
                input with a default may be left out.
            instances: One mapping of input name -> value a row, or the value alone if
                the signature has one input. NaN, infinities, NumPy values and bytes
                may stand in both.
            signature_name: Which one.

        Returns:
            For `inputs`, output name -> nested lists; for `instances`, one mapping of
            output name -> value a row. Without the names if the signature has one
            output only. Strings are bytes where the output's name ends in `_bytes`.

        Raises:
            RequestError: Both of `inputs` and `instances` are given, or neither is.
            TypeError: A value has no form in JSON.
            ClientError: The server could not be reached, refused the request, or
                answered something else than TensorFlow Serving does.
        """
        return self._send(_predict(inputs, instances, signature_name))

    def rank(
        self,
        request: Mapping[str, Any],
        candidates: Sequence[Mapping[str, Any]],
        weights: Mapping[str, float] | None = None,
        top_k: int | None = None,
    ) -> Scores:
        """`score`, `log_score` and every task's prediction, one value a candidate.

        Args:
            request: Query and context feature -> value; sequences are lists. A feature
                left out, or None, is missing.
            candidates: The same for each candidate's features, one mapping a candidate.
                Of none the answer is empty, and the server is not asked.
            weights: Task -> exponent of the fused score; tasks left out keep the
                spec's.
            top_k: The best so many, the best first, by `log_score`. All are scored;
                the server sends these. Of a model of an earlier release it sends all,
                and the client keeps these.

        Raises:
            RequestError: A name that the spec does not have, a `top_k` that is not
                positive, or the client has no spec.
            ClientError: The server refused the request or could not be reached.
        """
        call = _rank(self._spec, self._target, request, candidates, weights, top_k)
        if isinstance(call, Scores):
            return call
        return _scores(self._send(call), top_k)

    def status(self) -> list[dict[str, Any]]:
        """`version`, `state` and `status` of each version that the server reports.

        Raises:
            ClientError: As in `predict`; also for a model that the server lacks.
        """
        found: list[dict[str, Any]] = self._send(Status())
        return found

    def metadata(self) -> dict[str, Any]:
        """The served version (`model_spec`) and its signatures (`metadata`).

        Raises:
            ClientError: As in `predict`; also while no version is served.
        """
        found: dict[str, Any] = self._send(Metadata())
        return found

    def _send(self, call: Call) -> Any:
        return self._retries.run(
            lambda left_s: self._transport.send(call, left_s), self._timeout_s
        )


class AsyncClient:
    """`Client` for coroutines of one event loop. Close it, or use `async with`.

    >>> async def ask():
    ...     async with trailrank.AsyncClient(url, spec) as client:
    ...         return await client.rank({"user_id": 1}, [{"video_id": 10}], top_k=1)
    >>> asyncio.run(ask()).positions
    (0,)

    Takes the same arguments, and raises the same errors.
    """

    def __init__(
        self,
        url: str,
        model: Spec | str,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        *,
        version: int | None = None,
        label: str | None = None,
        retries: Retries = _RETRIES,
    ):
        self._spec = None if isinstance(model, str) else model
        self._target = _target(model, version, label)
        self._timeout_s, self._retries = timeout_s, retries
        self._transport = _async_transport(url, self._target)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def predict(
        self,
        *,
        inputs: Any = None,
        instances: Sequence[Any] | None = None,
        signature_name: str = "serving_default",
    ) -> Any:
        """`Client.predict`."""
        return await self._send(_predict(inputs, instances, signature_name))

    async def rank(
        self,
        request: Mapping[str, Any],
        candidates: Sequence[Mapping[str, Any]],
        weights: Mapping[str, float] | None = None,
        top_k: int | None = None,
    ) -> Scores:
        """`Client.rank`."""
        call = _rank(self._spec, self._target, request, candidates, weights, top_k)
        if isinstance(call, Scores):
            return call
        return _scores(await self._send(call), top_k)

    async def status(self) -> list[dict[str, Any]]:
        """`Client.status`."""
        found: list[dict[str, Any]] = await self._send(Status())
        return found

    async def metadata(self) -> dict[str, Any]:
        """`Client.metadata`."""
        found: dict[str, Any] = await self._send(Metadata())
        return found

    async def _send(self, call: Call) -> Any:
        return await self._retries.run_async(
            lambda left_s: self._transport.send(call, left_s), self._timeout_s
        )


# --- where to -------------------------------------------------------------------------


def _target(model: Spec | str, version: int | None, label: str | None) -> Target:
    name = model if isinstance(model, str) else model.name
    return Target(model=name, version=version, label=label)


def transport(url: str, target: Target) -> RestTransport | GrpcTransport:
    """What carries a client's calls to a URL; it repeats none.

    Raises:
        ClientError: As in `Client`.
    """
    if _is_grpc(url):
        from serving.client.grpc_client import GrpcTransport

        return GrpcTransport(url, target)
    return RestTransport(url.rstrip("/"), target)


def _async_transport(
    url: str, target: Target
) -> AsyncRestTransport | AsyncGrpcTransport:
    if _is_grpc(url):
        from serving.client.grpc_client import AsyncGrpcTransport

        return AsyncGrpcTransport(url, target)
    return AsyncRestTransport(url.rstrip("/"), target)


def _is_grpc(url: str) -> bool:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise ClientError(
            f"url must begin with http://, https:// or grpc://. Got {url!r}."
        )
    return scheme == "grpc"


# --- what -----------------------------------------------------------------------------


def _predict(inputs: Any, instances: Sequence[Any] | None, signature: str) -> Predict:
    if (inputs is None) == (instances is None):
        raise RequestError("predict: give inputs or instances, one of them.")
    return Predict(signature=signature, inputs=inputs, instances=instances)


def _rank(
    spec: Spec | None,
    target: Target,
    request: Mapping[str, Any],
    candidates: Sequence[Mapping[str, Any]],
    weights: Mapping[str, float] | None,
    top_k: int | None,
) -> Predict | Scores:
    """What to ask; of no candidates the answer, for which no server is needed."""
    if spec is None:
        raise RequestError(
            f"Client of {target.model!r}: rank needs the model's spec to fill in "
            "what is missing. Make it with Client(url, spec)."
        )
    if top_k is not None and top_k < 1:
        raise RequestError(f"rank: top_k must be at least 1. Got {top_k}.")
    inputs = rank_inputs(spec, request, candidates, weights, top_k or 0)
    if not len(candidates):  # JSON cannot say how wide the vectors of no candidate are
        names = ["score", "log_score", *(o for t in spec.tasks for o in t.outputs)]
        return Scores({name: [] for name in names}, ())
    return Predict(signature="rank", inputs=inputs, optional=("top_k",))


def _scores(outputs: Any, top_k: int | None) -> Scores:
    if not isinstance(outputs, dict) or "score" not in outputs:
        raise ClientError(
            "The server's signature 'rank' gives no 'score': it is none of Trailrank's."
        )
    values = {n: found for n, found in outputs.items() if n != _POSITIONS}
    if _POSITIONS in outputs:
        return Scores(values, tuple(outputs[_POSITIONS]))
    scores = Scores(values, tuple(range(len(values["score"]))))
    return scores if top_k is None else scores.best(top_k)
