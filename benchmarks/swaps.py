"""Ten new versions while eight clients ask: failures, mixed answers, and memory.

    python benchmarks/swaps.py [--quick] [--tables N] [--table_mb MB]

A server (`trailrank serve`, a process of its own) has one version of a model that is
little more than its tables; four clients ask over REST, four over gRPC. Ten more
versions come, one after the other, each with tables of its own. Told are failed
requests, answers that are of two versions, how long a client waited at most, and the
server's memory with the first version, at its peak and with the last version alone.

Prints a table, and as the last line one JSON object.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import httpx
import measured
import numpy as np
import rich.console
import rich.table
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

_CLIENTS, _SWAPS, _ROWS = 4, 10, 8  # clients of each API; rows of a request
_PATIENCE_S = 120
_SETTLE_S = 2.0  # for the memory to be what it stays


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument("--tables", type=int, default=64)
    parser.add_argument("--table_mb", type=float)
    args = parser.parse_args()
    table_mb = args.table_mb or (2.0 if args.quick else 8.0)
    with tempfile.TemporaryDirectory() as folder:
        found = _measure(pathlib.Path(folder), args.tables, table_mb)
    told = rich.table.Table("what", "measured", title=measured.machine())
    for name, value in found.items():
        told.add_row(name.replace("_", " "), f"{value:,.4g}")
    rich.console.Console(width=measured.COLUMNS).print(told)
    print(json.dumps({"commit": measured.commit(), **found}))


def _measure(folder: pathlib.Path, tables: int, table_mb: float) -> dict[str, float]:
    for number in range(1, 2 + _SWAPS):
        _save(folder / "saved" / str(number), number, tables, table_mb)
    models = folder / "models" / "m"
    models.mkdir(parents=True)
    (folder / "saved" / "1").rename(models / "1")
    asked = _Asked()
    with _serving(folder / "models") as (process, url, address):
        without = _memory_mb(process.pid)["VmRSS"] - tables * table_mb
        with _asking(asked, url, address):
            time.sleep(_SETTLE_S)
            before = _memory_mb(process.pid)["VmRSS"]
            for number in range(2, 2 + _SWAPS):
                (folder / "saved" / str(number)).rename(models / str(number))
                _until(lambda n=number: _states(url).get(str(n)) == "AVAILABLE")
            _until(lambda: list(_states(url).values()).count("AVAILABLE") == 1)
            time.sleep(_SETTLE_S)
            memory = _memory_mb(process.pid)
    return {
        "requests": asked.count,
        "failed": asked.failed,
        "of_two_versions": asked.mixed,
        "longest_wait_ms": 1000 * asked.longest_s,
        "one_model_mb": tables * table_mb,
        "server_without_tables_mb": without,
        "before_mb": before,
        "peak_mb": memory["VmHWM"],
        "after_mb": memory["VmRSS"],
        "grown_share_of_one_model": (memory["VmRSS"] - before) / (tables * table_mb),
    }


# --- the model ------------------------------------------------------------------------


def _save(path: pathlib.Path, number: int, tables: int, table_mb: float) -> None:
    """A model that adds `number` to x, and a value of each table, which is 0."""
    v1 = tf.compat.v1
    rows = int(table_mb * 2**20 / 64)
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], "x")
        total = x + float(number)
        for index in range(tables):
            table = v1.get_variable(
                f"table_{index}", [rows, 16], initializer=v1.zeros_initializer()
            )
            total += tf.gather(table, number)[0]
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": total})
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}
        )
        builder.save()


# --- the server -----------------------------------------------------------------------


@contextlib.contextmanager
def _serving(
    models: pathlib.Path,
) -> Iterator[tuple[subprocess.Popen[bytes], str, str]]:
    """A running server: its process, URL and gRPC address."""
    rest, over_grpc = (_free_port() for _ in range(2))
    command = [sys.executable, "-m", "trailrank", "serve", "--models", str(models)]
    command += ["--poll_s", "0.1", "--port", str(rest), "--grpc_port", str(over_grpc)]
    url = f"http://127.0.0.1:{rest}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _until(lambda: _states(url) or process.poll() is not None)
            yield process, url, f"127.0.0.1:{over_grpc}"
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _states(url: str) -> dict[str, str]:
    """Version -> state; nothing of a server that does not answer."""
    try:
        found = httpx.get(f"{url}/v1/models/m").json()["model_version_status"]
    except httpx.TransportError:
        return {}
    return {status["version"]: status["state"] for status in found}


def _memory_mb(pid: int) -> dict[str, float]:
    """What Linux says of a process's memory."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":") for line in lines if line.startswith("Vm"))
    return {name: int(value.split()[0]) / 1024 for name, value in pairs}


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the server did not follow its directory")
        time.sleep(0.05)


# --- the clients ----------------------------------------------------------------------


@dataclasses.dataclass
class _Asked:
    """What clients saw, all together."""

    count: int = 0
    failed: int = 0
    mixed: int = 0
    longest_s: float = 0.0
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def note(self, took_s: float, versions: set[float] | None) -> None:
        """One answer, of `versions`; None is a failure."""
        with self.lock:
            self.count += 1
            self.failed += versions is None
            self.mixed += versions is not None and len(versions) > 1
            self.longest_s = max(self.longest_s, took_s)


@contextlib.contextmanager
def _asking(asked: _Asked, url: str, address: str) -> Iterator[None]:
    """Eight clients ask until the block ends."""
    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(2 * _CLIENTS) as pool:
        running = [pool.submit(_rest, asked, url, done) for _ in range(_CLIENTS)]
        running += [pool.submit(_grpc, asked, address, done) for _ in range(_CLIENTS)]
        try:
            yield
        finally:
            done.set()
    for one in running:
        one.result()


def _rest(asked: _Asked, url: str, done: threading.Event) -> None:
    body = {"instances": [0.0] * _ROWS}
    with httpx.Client(base_url=url, timeout=_PATIENCE_S) as client:

        def ask() -> set[float]:
            answer = client.post("/v1/models/m:predict", json=body)
            return set(answer.raise_for_status().json()["predictions"])

        _ask_on(asked, ask, done)


def _grpc(asked: _Asked, address: str, done: threading.Event) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(_ROWS, np.float32)))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def ask() -> set[float]:
            answer = stub.Predict(request, timeout=_PATIENCE_S)
            found = set(tf.make_ndarray(answer.outputs["y"]).tolist())
            return found | {float(answer.model_spec.version.value)}

        _ask_on(asked, ask, done)


def _ask_on(
    asked: _Asked, ask: Callable[[], set[float]], done: threading.Event
) -> None:
    while not done.wait(0.002):
        begin, found = time.perf_counter(), None
        with contextlib.suppress(httpx.HTTPError, grpc.RpcError):
            found = ask()
        asked.note(time.perf_counter() - begin, found)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
