"""One client, four ways: REST and gRPC, threads and coroutines; all answer alike."""

import asyncio
import concurrent.futures
import math
import subprocess
import sys

import numpy as np
import pytest

from feature_specs.errors import UsageError
from serving.client.client import AsyncClient, Client, ClientError, Scores, _scores
from serving.client.retries import Retries
from serving.export.requests import RequestError
from serving.options import ServerOptions
from serving.server.server import Server
from serving.store.store_options import ALL, StoreOptions

NAN = float("nan")


@pytest.fixture(scope="module")
def server(tmp_path_factory, save_half_plus_two, models_dir):
    models = tmp_path_factory.mktemp("models")
    save_half_plus_two(models / "half" / "1")
    save_half_plus_two(models / "half" / "2", bias=3.0)
    (models / "tiny").symlink_to(models_dir / "tiny")
    options = StoreOptions(
        models_dir=str(models),
        policy=ALL,
        labels={"stable": 1, "lost": 7},
        allow_early_labels=True,
    )
    with Server(options, ServerOptions(rest_port=0, grpc_port=0)) as found:
        yield found


def _urls(server) -> dict[str, str]:
    return {"rest": server.url, "grpc": f"grpc://{server.grpc_address}"}


@pytest.fixture(params=["rest", "grpc", "rest, async", "grpc, async"])
def ask(request, server):
    """(method, its arguments, the model, the client's options) -> the answer."""
    api, _, kind = request.param.partition(", ")
    url = _urls(server)[api]

    def once(method, model="half", options=None, **arguments):
        with Client(url, model, **(options or {})) as client:
            return getattr(client, method)(**arguments)

    async def once_async(method, model="half", options=None, **arguments):
        async with AsyncClient(url, model, **(options or {})) as client:
            return await getattr(client, method)(**arguments)

    if not kind:
        return once
    return lambda *given, **named: asyncio.run(once_async(*given, **named))


def _refused(ask, *given, **named) -> ClientError:
    with pytest.raises(ClientError) as refused:
        ask(*given, **named)
    return refused.value


# y = x / 2 + 3, version 2 being the newest
@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ({"inputs": {"x": [1.0, 2]}}, [3.5, 4.0]),
        ({"inputs": [1, 2]}, [3.5, 4.0]),
        ({"inputs": np.array([1.0, 2.0])}, [3.5, 4.0]),
        ({"inputs": np.array([1, 2], np.int16)}, [3.5, 4.0]),
        ({"inputs": {"x": 4.0}}, 5.0),  # a scalar
        ({"inputs": np.array([[0.0, 2.0]])[:, ::-1]}, [[4.0, 3.0]]),  # with strides
        ({"instances": [1.0, 2.0]}, [3.5, 4.0]),
        ({"instances": [{"x": 1.0}, {"x": np.float32(2)}]}, [3.5, 4.0]),
        ({"inputs": [math.inf, -math.inf]}, [math.inf, -math.inf]),
    ],
)
def test_values_with_and_without_names(ask, arguments, answer):
    assert ask("predict", **arguments) == answer


def test_not_a_number_goes_both_ways(ask):
    first, second = ask("predict", inputs={"x": [NAN, 2.0]})
    assert math.isnan(first) and second == 4.0


def test_outputs_of_several_types(ask):
    big = 2**62 + 1  # no float64
    columns = ask(
        "predict",
        signature_name="mixed",
        inputs={"count": [1, big], "text": ["a", "né"]},
    )
    assert columns == {
        "twice": [2, 2 * big - 2**64],
        "text": ["a", "né"],
        "raw_bytes": [b"a", "né".encode()],
    }
    rows = ask(
        "predict",
        signature_name="mixed",
        instances=[{"count": 1, "text": b"a"}, {"count": 2, "text": "null"}],
    )
    assert rows == [
        {"twice": 2, "text": "a", "raw_bytes": b"a"},
        {"twice": 4, "text": "null", "raw_bytes": b"null"},
    ]


