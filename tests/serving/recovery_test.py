"""A server in a process of its own: its threads, its death, and its second start."""

import os
import pathlib
import signal
import socket

import httpx
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.models.servable import WARMUP_FILE
from tests.serving.http_service import until
from tests.serving.toy_models import save_reader

_SERVE = "from trailrank.cli import console_main; console_main()"

_CLIENT = httpx.Client()  # a new one costs as much as what it waits for

# Threads that a process's first session starts, where a server has been asked for.
_THREADS = """
import os, sys
import tensorflow as tf
from serving.options import ServerOptions
from serving.server.server import ServeError, serve
threads = lambda: len(os.listdir("/proc/self/task"))
try:
    serve(sys.argv[1], ServerOptions(tensorflow_intra_op_parallelism=int(sys.argv[2])))
except ServeError:
    before = threads()
    session = tf.compat.v1.Session(graph=tf.Graph())
    print(threads() - before)
"""


@pytest.fixture
def start(forks, tmp_path):
    """Starts `trailrank serve` in a process of its own; gives it and its URL."""
    started = []

    def serve():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        where = ["--models", tmp_path, "--port", port, "--grpc_port", "off"]
        started.append(forks.start(_SERVE, ["serve", *where, "--poll_s", "0.05"]))
        return started[-1], f"http://127.0.0.1:{port}"

    yield serve
    for process in started:
        if process.is_running:
            process.kill(signal.SIGKILL)


def warm(path: pathlib.Path, file: pathlib.Path) -> None:
    """A warmup record that reads a file."""
    (path / WARMUP_FILE).parent.mkdir()
    found = prediction_log_pb2.PredictionLog()
    request = found.predict_log.request
    request.model_spec.signature_name = "read"
    request.inputs["name"].CopyFrom(tf.make_tensor_proto(str(file)))
    with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
        writer.write(found.SerializeToString())


def states(url) -> dict[str, tuple[str, str]]:
    """Version -> state and error; nothing of a server that does not answer."""
    try:
        found = _CLIENT.get(f"{url}/v1/models/m").json()["model_version_status"]
    except httpx.TransportError:
        return {}
    return {s["version"]: (s["state"], s["status"]["error_message"]) for s in found}


def answer(url) -> float:
    found = _CLIENT.post(f"{url}/v1/models/m:predict", json={"inputs": 0.0})
    return found.raise_for_status().json()["outputs"]


def test_a_server_killed_in_a_load_serves_the_last_good_version_again(start, tmp_path):
    models, pipe = tmp_path / "m", tmp_path / "pipe"
    save_reader(models / "1", 1)
    server, url = start()
    until(lambda: states(url) or not server.is_running)
    assert states(url) == {"1": ("AVAILABLE", "")}, server.err
    os.mkfifo(pipe)  # who reads it waits: the load does not end
    save_reader(tmp_path / "new", 2)
    warm(tmp_path / "new", pipe)
    os.rename(tmp_path / "new", models / "2")
    until(lambda: states(url).get("2") == ("LOADING", ""))
    assert answer(url) == 1.0
    server.kill(signal.SIGKILL)
    assert server.end() == -signal.SIGKILL

    pipe.unlink()
    pipe.write_bytes(b"this time there is a file")
    (models / "3" / "variables").mkdir(parents=True)  # half written
    save_reader(models / "4", 4)
    os.truncate(models / "4" / "saved_model.pb", 100)
    save_reader(models / "5", 5)
    warm(models / "5", tmp_path / "none")
    server, url = start()
    until(
        lambda: states(url).get("2", ("",))[0] == "AVAILABLE" or not server.is_running
    )
    assert answer(url) == 2.0
    found = states(url)
    for version, state, why in (
        ("5", "END", "record 0 fails: NotFoundError"),
        ("4", "END", "is no SavedModel"),
        ("3", "START", "saved_model.pb is not there (yet)."),
    ):
        assert found[version][0] == state
        assert f"{models / version}" in found[version][1] and why in found[version][1]
    server.kill(signal.SIGTERM)
    assert server.end() == 0, server.err


def test_so_many_threads_as_are_asked_for_share_a_product(forks, tmp_path):
    one, four = (int(forks.run(_THREADS, [tmp_path, n]).out) for n in (1, 4))
    assert four - one == 3
