"""Versions that come while clients ask over both APIs; through HTTP labels, states."""

import concurrent.futures
import os
import threading
import time

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.models.memory import give_back
from serving.options import ServerOptions
from serving.server.server import Server, serve_in_thread
from serving.store.store_options import ALL, StoreOptions, specific
from tests.serving.toy_models import renumbered, save_tables

PATIENCE_S = 60
ROWS = 8


def until(condition) -> None:
    """Waits for what the store's own thread brings about."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the server did not follow its directory"
        time.sleep(0.01)


def ask(client, where="") -> httpx.Response:
    return client.post(f"/v1/models/m{where}:predict", json={"instances": [0.0] * ROWS})


def answer(client, where="") -> float | int:
    """The number of the version that answers, or the HTTP status of a refusal."""
    response = ask(client, where)
    if response.status_code != 200:
        return response.status_code
    (number,) = set(response.json()["predictions"])
    return number


def states(client) -> dict[str, str]:
    found = client.get("/v1/models/m").json()["model_version_status"]
    return {status["version"]: status["state"] for status in found}


TABLES, TABLE_BYTES = 64, 2**21  # large enough to see a model in a process's memory


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Puts version N of a model of many tables at a path; it answers x + N."""
    saved = tmp_path_factory.mktemp("large") / "1"
    save_tables(saved, TABLES, TABLE_BYTES)

    def put(path) -> None:
        path.parent.mkdir(exist_ok=True)
        renumbered(saved, path.with_suffix(".tmp"), int(path.name))
        os.rename(path.with_suffix(".tmp"), path)

    return put


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_new_versions_while_eight_clients_ask(tmp_path, large):
    large(tmp_path / "m" / "1")
    options = StoreOptions(models_dir=str(tmp_path), poll_s=0.01)
    done, asked_often = threading.Event(), threading.Semaphore(0)

    def note(answers, number) -> None:
        answers.append(number)
        if len(answers) == 20:
            asked_often.release()

    def ask_on(url) -> list[float]:
        """What was answered, of one version each; a failure ends it with an error."""
        answers = []
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            while not done.wait(0.005):  # the server shares these processors
                response = ask(client)
                response.raise_for_status()
                predictions = response.json()["predictions"]
                assert predictions == [predictions[0]] * ROWS
                note(answers, predictions[0])
        return answers

    def ask_on_grpc(address) -> list[float]:
        answers = []
        with grpc.insecure_channel(address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            zeros = tf.make_tensor_proto(np.zeros(ROWS, np.float32))
            request.inputs["x"].CopyFrom(zeros)
            while not done.wait(0.005):  # the server shares these processors
                answer = stub.Predict(request, timeout=PATIENCE_S)
                (number,) = set(tf.make_ndarray(answer.outputs["y"]).tolist())
                assert answer.model_spec.version.value == number
                note(answers, number)
        return answers

    with (
        Server(options, ServerOptions(rest_port=0, grpc_port=0)) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE_S) as client,
        concurrent.futures.ThreadPoolExecutor(8) as clients,
    ):
        asking = [clients.submit(ask_on, server.url) for _ in range(4)]
        asking += [clients.submit(ask_on_grpc, server.grpc_address) for _ in range(4)]
        try:
            for _ in asking:
                assert asked_often.acquire(timeout=PATIENCE_S)
            give_back()  # what other tests have left would hide a growth
            before = resident_bytes()
            for number in range(2, 12):
                large(tmp_path / "m" / str(number))
                until(lambda n=number: states(client).get(str(n)) == "AVAILABLE")
        finally:
            done.set()
        for answers in [one.result() for one in asking]:
            assert answers
            assert set(answers) <= {float(number) for number in range(1, 12)}
            assert answers == sorted(answers)  # never back to an older one
        old = {str(number): "END" for number in range(1, 11)}
        until(lambda: states(client) == {**old, "11": "AVAILABLE"})
        assert answer(client) == 11.0
        assert answer(client, "/versions/10") == 404
        # What was let go is given back, to a tenth of one model.
        until(lambda: resident_bytes() - before < 0.1 * TABLES * TABLE_BYTES)


def test_versions_and_labels_by_url(tmp_path, put_version):
    for number in ("1", "2", "3"):
        put_version(tmp_path / "m" / number)
    options = StoreOptions(
        models_dir=str(tmp_path),
        policy=specific([1, 2]),
        labels={"stable": 1, "next": 3},
        allow_early_labels=True,
    )
    with serve_in_thread(options) as url, httpx.Client(base_url=url) as client:
        assert states(client) == {"2": "AVAILABLE", "1": "AVAILABLE"}
        assert answer(client) == 2.0
        assert answer(client, "/versions/1") == 1.0
        assert answer(client, "/labels/stable") == 1.0
        assert answer(client, "/labels/next") == 404
        unknown = ask(client, "/labels/old")
        assert unknown.status_code == 400
        assert "Unrecognized servable version label" in unknown.json()["error"]
        found = client.get("/v1/models/m/labels/stable/metadata").json()
        assert found["model_spec"]["version"] == "1"


def test_a_configuration_file_is_followed(tmp_path, put_version):
    for number in ("1", "2"):
        put_version(tmp_path / "ranker" / number)
    file = tmp_path / "models.config"

    def write(more):
        model = f'name: "m" base_path: "{tmp_path}/ranker" model_platform: "tensorflow"'
        new = tmp_path / "new.config"
        new.write_text(f"model_config_list {{ config {{ {model} {more} }} }}")
        new.rename(file)

    write("")
    options = StoreOptions(model_config_file=str(file), poll_s=0.01, config_poll_s=0.01)
    with serve_in_thread(options) as url, httpx.Client(base_url=url) as client:
        assert states(client) == {"2": "AVAILABLE"}
        write("model_version_policy { all {} }")
        until(lambda: states(client) == {"2": "AVAILABLE", "1": "AVAILABLE"})
        label = 'version_labels { key: "stable" value: 1 }'
        write(f"model_version_policy {{ all {{}} }} {label}")
        until(lambda: answer(client, "/labels/stable") == 1.0)


def test_a_version_that_cannot_be_loaded_says_why(tmp_path, put_version):
    put_version(tmp_path / "m" / "1")
    put_version(tmp_path / "m" / "2")
    (tmp_path / "m" / "2" / "saved_model.pb").write_bytes(b"no model")
    options = StoreOptions(models_dir=str(tmp_path), policy=ALL)
    with serve_in_thread(options) as url, httpx.Client(base_url=url) as client:
        broken, served = client.get("/v1/models/m").json()["model_version_status"]
        assert served == {
            "version": "1",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        assert (broken["version"], broken["state"]) == ("2", "END")
        assert broken["status"]["error_code"] == "UNKNOWN"
        assert "is no SavedModel" in broken["status"]["error_message"]
        assert answer(client) == 1.0