def test_flags_and_no_values_at_all(ask):
    assert ask("predict", signature_name="inverted", inputs=[True]) == [False]
    assert ask("predict", signature_name="total", inputs={"n": []}) == 0


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("serving_default", {"inputs": {"x": ["1"]}}),
        ("serving_default", {"inputs": {"x": [True]}}),
        ("serving_default", {"inputs": {"x": [None]}}),
        ("serving_default", {"inputs": {"x": [[1.0], [1.0, 2.0]]}}),
        ("serving_default", {"inputs": {"y": [1.0]}}),
        ("serving_default", {"instances": []}),
        ("serving_default", {"instances": [{"x": 1.0}, {"y": 1.0}]}),
        ("total", {"inputs": [1.0]}),
        ("total", {"inputs": [2**31]}),
        ("total", {"instances": [1]}),  # the sum has no row an instance
        ("inverted", {"inputs": [1]}),
        ("mixed", {"inputs": [1]}),
        ("mixed", {"inputs": {"count": [1], "text": [1]}}),
        ("none", {"inputs": [1.0]}),
    ],
)
def test_what_the_model_cannot_take_is_a_400(ask, signature, arguments):
    error = _refused(ask, "predict", signature_name=signature, **arguments)
    assert error.status == 400
    assert not error.may_pass


def test_whoever_gives_no_values_or_two_kinds_is_told(ask):
    for arguments in ({}, {"inputs": [1.0], "instances": [1.0]}):
        with pytest.raises(RequestError, match="give inputs or instances"):
            ask("predict", **arguments)


def test_versions_and_labels(ask):
    for options, answer in (
        ({"version": 1}, 2.5),
        ({"version": 2}, 3.5),
        ({"label": "stable"}, 2.5),
        ({}, 3.5),
    ):
        assert ask("predict", options=options, inputs=[1.0]) == [answer]
    metadata = ask("metadata", options={"label": "stable"})
    assert metadata["model_spec"]["version"] == "1"
    (status,) = ask("status", options={"version": 1})
    assert status["version"] == "1"
    assert len(ask("status", options={"label": "stable"})) == 2


def test_what_is_not_there_is_told(ask):
    for options, status in (({"version": 3}, 404), ({"label": "none"}, 400)):
        error = _refused(ask, "predict", options=options, inputs=[1.0])
        assert error.status == status
    missing = _refused(ask, "status", model="none")
    assert missing.status == 404
    assert "Could not find any versions of model none" in str(missing)
    assert _refused(ask, "metadata", model="none/../half").status == 404
    with pytest.raises(UsageError, match="version or label, not both"):
        ask("status", options={"version": 1, "label": "stable"})


def test_status(ask):
    ok = {"error_code": "OK", "error_message": ""}
    assert ask("status") == [
        {"version": version, "state": "AVAILABLE", "status": ok}
        for version in ("2", "1")
    ]


