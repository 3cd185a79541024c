"""A shadow and a canary behind real HTTP and gRPC: what clients get, what is logged."""

import contextlib
import json
import os
import threading

import grpc
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.options import ServerOptions, TrialOptions
from serving.server.sample_log import files_of
from serving.server.sampling import place_of, pseudonym_of
from serving.server.server import Server
from serving.store.store_options import LATEST, StoreOptions, specific
from tests.serving.http_service import until
from tests.serving.toy_models import save_scorer, save_waiting

METRICS = "/metrics"
X = [0.5, 3.0, 2.0]


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    """1 serves; 2 turns the order around; 3 fails; 4 wants more; 5 waits for a pipe."""
    models = tmp_path_factory.mktemp("scorers")
    save_scorer(models / "m" / "1", 1.0)
    save_scorer(models / "m" / "2", -1.0)
    save_scorer(models / "m" / "3", 1.0, refuses=True)
    save_scorer(models / "m" / "4", 1.0, more="y")
    os.mkfifo(models / "pipe")
    save_waiting(models / "m" / "5", models / "pipe")
    return models


@contextlib.contextmanager
def serving(models, policy=None, **trial):
    """A server of version 1, and what is on trial beside; `share` is 1."""
    if trial.get("share") is None and not {"shadow_share", "canary_share"} & set(trial):
        trial["share"] = 1.0
    options = ServerOptions(
        rest_port=0,
        grpc_port=0,
        monitoring_path=METRICS,
        trial=TrialOptions(**trial) if len(trial) > 1 else None,
    )
    store = StoreOptions(
        models_dir=str(models), policy=policy or specific([1]), poll_s=0.01
    )
    with Server(store, options) as server:
        yield server


def body(user=7, top_k=0) -> dict:
    return {"user_id": [user], "video_id": [10, 11, 12], "x": X, "top_k": top_k}


def post(server, inputs, where="", **headers) -> httpx.Response:
    text = json.dumps({"signature_name": "rank", "inputs": inputs})
    url = f"{server.url}/v1/models/m{where}:predict"
    return httpx.post(url, content=text, headers=headers, verify=False)


def predict(server, inputs, request_id=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "m", "rank"
    kinds = {"x": np.float32, "top_k": np.int32}
    for name, value in inputs.items():
        array = np.array(value, kinds.get(name, np.int64))
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, metadata=(("x-request-id", request_id),))


def counts(server) -> dict[str, float]:
    lines = httpx.get(server.url + METRICS, verify=False).text.splitlines()
    ours = [line.rpartition(" ") for line in lines if line.startswith(":trailrank")]
    return {name.removeprefix(":trailrank:serving:"): float(v) for name, _, v in ours}


def rows(log) -> list[dict]:
    return [row for file in files_of(log) for row in pq.read_table(file).to_pylist()]


# --- a shadow -------------------------------------------------------------------------


def test_answers_are_the_same_with_a_shadow_and_rows_are_exact(scorers, tmp_path):
    with serving(scorers) as server:
        plain = [post(server, body()).content, post(server, body(top_k=2)).content]
        plain_grpc = predict(server, body()).SerializeToString(deterministic=True)
    with serving(scorers, shadow="2", shadow_log=str(tmp_path)) as server:
        found = post(server, body(), **{"x-request-id": "first"}).content
        assert [found, post(server, body(top_k=2)).content] == plain
        over_grpc = predict(server, body(), "third")
        assert over_grpc.SerializeToString(deterministic=True) == plain_grpc
        assert counts(server)['sampled_count{arm="shadow",model_name="m"}'] == 3
    first, second, third = rows(tmp_path)
    assert first.pop("time_ms") <= second["time_ms"] <= third["time_ms"]
    assert first.pop("took_ms") > 0 and first.pop("shadow_took_ms") > 0
    assert first == {
        "request_id": "first",
        "arm": "shadow",
        "model": "m",
        "signature": "rank",
        "api": "REST",
        "user": pseudonym_of("7", 0),
        "items": ["10", "11", "12"],
        "version": 1,
        "order": [1, 2, 0],
        "canary_error": None,
        "shadow_version": 2,
        "shadow_order": [0, 2, 1],
        "shadow_error": None,
        "input.user_id": [7],
        "input.video_id": [10, 11, 12],
        "input.x": X,
        "input.top_k": 0,
        "served.log_score": X,
        "served.like": [1.5, 4.0, 3.0],
        "served.positions": [0, 1, 2],
        "shadow.log_score": [-0.5, -3.0, -2.0],
        "shadow.like": [-0.5, 2.0, 1.0],
        "shadow.positions": [0, 1, 2],
    }
    assert (third["request_id"], third["api"]) == ("third", "gRPC")
    # Two were wanted; the shadow has scored them all.
    assert (second["order"], second["served.log_score"]) == ([1, 2], [3.0, 2.0])
    assert second["shadow_order"] == [0, 2, 1]
    assert len(second["request_id"]) == 32  # of its content


