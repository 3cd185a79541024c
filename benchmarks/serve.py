"""What a request costs: `rank` beside rows, REST beside gRPC beside the bare model.

    python benchmarks/serve.py [--quick] [--work DIR]

The shipped spec and preset, exported with the vocabularies of simulated logs and
drawn weights, are served by `trailrank serve` in a process of its own. Requests are
made of real rows, missing values included: one user with 1, 50, 500 and 2,000
candidates, as `rank` and as that many rows (`instances`), over REST and over gRPC, one
at a time on an open connection. The same arrays go to the signature in a session of
this process, which is the bare model. All take turns, so that what else the machine
does hits all of them.

Processor time is that of the whole server (of this process for the bare model), in
which what this script does for a client has no part; wall time is the client's. A line
through the sizes of each round, by relative least squares, gives the fixed price of a
request and the price of a candidate. `--work` keeps the model.

Prints tables, and as the last line one JSON object with the budgets: the fixed price of
`rank` over REST under 2 ms of processor time, 500 candidates under 8 ms all in, and at
most a fifth of 500 rows.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Iterator, Sequence

import grpc
import measured
import numpy as np
import psutil
import rich.console
import rich.table
import simulated  # first of all that imports TensorFlow: it silences its log
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from feature_specs import load_preset, load_spec
from serving.export import requests
from serving.export.export import export
from serving.export.quantile_tables import QUANTILES_FILE
from serving.export.signatures import RANK, example_spec
from serving.models.session import load_signatures
from trainer.model.ranker import Ranker

_SHAPE = simulated.Shape(users=25, days=3, rows_per_user_day=40)
_SIZES = (1, 50, 500, 2000)
_BUDGET = 500  # candidates, of the budgets
_FIXED_MS, _ALL_IN_MS, _CHEAPER = 2.0, 8.0, 5.0
_ROWS = "serving_default"
_NOISE = 0.05  # of untrained weights
_LISTENS = re.compile(r"serving .* at http://(\S+), and over gRPC at (\S+)")

Arrays = dict[str, np.ndarray]
Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class _Effort:
    """Turns of everything, and the seconds of each."""

    rounds: int
    turn_s: float


_FULL = _Effort(rounds=7, turn_s=1.5)
_QUICK = _Effort(rounds=3, turn_s=0.3)


class _Turn(typing.NamedTuple):
    """Milliseconds a request, means of a turn."""

    cpu: float
    wall: float


@dataclasses.dataclass(frozen=True)
class _Way:
    """One way to ask: `send` asks once; `clock` is the processor time it costs."""

    name: str
    size: int
    send: Callable[[], object]
    clock: Clock
    turns: list[_Turn] = dataclasses.field(default_factory=list)

    def turn(self, seconds: float) -> None:
        """Asks for some seconds, five times at least."""
        asked, began, busy = 0, time.perf_counter(), self.clock()
        while asked < 5 or time.perf_counter() - began < seconds:
            self.send()
            asked += 1
        took, worked = time.perf_counter() - began, self.clock() - busy
        self.turns.append(_Turn(worked / asked * 1e3, took / asked * 1e3))


def main() -> None:
    """Measures, prints tables and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--work", metavar="DIR", help="keeps the model")
    args = parser.parse_args()
    effort = _QUICK if args.quick else _FULL
    load = [os.getloadavg()[0]]
    with simulated.work_folder(args.work) as work:
        spec = load_spec("kuairand")
        version, examples = model(work, spec)
        with _server(version.parent.parent) as server:
            ways = list(_ways(spec, version, examples, server))
            for way in ways:
                way.turn(effort.turn_s)  # the first is slower
                way.turns.clear()
            for _ in range(effort.rounds):
                for way in ways:
                    way.turn(effort.turn_s)
    load.append(os.getloadavg()[0])
    found = _summary(ways)
    _print(ways, found)
    result = {
        "benchmark": "serving",
        "rounds": effort.rounds,
        **found,
        "machine": measured.machine(),
        "load_before_and_after": [round(value, 1) for value in load],
        "commit": measured.commit(),
    }
    print(json.dumps(result))


# --- what is asked --------------------------------------------------------------------


