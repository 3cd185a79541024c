"""What a shadow costs those who ask: latencies beside a server without one.

    python benchmarks/shadow.py [--quick] [--rounds 24] [--rate 30] [--work DIR]

The shipped spec and preset, exported twice with drawn weights, are served by processes
of `trailrank serve`: without a shadow (twice, which shows the noise of the machine),
with one that scores a share of 0.01 and of 0.1, and with a broken one that is asked a
share of 0.1. Requests of 100 candidates, each another one, come over REST at the times
of a Poisson process; the servers take turns of some seconds, in another order each
round, so that what else the machine does hits all of them.

Percentiles are of all turns together, processor time is that of the whole server; the
ratios have 95 % intervals by resampling of rounds. Prints a table, and as the last line
one JSON object with the budget: p99 with a share of 0.01 within 5 % of that without
(null where two servers without one are not that much alike), and no failed request.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import typing
import urllib.request
from collections.abc import Iterator, Sequence

import measured
import numpy as np
import psutil
import rich.console
import rich.table
import serve
import simulated  # before TensorFlow: it silences its log
import tensorflow as tf

from feature_specs import load_spec
from serving.export.signatures import RANK
from serving.load.loadtest import LoadOptions, loadtest

_CANDIDATES, _BODIES = 100, 500
_METRICS = "/metrics"
_PLAIN, _AGAIN, _BROKEN = "no shadow", "no shadow, again", "broken, 0.1"
_SHARES = ("0.01", "0.1")
_BUDGET = 1.05  # p99 with the smaller share over that without
_DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class _Effort:
    """Rounds of turns, and the seconds of each turn."""

    rounds: int
    turn_s: float


_FULL = _Effort(rounds=24, turn_s=8.0)
_QUICK = _Effort(rounds=2, turn_s=3.0)


class _Server:
    """A running `trailrank serve` and what came of its turns."""

    def __init__(self, name: str, process: subprocess.Popen, rest: str):
        self.name, self.rest = name, rest
        self._process = psutil.Process(process.pid)
        self.turns: list[np.ndarray] = []  # milliseconds
        self.due: list[int] = []
        self.busy_s: list[float] = []  # of the processor
        self.failed = 0

    def turn(self, file: str, model: str, options: LoadOptions) -> None:
        """Asks at a rate for some seconds."""
        begin = self._clock()
        report = loadtest(requests=file, model=model, server=self.rest, options=options)
        self.busy_s.append(self._clock() - begin)
        step = report.steps[-1]
        self.turns.append(1000 * step.latencies_s)
        self.due.append(step.due)
        self.failed += step.due - step.answered

    def forget(self) -> None:
        """The turns until now: the first requests are slower."""
        for values in (self.turns, self.due, self.busy_s):
            values.clear()
        self.failed = 0

    def cpu_ms(self, picks: Sequence[int]) -> float:
        """Processor time a request, of some turns."""
        due = sum(self.due[n] for n in picks)
        return 1000 * sum(self.busy_s[n] for n in picks) / due

    def quantile(self, picks: Sequence[int], share: float) -> float:
        """Of the latencies of some turns."""
        return float(np.quantile(np.concatenate([self.turns[n] for n in picks]), share))

    def counts(self) -> dict[str, float]:
        """What the server counts of its shadow."""
        with urllib.request.urlopen(f"http://{self.rest}{_METRICS}") as answer:
            lines = answer.read().decode().splitlines()
        found: dict[str, float] = {}
        for line in lines:
            name, _, value = line.rpartition(" ")
            name = name.partition("{")[0].removeprefix(":trailrank:serving:")
            if line.startswith(":trailrank") and name.endswith("_count"):
                found[name] = found.get(name, 0) + float(value)
        return found

    def _clock(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def main() -> None:
    """Measures, prints a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--rounds", type=int, help="of turns, instead of 24")
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second")
    parser.add_argument("--work", metavar="DIR", help="keeps the models")
    args = parser.parse_args()
    effort = _QUICK if args.quick else _FULL
    if args.rounds:
        effort = dataclasses.replace(effort, rounds=args.rounds)
    load = [os.getloadavg()[0]]
    with simulated.work_folder(args.work) as work, contextlib.ExitStack() as stack:
        spec = load_spec("kuairand")
        version, examples = serve.model(work, spec, versions=2)
        _break(version.parent / "3")
        file = _requests(work, spec, examples)
        servers = [
            stack.enter_context(_server(version.parent.parent, name, flags))
            for name, flags in _kinds(work).items()
        ]
        _measure(servers, file, spec.name, args.rate, effort)
        found = {server.name: _told(server) for server in servers}
    load.append(os.getloadavg()[0])
    ratios = {server.name: _ratios(server, servers[0]) for server in servers[1:]}
    _print(found, ratios)
    result = {
        "benchmark": "shadow",
        "rate": args.rate,
        "rounds": effort.rounds,
        "servers": found,
        "ratios": ratios,
        "budget": {"p99_ratio_below": _BUDGET},
        "met": {
            "p99": _is_met(ratios),
            "none_failed": not any(one["failed"] for one in found.values()),
        },
        "machine": measured.machine(),
        "load_before_and_after": [round(value, 1) for value in load],
        "commit": measured.commit(),
    }
    print(json.dumps(result))


