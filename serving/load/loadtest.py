"""How a server bears a load: latencies at a rate of requests, or the rate it bears.

    report = loadtest("RUN", options=LoadOptions(rate=200, seconds=30))
    report.steps[-1].latency_ms["p99"]

Requests come at times of their own (`serving.load.arrivals`), over REST or gRPC, to any
server that speaks TensorFlow Serving's API.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import pathlib
from typing import Any, Literal

import numpy as np

from feature_specs import Spec
from feature_specs.errors import UsageError
from feature_specs.places import Place, check_writable_directory
from serving.client.calls import ClientError, Predict, Target
from serving.load.arrivals import Floats, Traffic, arrival_times, send_when_due
from serving.load.knee import ERRORS, GENERATOR, LATENCY, Knee, Missed, find_knee
from serving.load.load_requests import RANK, read_requests, requests_of_examples
from serving.load.load_targets import LoadTarget, load_target
from serving.ranking.served_run import read_run

# Name of a percentile -> values of a thousand that are at or below it.
_PERCENTILES = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
_PERCENTILES["max"] = 1000
PICTURE, RESULTS = "loadtest.png", "loadtest.json"
_PORTS = {"rest": 8501, "grpc": 8500}
_LAG_SHARE = 0.1  # of the latency: what the generator may have added to it
_BUSY = (429, 503, 504)  # refused for the moment: such a server's load can be measured
_PAUSE_S = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How much is sent, and what is right.

    Attributes:
        rate: Requests a second; with `find_knee` the first that is tried.
        seconds: That each rate is sent for.
        most: Requests in all.
        most_in_flight: That wait for their answers at a time; one that is due while so
            many wait is not sent, and counted.
        timeout_s: After which a request is given up.
        seed: Of the times, and of which request comes when.
        p99_ms: Limit of the 99th percentile of the latencies; None: no limit.
        most_errors: Limit of the share of the requests that failed or were not sent.
        find_knee: Whether the highest rate is looked for that keeps both limits.
        most_rate: The highest that is tried then.
        most_lag_ms: 99th percentile of how late the generator may send; more is right
            if it is at most a tenth of that of the latencies.

    Raises:
        UsageError: A number that cannot be.
    """

    rate: float = 50.0
    seconds: float = 10.0
    most: int = 100_000
    most_in_flight: int = 256
    timeout_s: float = 5.0
    seed: int = 0
    p99_ms: float | None = None
    most_errors: float = 0.01
    find_knee: bool = False
    most_rate: float = 10_000.0
    most_lag_ms: float = 2.0

    def __post_init__(self) -> None:
        positive = ("rate", "seconds", "most", "most_in_flight", "timeout_s")
        for name in (*positive, "most_rate", "most_lag_ms", "p99_ms"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} must be positive. Got {value}.")
        if not 0 <= self.most_errors <= 1:
            raise UsageError(
                f"most_errors must be between 0 and 1. Got {self.most_errors}."
            )
        if self.find_knee and self.p99_ms is None:
            raise UsageError(
                "find_knee needs p99_ms, the latency that the knee must keep, like 50."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadStep:
    """What came of one rate.

    Attributes:
        rate: Requests a second that were due, on average.
        due: Requests that were.
        sent: ... of which so many were sent.
        not_sent: ... and so many not, as too many others waited.
        answered: Those that were answered.
        errors: Kind -> number: `HTTP 503` or a code of gRPC, `timeout`, `connect` (no
            server was reached), `broken off`.
        throughput: Answers a second, up to the last one.
        latency_ms: Name of a percentile -> milliseconds from when a request was due to
            its answer; those that timed out count with their wait until then. Empty if
            there is none, or if they would be the generator's and not the server's.
        lag_ms: The same of how late requests were sent.
        missed: Which limit was missed first; "generator" if it was too slow itself.
        latencies_s: All of them, [answered and timed out], for a picture.
    """

    rate: float
    due: int
    sent: int
    not_sent: int
    answered: int
    errors: dict[str, int]
    throughput: float
    latency_ms: dict[str, float]
    lag_ms: dict[str, float]
    missed: Missed
    latencies_s: Floats = dataclasses.field(repr=False, compare=False)

    @property
    def error_share(self) -> float:
        """Of the requests that were due: those that failed or were not sent."""
        return (sum(self.errors.values()) + self.not_sent) / max(self.due, 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all but the single latencies."""
        found = dataclasses.asdict(self)
        del found["latencies_s"]
        return {**found, "error_share": self.error_share}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was measured.

    Attributes:
        url: Of the server.
        model: Its model.
        signature: What was asked.
        requests: Different ones, sent in a random order.
        steps: Of each rate, in the order in which they were tried.
        knee: If it was looked for.
    """

    url: str
    model: str
    signature: str
    requests: int
    steps: tuple[LoadStep, ...]
    knee: Knee | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "url": self.url,
            "model": self.model,
            "signature": self.signature,
            "requests": self.requests,
            "steps": [step.as_dict() for step in self.steps],
            "knee": dataclasses.asdict(self.knee) if self.knee else None,
        }


def loadtest(
    root: Place | None = None,
    *,
    requests: Place | None = None,
    server: str | None = None,
    protocol: Literal["rest", "grpc"] = "rest",
    model: str | None = None,
    version: int | None = None,
    label: str | None = None,
    signature: str | None = None,
    candidates: int = 100,
    distinct: int = 100,
    out: Place | None = None,
    options: LoadOptions | None = None,
) -> LoadReport:
    """Sends requests at a rate, whether or not others are answered, and measures.

    >>> options = trailrank.LoadOptions(rate=20, seconds=0.5, most_lag_ms=1000)
    >>> report = trailrank.loadtest("run", server=server, candidates=3, options=options)
    >>> step = report.steps[0]
    >>> step.answered == step.due, step.errors
    (True, {})

    Args:
        root: A run, of whose users and items requests are made.
        requests: Or a file of them: bodies of predict calls, one a line.
        server: `HOST:PORT`, or a URL; by default this machine's usual port.
        protocol: `rest` or `grpc`; a URL says it itself.
        model: Its name; by default the run's.
        version: Of the model, instead of the newest.
        label: A version's label, instead of its number.
        signature: `rank` for a run's requests; of a file's where a line names none
            `serving_default`.
        candidates: Of each request that is made of a run.
        distinct: How many of those are made.
        out: Directory for `loadtest.png` and `loadtest.json`; none by default.
        options: How much is sent, and what is right.

    Raises:
        UsageError: Arguments that do not go together.
        RunError, LoadRequestError: There is no such run, or no such request.
        ClientError: The server could not be reached, or refuses the requests.
        NoMatplotlibError: A picture is to be drawn, and cannot.
    """
    options = options or LoadOptions()
    url = server_url(server, protocol)
    _check_out(out)
    spec, calls = _calls(root, requests, signature, candidates, distinct, options.seed)
    name = model or (spec.name if spec else "")
    if not name:
        raise UsageError("--model: name the served model; a file of requests has none.")
    target = Target(model=name, version=version, label=label)
    to = load_target(url, target, options.timeout_s, options.most_in_flight)
    steps, knee = asyncio.run(_Test(to, calls, options).run())
    report = LoadReport(
        url=url,
        model=name,
        signature=", ".join(sorted({call.signature for call in calls})),
        requests=len(calls),
        steps=tuple(steps),
        knee=knee,
    )
    if out is not None:
        _write(report, pathlib.Path(out))
    return report


def server_url(server: str | None, protocol: Literal["rest", "grpc"]) -> str:
    """`host:port`, a URL or nothing -> the URL of a client.

    Raises:
        UsageError: It is neither.
    """
    if server is None:
        server = f"127.0.0.1:{_PORTS[protocol]}"
    if "://" not in server:
        return f"{'grpc' if protocol == 'grpc' else 'http'}://{server}"
    if not server.startswith(("http://", "https://", "grpc://")):
        raise UsageError(
            f"--server {server}: must be HOST:PORT, or begin with http://, https:// or "
            "grpc://."
        )
    return server.rstrip("/")


def _check_out(out: Place | None) -> None:
    from pipeline.reporting.figures import require_matplotlib

    if out is not None:
        check_writable_directory("--out", out)
        require_matplotlib()


def _calls(
    root: Place | None,
    requests: Place | None,
    signature: str | None,
    candidates: int,
    distinct: int,
    seed: int,
) -> tuple[Spec | None, list[Predict]]:
    """The run's spec, if there is a run, and what is sent."""
    if root is None and requests is None:
        raise UsageError("--root RUN or --requests FILE: name what is to be sent.")
    if min(candidates, distinct) < 1:
        raise UsageError(
            f"candidates and distinct must be at least 1. Got {candidates} and "
            f"{distinct}."
        )
    run = read_run(root) if root is not None else None
    if requests is not None:
        spec = run.spec if run else None
        return spec, read_requests(requests, signature)
    assert run, "it was named"
    run.check_examples()
    from serving.ranking.lookup import Examples

    return run.spec, requests_of_examples(
        Examples(run.examples, run.spec),
        run.spec,
        signature=signature or RANK,
        candidates=candidates,
        count=distinct,
        seed=seed,
    )


def _write(report: LoadReport, out: pathlib.Path) -> None:
    from pipeline.reporting.figures import png
    from pipeline.reporting.files import write_bytes, write_json
    from serving.load.loadtest_plot import draw

    write_json(out / RESULTS, report.as_dict())
    write_bytes(out / PICTURE, png(draw(report)))


# --- measuring ------------------------------------------------------------------------


class _Test:
    """Rates, one after the other, against one server."""

    def __init__(self, to: LoadTarget, calls: list[Predict], options: LoadOptions):
        self._to, self._calls, self._options = to, calls, options
        self._steps: list[LoadStep] = []
        self._left = options.most

    async def run(self) -> tuple[list[LoadStep], Knee | None]:
        options, knee = self._options, None
        try:
            await self._to.prepare(self._calls)
            await self._ask()
            if options.find_knee:
                knee = await find_knee(self._try, options.rate, options.most_rate)
            elif not (await self._step(options.rate)).due:
                raise UsageError(
                    f"no request is due within {options.seconds:g} s at "
                    f"{options.rate:g} a second: raise --rate or --seconds."
                )
        finally:
            await self._to.close()
        return self._steps, knee

    async def _try(self, rate: float) -> Missed | None:
        """What a rate misses; None if there are not enough requests left for it."""
        if self._steps and self._left < rate * self._options.seconds:
            return None
        if self._steps and self._steps[-1].missed:
            await self._recover()
        missed = (await self._step(rate)).missed
        if missed == GENERATOR and self._left >= rate * self._options.seconds:
            # What another program took of this machine may be over by now.
            missed = (await self._step(rate)).missed
        return missed

    async def _step(self, rate: float) -> LoadStep:
        options, number = self._options, len(self._steps)
        due_s = arrival_times(rate, options.seconds, self._left, options.seed + number)
        self._left -= len(due_s)
        draws = np.random.default_rng(options.seed + number)
        which = draws.integers(len(self._calls), size=len(due_s)).tolist()
        traffic = await send_when_due(
            lambda n: self._to.send(which[n]), due_s, options.most_in_flight
        )
        step = measured(rate, traffic, options)
        self._steps.append(step)
        return step

    async def _ask(self) -> None:
        """That the first request is answered, or refused for the moment only."""
        try:
            await self._to.ask()
        except ClientError as error:
            if error.status not in _BUSY:
                raise

    async def _recover(self) -> None:
        """Waits, for a while, until what an overload left behind is worked off."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._options.timeout_s
        while clock() < end and await self._to.send(0):
            await asyncio.sleep(_PAUSE_S)


def measured(rate: float, traffic: Traffic, options: LoadOptions) -> LoadStep:
    """What traffic at a rate comes to, judged by the options' limits."""
    latency, lag = percentiles_ms(traffic.latency_s), percentiles_ms(traffic.lag_s)
    step = LoadStep(
        rate=rate,
        due=len(traffic.due_s),
        sent=len(traffic.lag_s),
        not_sent=traffic.not_sent,
        answered=traffic.answered,
        errors=traffic.errors,
        throughput=traffic.answered / traffic.seconds if traffic.seconds else 0.0,
        latency_ms=latency,
        lag_ms=lag,
        missed="",
        latencies_s=traffic.latency_s,
    )
    missed = _missed(step, options)
    if missed == GENERATOR:  # they would tell of this process, not of the server
        nothing = np.zeros(0)
        return dataclasses.replace(
            step, missed=missed, latency_ms={}, latencies_s=nothing
        )
    return dataclasses.replace(step, missed=missed)


def percentiles_ms(seconds: Floats) -> dict[str, float]:
    """Name of a percentile -> milliseconds; nothing of no values.

    The p-th of N values is the smallest that has a share of p of all at or below it
    (nearest rank): a value that was measured, and the largest where N is small.
    """
    if not len(seconds):
        return {}
    rising = np.sort(seconds)
    ranks = {name: -(-of * len(rising) // 1000) for name, of in _PERCENTILES.items()}
    return {name: 1000 * float(rising[rank - 1]) for name, rank in ranks.items()}


def _missed(step: LoadStep, options: LoadOptions) -> Missed:
    latency, lag = step.latency_ms.get("p99", 0.0), step.lag_ms.get("p99", 0.0)
    if lag > max(options.most_lag_ms, _LAG_SHARE * latency):
        return GENERATOR
    if step.error_share > options.most_errors or not step.answered:
        return ERRORS
    if options.p99_ms is not None and not latency <= options.p99_ms:
        return LATENCY
    return ""