def model(
    work: pathlib.Path, spec, versions: int = 1
) -> tuple[pathlib.Path, list[bytes]]:
    """A version directory of the shipped preset, and raw examples.

    Further versions lie beside it, with other weights.
    """
    log = simulated.make_log(work, spec, _SHAPE, seed=1)
    files = [f for _, own in log.days for one in own for f in tf.io.gfile.glob(one)]
    records = tf.data.TFRecordDataset(sorted(files), "GZIP").as_numpy_iterator()
    examples = list(records)
    folder = work / "models" / spec.name
    for number in range(versions):
        version = folder / f"{number + 1}"
        if version.exists():
            continue
        means = {task.name: 0.3 for task in spec.tasks}
        ranker = Ranker(spec, load_preset("mmoe"), means)
        draws = np.random.default_rng(number)
        for variable in ranker.trainable_variables:  # each prediction another number
            variable.assign_add(draws.normal(0, _NOISE, variable.shape))
        export(
            ranker,
            log.graph,
            spec,
            version,
            examples=examples[:100],
            quantiles=os.path.join(log.examples, QUANTILES_FILE),
        )
    return folder / "1", examples


def _ways(
    spec, version: pathlib.Path, examples: Sequence[bytes], server: _Server
) -> Iterator[_Way]:
    signatures = load_signatures(str(version))  # as a server loads it
    for size in _SIZES:
        for name, inputs in inputs_of(spec, examples, size).items():
            body = body_of(name, inputs)
            message = _message(spec.name, name, inputs)
            short = "rows" if name == _ROWS else name
            rest = lambda b=body: server.post(spec.name, b)  # noqa: E731
            call = lambda m=message: server.predict(m)  # noqa: E731
            bare = lambda n=name, i=inputs: signatures[n](i)  # noqa: E731
            yield _Way(f"{short}, REST", size, rest, server.clock)
            yield _Way(f"{short}, gRPC", size, call, server.clock)
            yield _Way(f"{short}, bare", size, bare, time.process_time)


def inputs_of(spec, examples: Sequence[bytes], size: int) -> dict[str, Arrays]:
    """Signature -> the first row's user with the candidates of `size` rows."""
    drawn = np.random.default_rng(size).integers(0, len(examples), size)
    parsed = tf.io.parse_example([examples[n] for n in drawn], example_spec(spec))
    rows = {
        f.name: tf.sparse.to_dense(parsed[f.name], f.missing).numpy()
        if f.is_sequence
        else parsed[f.name].numpy()
        for f in spec.served_features
    }
    asked = {f.name: rows[f.name][:1] for f in requests.request_features(spec)}
    shown = {f.name: rows[f.name] for f in requests.candidate_features(spec)}
    weights = np.asarray(requests.weight_column(spec, {}), np.float32)
    return {
        RANK: {**asked, **shown, "weights": weights, "top_k": np.int32(0)},
        _ROWS: {**{n: np.repeat(v, size, axis=0) for n, v in asked.items()}, **shown},
    }


def body_of(signature: str, inputs: Arrays) -> bytes:
    columns = {name: _plain(values) for name, values in inputs.items()}
    if signature == RANK:
        return json.dumps({"signature_name": RANK, "inputs": columns}).encode()
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    return json.dumps({"instances": rows}).encode()


def _plain(values: np.ndarray) -> list:
    """Nested lists; bytes as text."""
    return (values.astype(np.str_) if values.dtype == object else values).tolist()


def _message(model: str, signature: str, inputs: Arrays) -> predict_pb2.PredictRequest:
    found = predict_pb2.PredictRequest()
    found.model_spec.name = model
    found.model_spec.signature_name = signature
    for name, values in inputs.items():
        found.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return found


# --- the server -----------------------------------------------------------------------


class _Server:
    """A running `trailrank serve`, and one open connection of each kind."""

    def __init__(self, process: subprocess.Popen, rest: str, grpc_address: str):
        self._process = psutil.Process(process.pid)
        host, port = rest.split(":")
        self._http = http.client.HTTPConnection(host, int(port))
        self.channel = grpc.insecure_channel(grpc_address)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.predict = stub.Predict

    def clock(self) -> float:
        """Processor seconds of the server until now."""
        times = self._process.cpu_times()
        return times.user + times.system

    def post(self, model: str, body: bytes) -> bytes:
        """The answer over REST."""
        self._http.request("POST", f"/v1/models/{model}:predict", body)
        response = self._http.getresponse()
        answer = response.read()
        if response.status != 200:
            sys.exit(f"The server refused a request: {answer.decode()}")
        return answer