def _measure(
    servers: Sequence[_Server], file: str, model: str, rate: float, effort: _Effort
) -> None:
    order = np.random.default_rng(0)
    for number in range(-1, effort.rounds):
        options = LoadOptions(
            rate=rate, seconds=effort.turn_s, seed=number + 1, most_lag_ms=1e6
        )
        for place in order.permutation(len(servers)):
            servers[place].turn(file, model, options)
        if number < 0:
            for server in servers:
                server.forget()


# --- what is asked --------------------------------------------------------------------


def _break(version: pathlib.Path) -> None:
    """Puts a version there that cannot rank."""
    if not version.exists():
        module = tf.Module()
        x = tf.TensorSpec([None], tf.float32, name="x")
        module.same = tf.function(lambda x: {"y": x}, input_signature=[x])
        tf.saved_model.save(module, str(version))


def _requests(work: pathlib.Path, spec, examples: Sequence[bytes]) -> str:
    """A file of bodies, each of another user's row and other candidates."""
    path = work / "bodies.jsonl"
    draws = np.random.default_rng(1)
    with open(path, "wb") as file:
        for _ in range(_BODIES):
            rows = [examples[n] for n in draws.integers(0, len(examples), _CANDIDATES)]
            inputs = serve.inputs_of(spec, rows, _CANDIDATES)[RANK]
            file.write(serve.body_of(RANK, inputs) + b"\n")
    return str(path)


def _kinds(work: pathlib.Path) -> dict[str, list[str]]:
    """Name of a server -> its flags."""

    def shadow(version: str, share: str) -> list[str]:
        log = str(work / f"log-{version}-{share}")
        return ["--shadow", version, "--share", share, "--shadow_log", log]

    found: dict[str, list[str]] = {_PLAIN: [], _AGAIN: []}
    found |= {f"share {share}": shadow("2", share) for share in _SHARES}
    return {**found, _BROKEN: shadow("3", "0.1")}


@contextlib.contextmanager
def _server(models: pathlib.Path, name: str, flags: Sequence[str]) -> Iterator[_Server]:
    command = [sys.executable, "-m", "trailrank", "serve", "--models", str(models)]
    command += ["--versions", "1", "--port", "0", "--grpc_port", "0"]
    with subprocess.Popen(
        [*command, "--monitoring_path", _METRICS, *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _Server(name, process, serve.addresses(process)[0])
        finally:
            process.terminate()


# --- what came out --------------------------------------------------------------------


def _told(server: _Server) -> dict[str, typing.Any]:
    turns = range(len(server.turns))
    return {
        "requests": sum(server.due),
        "failed": server.failed,
        **{f"{name}_ms": round(of(server, turns), 2) for name, of in _MEASURES.items()},
        **{name: int(value) for name, value in server.counts().items()},
    }


_MEASURES: dict[str, typing.Callable[[_Server, Sequence[int]], float]] = {
    "p50": lambda server, picks: server.quantile(picks, 0.5),
    "p99": lambda server, picks: server.quantile(picks, 0.99),
    "cpu": lambda server, picks: server.cpu_ms(picks),
}


def _ratios(server: _Server, plain: _Server) -> dict[str, dict[str, float]]:
    """Measure -> its ratio to the plain server's, with an interval over rounds."""
    rounds = len(plain.turns)
    draws = np.random.default_rng(0).integers(0, rounds, (_DRAWS, rounds))
    found = {}
    for name, of in _MEASURES.items():
        again = [of(server, picks) / of(plain, picks) for picks in draws]
        low, high = np.quantile(again, [0.025, 0.975])
        ratio = of(server, range(rounds)) / of(plain, range(rounds))
        ends = {"low": round(float(low), 3), "high": round(float(high), 3)}
        found[name] = {"ratio": round(ratio, 3), **ends}
    return found


def _is_met(ratios: dict[str, typing.Any]) -> bool | None:
    """Whether p99 is within the budget; None where the machine is too noisy to tell."""
    noise, found = ratios[_AGAIN]["p99"], ratios[f"share {_SHARES[0]}"]["p99"]
    is_quiet = noise["low"] > 2 - _BUDGET and noise["high"] < _BUDGET
    return found["ratio"] < _BUDGET if is_quiet else None


def _print(found: dict[str, typing.Any], ratios: dict[str, typing.Any]) -> None:
    heads = ["requests", "failed", "p50_ms", "p99_ms", "cpu_ms", "sampled_count"]
    heads += ["sample_dropped_count", "trial_failed_count"]
    table = rich.table.Table("server", *heads, "p50 ratio", "p99 ratio", "cpu ratio")
    for name, own in found.items():
        cells = [str(own.get(head, "-")) for head in heads]
        shown = [
            f"{one['ratio']} ({one['low']}-{one['high']})"
            for one in ratios.get(name, {}).values()
        ]
        table.add_row(name, *cells, *(shown or [""] * len(_MEASURES)))
    rich.console.Console(width=measured.COLUMNS + 40).print(table)


if __name__ == "__main__":
    main()