def test_features_can_be_left_out(scorers, tmp_path):
    trial = {"shadow": "2", "shadow_log": str(tmp_path), "shadow_log_features": False}
    with serving(scorers, **trial) as server:
        post(server, body())
    (row,) = rows(tmp_path)
    assert [name for name in row if name.startswith("input.")] == []
    assert row["items"] == ["10", "11", "12"]


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("3", "out of order"),
        ("4", "Missing: ['y']"),
        ("9", "Servable not found for request: Specific(m, 9)"),
        ("gone", "Unrecognized servable version label: gone"),
    ],
)
def test_a_broken_shadow_fails_nobody(scorers, tmp_path, version, told):
    with serving(scorers, shadow=version, shadow_log=str(tmp_path)) as server:
        answers = [post(server, body(user)) for user in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert answers[0].json()["outputs"]["like"] == [1.5, 4.0, 3.0]
        until(lambda: counts(server)['trial_failed_count{trial="shadow"}'] == 5)
    found = rows(tmp_path)
    assert len(found) == 5
    for row in found:
        assert told in row["shadow_error"]
        assert row["shadow_order"] is None and row["order"] == [1, 2, 0]


def test_a_shadow_that_hangs_holds_nobody_up_and_the_queue_is_bounded(
    scorers, tmp_path
):
    trial = {"shadow": "5", "shadow_log": str(tmp_path), "shadow_queue": 2}
    with serving(scorers, **trial) as server:
        depth = "sample_queue_depth"
        sampled = 'sampled_count{arm="shadow",model_name="m"}'
        assert post(server, body(0)).status_code == 200
        until(lambda: counts(server)[depth] == 0 and counts(server)[sampled] == 1)
        for user in range(1, 10):
            assert post(server, body(user)).status_code == 200
        found = counts(server)
        assert found[sampled] == 10
        assert found[depth] == 2
        # One hangs in the model; what found no room was dropped.
        assert found['sample_dropped_count{reason="queue_full"}'] == 7

        def is_let_go():
            with contextlib.suppress(OSError):  # nobody reads at the moment
                os.close(os.open(scorers / "pipe", os.O_WRONLY | os.O_NONBLOCK))
            now = counts(server)
            scored = now.get('shadow_latency_count{model_name="m"}', 0)
            return scored + now.get('trial_failed_count{trial="shadow"}', 0) == 3

        until(is_let_go)
    assert [row["input.user_id"] for row in rows(tmp_path)] == [[0], [1], [2]]


def test_a_share_is_of_the_requests_by_their_ids(scorers, tmp_path):
    trial = {"shadow": "2", "share": 0.3, "trial_seed": 5, "shadow_log": str(tmp_path)}
    ids = [str(number) for number in range(40)]
    with serving(scorers, **trial, shadow_queue=100) as server:
        for one in ids:
            post(server, body(), **{"x-request-id": one})
    drawn = [one for one in ids if place_of(one, 5, "shadow") < 0.3]
    assert [row["request_id"] for row in rows(tmp_path)] == drawn
    assert 0 < len(drawn) < 40


def test_files_are_there_while_the_server_runs(scorers, tmp_path):
    trial = {"shadow": "2", "shadow_log": str(tmp_path), "shadow_log_roll_s": 0.01}
    with serving(scorers, **trial) as server:
        post(server, body())
        until(lambda: len(rows(tmp_path)) == 1)
        until(lambda: counts(server)["sample_log_bytes"] > 0)


def test_a_shadow_follows_its_label_while_clients_ask(tmp_path, put_version):
    """The version on trial is that of the label at the time; each answer is 1's."""
    for number in ("1", "2", "3"):
        put_version(tmp_path / "m" / number)
    config, log = tmp_path / "models.config", tmp_path / "log"

    def name(version):
        text = (
            f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/m" '
            'model_platform: "tensorflow" model_version_policy { specific { '
            f'versions: 1 versions: {version} }} }} version_labels {{ key: "canary" '
            f"value: {version} }} }} }}"
        )
        config.with_suffix(".tmp").write_text(text)
        os.replace(config.with_suffix(".tmp"), config)

    name(2)
    trial = TrialOptions(shadow="canary", share=1.0, shadow_log=str(log))
    store = StoreOptions(
        model_config_file=str(config),
        poll_s=0.01,
        config_poll_s=0.01,
        allow_early_labels=True,
    )
    with Server(
        store, ServerOptions(rest_port=0, grpc_port=None, trial=trial)
    ) as server:
        url = f"{server.url}/v1/models/m"

        def ask(where=""):
            return httpx.post(f"{url}{where}:predict", json={"instances": [0.0]}).json()

        assert ask() == {"predictions": [1.0]}
        # Both are loaded before the label moves.
        text = config.read_text().replace("versions: 2", "versions: 2 versions: 3")
        config.write_text(text)
        until(lambda: ask("/versions/3") == {"predictions": [3.0]})
        name(3)
        until(lambda: ask("/labels/canary") == {"predictions": [3.0]})
        assert ask() == {"predictions": [1.0]}
    answered = [row for row in rows(log) if row["version"] == 1]
    assert (answered[0]["shadow_version"], answered[-1]["shadow_version"]) == (2, 3)
    assert answered[0]["shadow.y"] == [2.0] and answered[-1]["shadow.y"] == [3.0]
    # Asked for itself, it answers; there is nothing to compare.
    assert [row for row in rows(log) if row["version"] == row["shadow_version"]] == []


# --- a canary -------------------------------------------------------------------------


def test_users_keep_to_the_canary_or_to_what_is_served(scorers, tmp_path):
    trial = {"canary": "2", "share": 0.4, "shadow_log": str(tmp_path)}
    places = {user: place_of(str(user), 0, "canary") for user in range(12)}
    canaries = {user for user, place in places.items() if place < 0.4}
    controls = {user for user, place in places.items() if 0.4 <= place < 0.8}
    assert canaries and controls and len(canaries | controls) < 12
    with serving(scorers, **trial) as server:
        for top_k in (0, 1):
            for user in range(12):
                answer = post(server, body(user, top_k)).json()["outputs"]
                slope = -1.0 if user in canaries else 1.0
                best = max(slope * x for x in X)
                assert max(answer["log_score"]) == best
        over_grpc = [
            predict(server, body(user)).model_spec.version.value for user in (0, 1)
        ]
        assert over_grpc == [2 if user in canaries else 1 for user in (0, 1)]
        # Who asks for a version, gets it.
        (user, *_) = canaries
        asked = post(server, body(user), "/versions/1").json()["outputs"]
        assert asked["log_score"] == X
        found = counts(server)['canary_answered_count{model_name="m"}']
        assert found == 2 * len(canaries) + over_grpc.count(2)
    arms = {
        (row["arm"], row["version"], row["input.user_id"][0]) for row in rows(tmp_path)
    }
    assert arms == {("canary", 2, user) for user in canaries} | {
        ("control", 1, user) for user in controls
    }


@pytest.mark.parametrize("version", ["3", "4", "9"])
def test_a_canary_that_fails_is_answered_for(scorers, tmp_path, version):
    trial = {"canary": version, "shadow_log": str(tmp_path)}
    with serving(scorers, **trial) as server:
        answer = post(server, body())
        assert answer.status_code == 200
        assert answer.json()["outputs"]["log_score"] == X
        # What the served version refuses, too, is the client's fault.
        assert post(server, {"user_id": [1]}).status_code == 400
        assert counts(server)['trial_failed_count{trial="canary"}'] == 1
    (row,) = rows(tmp_path)
    assert (row["arm"], row["version"]) == ("canary", 1)
    assert row["canary_error"]


def test_a_canary_needs_no_log(scorers):
    with serving(scorers, canary="2") as server:
        assert post(server, body()).json()["outputs"]["like"] == [-0.5, 2.0, 1.0]


# --- which version serves -------------------------------------------------------------


def test_the_newest_is_not_the_one_on_trial(tmp_path, put_version):
    models, log = tmp_path / "models", tmp_path / "log"
    for number in ("1", "2"):
        put_version(models / "m" / number)
    trial = {"shadow": "2", "shadow_log": str(log)}
    with serving(models, LATEST, **trial) as server:

        def ask():
            url = f"{server.url}/v1/models/m:predict"
            return httpx.post(url, json={"instances": [0.0]}).json()["predictions"]

        assert ask() == [1.0]
        put_version(models / "m" / "3")
        until(lambda: ask() == [3.0])
        states = httpx.get(f"{server.url}/v1/models/m").json()["model_version_status"]
        found = {one["version"]: one["state"] for one in states}
        assert (found["3"], found["2"]) == ("AVAILABLE", "AVAILABLE")
    last = rows(log)[-1]
    assert (last["version"], last["served.y"], last["shadow.y"]) == (3, [3.0], [2.0])


def test_both_versions_are_told_with_their_memory(scorers, tmp_path, caplog):
    caplog.set_level("INFO", "trailrank.serving")
    with serving(scorers, shadow="2", shadow_log=str(tmp_path)):
        pass
    told = [r.getMessage() for r in caplog.records if "shadow:" in r.getMessage()]
    assert told[0].startswith("shadow: version 2 of 'm' with a share of 1, beside 1; ")
    assert "both are in memory (files of" in told[0]


def test_a_log_has_one_server(scorers, tmp_path):
    from feature_specs.locks import LockedError

    trial = {"shadow": "2", "shadow_log": str(tmp_path)}
    told = []

    def second():
        try:
            with serving(scorers, **trial):
                pass
        except LockedError as error:
            told.append(str(error))

    with serving(scorers, **trial):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert "another command" in told[0].lower() or str(os.getpid()) in told[0]
