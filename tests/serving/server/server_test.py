"""The running server: versions that come and go, and starts that fail."""

import contextlib
import http.server
import os
import shutil
import socket
import threading
import time

import httpx
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.client.client import Client, ClientError
from serving.models.servable import WARMUP_FILE, LoadError, load
from serving.options import ServerOptions
from serving.server.server import (
    ANY_PORT,
    ServeError,
    _bind,
    _listen,
    serve,
    serve_in_thread,
)
from serving.store.versions import ModelVersions, find_versions

PATIENCE_S = 60


def until(condition):
    """Waits for what the server's own polling brings about."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "the server did not follow its directory"
        time.sleep(0.02)


def states(client) -> dict[str, str]:
    return {s["version"]: s["state"] for s in client.status()}


def answer(client, version="") -> float:
    url = f"{client.base_url}/v1/models/half{version}:predict"
    response = client.post(url, json={"inputs": [1.0]})
    return (
        response.json()["outputs"][0]
        if response.status_code == 200
        else response.status_code
    )


def test_hot_swap_and_back_without_a_failing_request(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path / "half" / "1", bias=2.0)
    with (
        serve_in_thread(str(tmp_path), poll_s=0.05) as url,
        Client(url, "half") as client,
    ):
        http = httpx.Client(base_url=url)
        assert answer(http) == 2.5
        save_half_plus_two(tmp_path / "new", bias=10.0)
        os.rename(tmp_path / "new", tmp_path / "half" / "2")
        seen = set()
        until(lambda: seen.add(answer(http)) or states(client).get("2") == "AVAILABLE")
        assert seen <= {2.5, 10.5}  # never an error
        assert answer(http) == 10.5
        assert answer(http, "/versions/2") == 10.5
        until(lambda: states(client) == {"2": "AVAILABLE", "1": "END"})
        assert answer(http, "/versions/1") == 404
        shutil.rmtree(tmp_path / "half" / "2")  # the one before comes back
        until(lambda: states(client) == {"2": "END", "1": "AVAILABLE"})
        assert answer(http) == 2.5


def test_a_broken_version_leaves_the_old_one_serving(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path / "1")
    versions = ModelVersions(str(tmp_path))
    versions.refresh()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"no model")
    versions.refresh()
    assert versions.servable(None)[0] == 1
    broken, old = versions.statuses()
    assert (broken.version, broken.state, old.state) == (2, "END", "AVAILABLE")
    assert "is no SavedModel" in broken.error


def test_a_copy_that_is_not_finished_is_waited_for(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path / "1")
    (tmp_path / "2").mkdir()  # TFX's Pusher writes saved_model.pb last
    versions = ModelVersions(str(tmp_path))
    for _ in range(10):  # more looks than a broken version gets tries
        versions.refresh()
    assert versions.servable(None)[0] == 1
    waiting, old = versions.statuses()
    assert (waiting.version, waiting.state, old.state) == (2, "START", "AVAILABLE")
    assert waiting.error.endswith("/2: saved_model.pb is not there (yet).")
    save_half_plus_two(tmp_path / "2")
    versions.refresh()
    assert versions.servable(None)[0] == 2


def break_version(path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "saved_model.pb").write_bytes(b"no model")


def test_a_broken_version_is_tried_again_when_its_files_change(
    tmp_path, save_half_plus_two, caplog
):
    save_half_plus_two(tmp_path / "1")
    break_version(tmp_path / "2")
    versions = ModelVersions(str(tmp_path))
    for _ in range(3):
        versions.refresh()
    assert caplog.text.count("version 2 is not served") == 1  # not at every look
    shutil.rmtree(tmp_path / "2")
    save_half_plus_two(tmp_path / "2")
    versions.refresh()
    assert versions.servable(None)[0] == 2
    assert [(s.state, s.error) for s in versions.statuses()] == [
        ("AVAILABLE", ""),
        ("END", ""),
    ]


def test_of_versions_from_before_the_start_the_newest_that_loads_is_served(
    tmp_path, save_half_plus_two
):
    save_half_plus_two(tmp_path / "half" / "1", bias=1.0)
    save_half_plus_two(tmp_path / "half" / "2", bias=2.0)
    break_version(tmp_path / "half" / "3")
    break_version(tmp_path / "half" / "4")
    with (
        serve_in_thread(str(tmp_path), poll_s=0.05) as url,
        Client(url, "half") as client,
    ):
        http = httpx.Client(base_url=url)
        assert answer(http) == 2.5
        told = client.status()
        assert [(s["version"], s["state"]) for s in told] == [
            ("4", "END"),
            ("3", "END"),
            ("2", "AVAILABLE"),
        ]
        for broken in told[:2]:
            assert broken["status"]["error_code"] == "UNKNOWN"
            assert "is no SavedModel" in broken["status"]["error_message"]
        save_half_plus_two(tmp_path / "new", bias=10.0)
        os.rename(tmp_path / "new", tmp_path / "half" / "5")
        until(lambda: answer(http) == 10.5)
        assert states(client) == {"5": "AVAILABLE", "4": "END", "3": "END", "2": "END"}


def test_if_the_served_version_goes_the_newest_lower_one_that_loads_takes_over(
    tmp_path, save_half_plus_two
):
    save_half_plus_two(tmp_path / "1")
    break_version(tmp_path / "2")
    save_half_plus_two(tmp_path / "3")
    versions = ModelVersions(str(tmp_path))
    versions.refresh()
    assert versions.servable(None)[0] == 3
    shutil.rmtree(tmp_path / "3")
    versions.refresh()
    assert versions.servable(None)[0] == 1
    shutil.rmtree(tmp_path / "1")
    versions.refresh()
    assert versions.servable(None)[0] == 1  # nothing else loads


def test_a_version_that_was_removed_and_pushed_again_is_tried_at_once(
    tmp_path, save_half_plus_two
):
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"no model")
    versions = ModelVersions(str(tmp_path))
    versions.refresh()
    shutil.rmtree(tmp_path / "2")
    versions.refresh()
    save_half_plus_two(tmp_path / "2")
    versions.refresh()
    assert versions.servable(None)[0] == 2


def test_a_version_whose_warmup_fails_is_not_served(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path / "1")
    extra = tmp_path / "1" / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        writer.write(b"")  # a log of no kind
    versions = ModelVersions(str(tmp_path))
    versions.refresh()
    assert versions.servable(None) is None
    assert "replayed are predict_log, classify_log" in versions.statuses()[0].error


def tensor_without_type() -> bytes:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["x"].tensor_content = b"1"
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xff", "record 0 is no PredictionLog"),
        (tensor_without_type(), "cannot be loaded: TypeError: "),
    ],
)
def test_a_warmup_record_of_garbage_is_told(
    tmp_path, save_half_plus_two, record, message
):
    save_half_plus_two(tmp_path / "half" / "1")
    path = tmp_path / "half" / "1" / WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)
    with pytest.raises(LoadError, match=message):
        load(str(tmp_path / "half" / "1"))
    with pytest.raises(ServeError, match=f"'half' cannot be served: .*{message}"):
        serve(str(tmp_path), ANY_PORT)


def test_a_broken_graph_is_told_with_its_directory(tmp_path, save_half_plus_two):
    save_half_plus_two(tmp_path)
    file = tmp_path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    # The graph calls a function that is not in the library any more.
    del saved_model.meta_graphs[0].graph_def.library.function[:]
    file.write_bytes(saved_model.SerializeToString())
    with pytest.raises(LoadError, match=f"{tmp_path}: cannot be loaded: .*function"):
        load(str(tmp_path))


def test_an_empty_directory_unloads_and_a_vanished_one_does_not(
    tmp_path, save_half_plus_two
):
    path = tmp_path / "half"
    save_half_plus_two(path / "1")
    versions = ModelVersions(str(path))
    versions.refresh()
    os.rename(path, tmp_path / "away")
    versions.refresh()
    assert versions.servable(1) is not None
    path.mkdir()
    versions.refresh()
    assert versions.servable(1) is None
    assert [s.state for s in versions.statuses()] == ["END"]


def test_only_whole_numbers_are_versions(tmp_path):
    for name in ("00000042", "7", "-1", "1.tmp", ".3-abc.tmp", "x", "\u0663"):
        (tmp_path / name).mkdir()
    (tmp_path / "9").write_text("a file")
    found = find_versions(str(tmp_path))
    assert found == {42: str(tmp_path / "00000042"), 7: str(tmp_path / "7")}


def test_no_model_says_what_to_run(tmp_path):
    with pytest.raises(ServeError, match=r"no model here.*trailrank pipeline run"):
        serve(str(tmp_path), ANY_PORT)


def test_a_model_that_cannot_load_ends_the_start(tmp_path):
    (tmp_path / "half" / "1").mkdir(parents=True)
    (tmp_path / "half" / "1" / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(
        ServeError, match=r"'half' cannot be served: .*is no SavedModel"
    ):
        serve(str(tmp_path), ANY_PORT)


def test_an_unfinished_copy_is_no_model_yet(tmp_path):
    (tmp_path / "half" / "1").mkdir(parents=True)
    with pytest.raises(ServeError, match=r"no model here.*/half/1 has none \(yet\)"):
        serve(str(tmp_path), ANY_PORT)


def test_a_taken_port_says_so(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} .*another --port"):
            serve(str(tmp_path), ServerOptions(rest_port=port))


def test_of_two_servers_that_load_at_once_the_second_to_listen_is_told():
    with contextlib.closing(_bind("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with contextlib.closing(_bind("127.0.0.1", port)) as second:
            _listen(first)
            with pytest.raises(ServeError, match=f"port {port} .*another --port"):
                _listen(second)


def test_http_details(model_url):
    with httpx.Client(base_url=model_url) as client:
        found = client.get("/v1/models/tiny")
        assert found.headers["content-type"] == "application/json"
        assert int(found.headers["content-length"]) == len(found.content)
        assert "content-encoding" not in found.headers
        head = client.head("/v1/models/tiny")
        assert (head.status_code, head.content) == (400, b"")
        refused = client.post("/v1/models/tiny:predict?k=v", content=b"{}")
        assert "Malformed request" in refused.json()["error"]
        body = (part for part in (b'{"instances"', b": 1}"))  # chunked, no length
        chunked = client.post("/v1/models/tiny:predict", content=body)
        assert chunked.status_code == 400
        assert "list" in chunked.json()["error"]


def test_answers_do_not_wait_for_delayed_acknowledgements(model_url):
    with httpx.Client(base_url=model_url) as client:
        client.get("/v1/models/tiny")
        times = []
        for _ in range(10):
            begin = time.perf_counter()
            client.get("/v1/models/tiny")
            times.append(time.perf_counter() - begin)
    assert min(times) < 0.03  # without TCP_NODELAY each takes 40 ms


def test_client_errors(model_url):
    with Client(model_url, "none") as client, pytest.raises(ClientError) as refused:
        client.status()
    assert refused.value.status == 404
    assert "Could not find any versions of model none" in str(refused.value)
    with (
        Client("http://127.0.0.1:1", "tiny") as client,
        pytest.raises(ClientError) as away,
    ):
        client.metadata()
    assert away.value.status is None
    assert "http://127.0.0.1:1: no answer" in str(away.value)
    assert "trailrank serve" in str(away.value)


@pytest.mark.parametrize("text", [b"<html>hello</html>", b"[1]", b'{"outputs": 1}'])
def test_another_program_at_the_url_is_told(text):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        with Client(url, "tiny") as client, pytest.raises(ClientError) as error:
            client.status()
        other.shutdown()
    assert str(error.value).startswith(f"{url}/v1/models/tiny: the answer is not")