@contextlib.contextmanager
def _server(models: pathlib.Path) -> Iterator[_Server]:
    """`trailrank serve` in a process of its own, on free ports."""
    command = [sys.executable, "-m", "trailrank", "serve", "--models", str(models)]
    with subprocess.Popen(
        [*command, "--port", "0", "--grpc_port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            server = _Server(process, *addresses(process))
            yield server
            server.channel.close()
        finally:
            process.terminate()


def addresses(process: subprocess.Popen) -> tuple[str, str]:
    """Of REST and gRPC, from the line that tells them."""
    told = []
    for line in process.stderr:
        told.append(line)
        if match := _LISTENS.search(line):
            return match[1], match[2]
    sys.exit(f"The server did not start: {''.join(told[-5:])}")


# --- what came out --------------------------------------------------------------------


def _summary(ways: Sequence[_Way]) -> dict[str, typing.Any]:
    by_name: dict[str, dict[int, list[_Turn]]] = {}
    for way in ways:
        by_name.setdefault(way.name, {})[way.size] = way.turns
    lines = {name: [_line(r) for r in _rounds(own)] for name, own in by_name.items()}
    all_in = [turn.cpu for turn in by_name["rank, REST"][_BUDGET]]
    rows = [turn.cpu for turn in by_name["rows, REST"][_BUDGET]]
    cheaper = measured.ratios(rows, all_in)
    fixed_ms = float(np.median([fixed for fixed, _ in lines["rank, REST"]]))
    all_in_ms = float(np.median(all_in))
    return {
        "cpu_ms": _medians(by_name, "cpu"),
        "wall_ms": _medians(by_name, "wall"),
        "fixed_ms": {
            n: _spread([fixed for fixed, _ in own]) for n, own in lines.items()
        },
        "candidate_us": {
            n: _spread([slope * 1e3 for _, slope in own]) for n, own in lines.items()
        },
        "rows_to_rank": cheaper,
        "budgets": {
            "fixed_ms": {"is": round(fixed_ms, 2), "below": _FIXED_MS},
            "500_candidates_ms": {"is": round(all_in_ms, 2), "below": _ALL_IN_MS},
            "rows_to_rank": {"is": cheaper["median"], "from": _CHEAPER},
        },
        "met": {
            "fixed_ms": fixed_ms < _FIXED_MS,
            "500_candidates_ms": all_in_ms < _ALL_IN_MS,
            "rows_to_rank": cheaper["median"] >= _CHEAPER,
        },
    }


def _rounds(own: dict[int, list[_Turn]]) -> Iterator[dict[int, float]]:
    """Size -> milliseconds of processor, of each round."""
    for turns in zip(*own.values(), strict=True):
        yield {size: turn.cpu for size, turn in zip(own, turns, strict=True)}


def _line(times: dict[int, float]) -> tuple[float, float]:
    """Milliseconds at no candidate, and of each; each size weighs alike."""
    values = np.array(list(times.values()))
    slope, fixed = np.polyfit(list(times), values, 1, w=1 / values)
    return float(fixed), float(slope)


def _medians(
    by_name: dict[str, dict[int, list[_Turn]]], kind: str
) -> dict[str, dict[int, dict[str, float]]]:
    return {
        name: {
            n: _spread([getattr(t, kind) for t in turns]) for n, turns in own.items()
        }
        for name, own in by_name.items()
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "median": round(float(np.median(values)), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def _print(ways: Sequence[_Way], found: dict[str, typing.Any]) -> None:
    console = rich.console.Console(width=measured.COLUMNS)
    for kind, title in (("cpu_ms", "of processor"), ("wall_ms", "by the clock")):
        heads = ("", *(f"{size:,}" for size in _SIZES))
        more = ("fixed", "us a candidate") if kind == "cpu_ms" else ()
        table = rich.table.Table(
            title=f"ms a request {title}, by candidates", caption=measured.machine()
        )
        for head in (*heads, *more):
            table.add_column(head, justify="right" if head else "left")
        for name, own in found[kind].items():
            cells = [_told(one) for one in own.values()]
            if more:
                cells += [
                    _told(found["fixed_ms"][name]),
                    _told(found["candidate_us"][name]),
                ]
            table.add_row(name, *cells)
        console.print(table)
    for name, budget in found["budgets"].items():
        rule = " ".join(f"{word} {v:g}" for word, v in budget.items() if word != "is")
        verdict = "met" if found["met"][name] else "MISSED"
        print(f"{name}: {budget['is']:g}, budget {rule}: {verdict}")


def _told(one: dict[str, float]) -> str:
    return f"{one['median']:.2f} ({one['min']:.2f}-{one['max']:.2f})"


if __name__ == "__main__":
    main()