def test_metadata_is_that_of_the_contract(ask):
    metadata = ask("metadata")
    assert metadata["model_spec"] == {
        "name": "half",
        "signature_name": "",
        "version": "2",
    }
    found = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert found["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }
    assert found["method_name"] == "tensorflow/serving/predict"


REQUEST = {"user_id": 1, "history_video_id": [10, 12]}
CANDIDATES = [
    {"video_id": 10, "kind": "a", "seconds": 7.0},
    {"video_id": 13},
    {"video_id": 12, "kind": "b", "title": "A cat"},
    {"video_id": 13},
]


def test_rank(ask, spec, server):
    weights = {"watched": 2.0}
    found = ask(
        "rank", model=spec, request=REQUEST, candidates=CANDIDATES, weights=weights
    )
    with Client(server.url, spec) as client:
        same = client.rank(REQUEST, CANDIDATES, weights)
        other = client.rank(REQUEST, CANDIDATES)
    assert set(found) == {"score", "log_score", "long_view", "watched"}
    for name in found:
        np.testing.assert_allclose(found[name], same[name], rtol=1e-6)
    assert not np.allclose(found["log_score"], other["log_score"])
    assert found.positions == (0, 1, 2, 3)
    # numpy sorts upwards; the last two of the like come in their order
    expected = np.argsort(-np.array(found["log_score"]), kind="stable")
    assert found.order == tuple(expected)


def test_the_best_are_kept_in_order(ask, spec):
    every = ask("rank", model=spec, request=REQUEST, candidates=CANDIDATES)
    best = ask("rank", model=spec, request=REQUEST, candidates=CANDIDATES, top_k=3)
    assert best.positions == best.order == every.order[:3]
    for name, values in best.items():
        assert values == pytest.approx([every[name][n] for n in best.positions])
    more = ask("rank", model=spec, request=REQUEST, candidates=CANDIDATES, top_k=9)
    assert more.positions == every.order


def test_no_candidates(ask, spec):
    found = ask("rank", model=spec, request=REQUEST, candidates=[], top_k=3)
    assert found == {"score": [], "log_score": [], "long_view": [], "watched": []}
    assert found.positions == found.order == ()


def test_what_rank_needs(ask, spec):
    given = {"request": REQUEST, "candidates": CANDIDATES}
    with pytest.raises(RequestError, match="top_k must be at least 1. Got 0"):
        ask("rank", model=spec, top_k=0, **given)
    with pytest.raises(RequestError, match=r"rank needs the model's spec"):
        ask("rank", model="tiny", **given)


def test_scores_order_by_the_log_and_compare_as_mappings():
    outputs = {"score": [0.0, 0.0, 0.0], "log_score": [-900.0, -800.0, -900.0]}
    scores = Scores(outputs, (0, 1, 2))
    assert scores == outputs
    assert scores.order == (1, 0, 2)
    assert scores.best(2) == {"score": [0.0, 0.0], "log_score": [-800.0, -900.0]}
    assert Scores({"score": [1.0, 2.0]}, (0, 1)).order == (1, 0)


def test_one_client_serves_many_threads(server):
    for url in _urls(server).values():
        with (
            Client(url, "half") as client,
            concurrent.futures.ThreadPoolExecutor(8) as pool,
        ):
            answers = pool.map(lambda x: client.predict(inputs=[x]), range(40))
            assert list(answers) == [[x / 2 + 3] for x in range(40)]


def test_one_client_serves_many_coroutines(server):
    async def ask_all(url):
        async with AsyncClient(url, "half") as client:
            asked = [client.predict(inputs=[x]) for x in range(40)]
            return await asyncio.gather(*asked)

    for url in _urls(server).values():
        assert asyncio.run(ask_all(url)) == [[x / 2 + 3] for x in range(40)]


def test_a_server_without_gRPC_is_told():
    no_retries = Retries(tries=1)
    with (
        Client("grpc://127.0.0.1:1", "tiny", retries=no_retries) as client,
        pytest.raises(ClientError, match="grpc://127.0.0.1:1: no answer") as away,
    ):
        client.status()
    assert away.value.status is None
    assert away.value.may_pass


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["127.0.0.1:8501", "ftp://x", "", "grpcs://x:1"])
def test_other_schemes_are_refused(make, url):
    with pytest.raises(ClientError, match=r"must begin with http://, https:// or gr"):
        make(url, "tiny")


@pytest.mark.parametrize("url", ["grpc://", "grpc://x:y", "grpc://x:1/v1/models"])
def test_what_is_no_gRPC_address_is_refused(url):
    with pytest.raises(ClientError, match=r"grpc://"):
        Client(url, "tiny")


def test_rest_loads_no_tensorflow():
    code = (
        "import sys, trailrank\n"
        "trailrank.Client('http://127.0.0.1:1', 'tiny').close()\n"
        "trailrank.AsyncClient('http://127.0.0.1:1', 'tiny')\n"
        "heavy = {'tensorflow', 'grpc', 'tf_keras', 'tensorflow_serving'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_client_keeps_the_best_of_a_model_without_top_k():
    """One that an earlier release exported sends all, and no positions."""
    answer = {"score": [0.0, 0.0, 1.0], "log_score": [-900.0, -800.0, 0.0]}
    found = _scores(answer, 2)
    assert found.positions == (2, 1)
    assert found == {"score": [1.0, 0.0], "log_score": [0.0, -800.0]}
    assert _scores(answer, None).positions == (0, 1, 2)
