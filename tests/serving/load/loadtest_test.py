"""Load on real servers, over REST and gRPC, and every way in which it goes wrong."""

import asyncio
import contextlib
import json
import socket
import time

import numpy as np
import pytest

from feature_specs.errors import UsageError
from serving.client.calls import ClientError, Predict, Target
from serving.load import loadtest_command
from serving.load.arrivals import Traffic, send_when_due
from serving.load.load_requests import LoadRequestError, read_requests
from serving.load.load_targets import load_target
from serving.load.loadtest import (
    LoadOptions,
    LoadReport,
    loadtest,
    measured,
    percentiles_ms,
    server_url,
)
from serving.options import ServerOptions
from serving.server.grpc_server import grpc_serving
from serving.server.service import Service
from tests.serving.http_service import busy, running
from trailrank import cli

_ANY_LAG = 1e9  # ms: what other processes of this machine do is not judged
_HALF = {"inputs": {"x": [1.0, 2.0]}}


@pytest.fixture(scope="module")
def root(write_run, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def bodies(tmp_path):
    path = tmp_path / "bodies.jsonl"
    path.write_text(json.dumps(_HALF) + "\n")
    return path


def options(**changed):
    settings = {"rate": 100, "seconds": 0.3, "most_lag_ms": _ANY_LAG, "timeout_s": 30}
    return LoadOptions(**{**settings, **changed})


def _unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# --- arithmetic -----------------------------------------------------------------------


def test_percentiles_are_values_by_nearest_rank():
    found = percentiles_ms(np.array([0.003, 0.001, 0.002]))
    # ranks: 2 of 3 for p50 (1.5), else 3
    assert found["p50"] == pytest.approx(2)
    assert all(found[name] == pytest.approx(3) for name in ("p90", "p99", "max"))
    thousand = percentiles_ms(np.arange(1000, 0, -1) / 1000)
    expected = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
    assert thousand == pytest.approx({**expected, "max": 1000})
    assert percentiles_ms(np.zeros(0)) == {}


def _step(latency_ms, lag_ms, errors=None, not_sent=0, **limits):
    latency, lag = np.array(latency_ms) / 1000, np.array(lag_ms) / 1000
    errors = errors or {}
    traffic = Traffic(
        due_s=np.zeros(len(latency) + sum(errors.values()) + not_sent),
        lag_s=lag,
        latency_s=latency,
        answered=len(latency),
        not_sent=not_sent,
        errors=errors,
        seconds=2.0,
    )
    return measured(10.0, traffic, LoadOptions(**limits))


def test_a_generator_that_was_late_tells_no_latencies():
    step = _step([10] * 100, [2.5] * 100, p99_ms=1.0)
    assert step.missed == "generator"
    assert step.latency_ms == {} and len(step.latencies_s) == 0
    assert step.lag_ms["p99"] == pytest.approx(2.5)
    # a tenth of 25 ms, and as much as may be
    assert _step([25.1] * 100, [2.5] * 100).missed == ""
    assert _step([10] * 100, [1.9] * 100).missed == ""
    assert _step([10] * 100, [2.5] * 100, most_lag_ms=3).missed == ""
    # one late request of a hundred is not the 99th percentile
    assert _step([10] * 100, [0.1] * 99 + [9]).missed == ""


def test_limits_of_latencies_and_errors():
    step = _step([10] * 95, [0] * 100, errors={"HTTP 503": 3}, not_sent=2)
    assert step.error_share == pytest.approx(5 / 100)
    assert (step.missed, step.throughput) == ("errors", 95 / 2)
    same = {"errors": {"HTTP 503": 3}, "not_sent": 2, "most_errors": 0.05}
    assert _step([10] * 95, [0] * 100, **same).missed == ""
    assert _step([10] * 95, [0] * 100, **same, p99_ms=10).missed == ""
    assert _step([10] * 95, [0] * 100, **same, p99_ms=9.9).missed == "latency"


def test_nothing_answered_keeps_no_limit(bodies, serve_half):
    assert _step([], [], most_errors=1).missed == "errors"
    with pytest.raises(UsageError, match="no request is due within 0.001 s at 1e-06"):
        loadtest(
            requests=bodies,
            server=serve_half().url,
            model="half",
            options=options(rate=1e-6, seconds=0.001),
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 0}, "rate must be positive. Got 0."),
        ({"seconds": float("nan")}, "seconds must be positive"),
        ({"most_errors": 1.5}, "most_errors must be between 0 and 1. Got 1.5."),
        ({"find_knee": True}, "find_knee needs p99_ms"),
    ],
)
def test_options_that_cannot_be(wrong, message):
    with pytest.raises(UsageError, match=message):
        LoadOptions(**wrong)


def test_addresses():
    assert server_url(None, "rest") == "http://127.0.0.1:8501"
    assert server_url(None, "grpc") == "grpc://127.0.0.1:8500"
    assert server_url("feed:80", "grpc") == "grpc://feed:80"
    assert server_url("https://feed/", "rest") == "https://feed"
    with pytest.raises(UsageError, match="must be HOST:PORT"):
        server_url("ftp://feed", "rest")


# --- a run's requests -----------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
@pytest.mark.parametrize("signature", ["rank", "serving_default"])
def test_a_runs_requests_are_answered(root, model_server, protocol, signature):
    address = model_server.grpc_address if protocol == "grpc" else model_server.url
    report = loadtest(
        root,
        server=address,
        protocol=protocol,
        signature=signature,
        candidates=7,
        distinct=5,
        options=options(most=20),
    )
    (step,) = report.steps
    assert (step.due, step.answered, step.errors) == (20, 20, {})
    assert (report.model, report.signature, report.requests) == ("tiny", signature, 5)
    assert 0 < step.latency_ms["p50"] <= step.latency_ms["p99.9"]
    assert step.latency_ms["p99.9"] <= step.latency_ms["max"]


def test_the_command_prints_json_last_and_draws(root, model_server, tmp_path, capsys):
    flags = ["--root", str(root), "--server", model_server.url, "--candidates", "3"]
    flags += ["--rate", "100", "--seconds", "0.2", "--most_lag_ms", "1e9"]
    flags += ["--find_knee", "--p99_ms", "1e9", "--most_rate", "150"]
    out = tmp_path / "out"
    assert cli.main(["trailrank", "loadtest", *flags, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    found = json.loads(told.splitlines()[-1])
    assert found["knee"] == {"rate": 150.0, "missed_at": None, "missed": ""}
    assert [step["rate"] for step in found["steps"]] == [100.0, 150.0]
    assert "Knee: 150 requests/s or more" in told
    assert json.loads((out / "loadtest.json").read_text())["model"] == "tiny"
    picture = (out / "loadtest.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_a_missed_limit_ends_with_3(root, model_server, capsys):
    flags = ["--root", str(root), "--server", model_server.url, "--candidates", "3"]
    flags += ["--rate", "50", "--most", "5", "--most_lag_ms", "1e9"]
    assert cli.main(["trailrank", "loadtest", *flags, "--p99_ms", "0.0001"]) == 3
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["steps"][0]["missed"] == "latency"


def test_a_generator_that_was_too_slow_says_so():
    """The first request holds the whole generator for 0.3 s, the second is late."""

    async def send(number):
        end = time.monotonic() + (0.3 if number == 0 else 0)
        while time.monotonic() < end:
            pass
        return ""

    traffic = asyncio.run(send_when_due(send, np.array([0.0, 0.01]), 10))
    step = measured(100.0, traffic, LoadOptions())
    assert step.missed == "generator" and step.latency_ms == {}
    report = LoadReport(url="", model="", signature="", requests=1, steps=(step,))
    assert loadtest_command._status(report) == 1
    (told,) = loadtest_command._notes(report)
    assert "this program was too slow itself" in told


# --- what goes wrong ------------------------------------------------------------------


def test_a_busy_server_is_measured_by_its_refusals(bodies, serve_half):
    """Its one worker is held and its one place to wait is taken."""
    server = serve_half(workers=1, max_waiting=1)
    with busy(server.service) as go_on:
        waiting = server.service.submit(go_on.wait)
        (step,) = loadtest(
            requests=bodies,
            server=server.url,
            model="half",
            options=options(most=20),
        ).steps
    waiting.result()
    assert step.errors == {"HTTP 503": 20}
    assert (step.answered, step.missed, step.latency_ms) == (0, "errors", {})


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_server_that_goes_away(half_store, protocol):
    call = Predict(signature="serving_default", inputs=[1.0])

    async def kinds():
        service = Service(half_store, ServerOptions(grpc_port=0))
        with contextlib.ExitStack() as running_:
            running_.callback(service.close)
            if protocol == "grpc":
                url = f"grpc://{running_.enter_context(grpc_serving(service)).address}"
            else:
                url = running_.enter_context(running(service)).url
            target = load_target(url, Target(model="half"), 30, 4)
            await target.prepare([call])
            await target.ask()
            found = [await target.send(0)]
        while found[-1] != "connect" and len(found) < 1000:
            found.append(await target.send(0))
        await target.close()
        return found

    found = asyncio.run(kinds())
    assert found[0] == "" and found[-1] == "connect"


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_nobody_there_from_the_start(bodies, protocol, capsys):
    flags = ["--requests", str(bodies), "--model", "half", "--protocol", protocol]
    flags += ["--server", f"127.0.0.1:{_unused_port()}"]
    assert cli.main(["trailrank", "loadtest", *flags]) == 1
    assert "no answer" in capsys.readouterr().err


def test_a_server_that_never_answers_is_given_up(bodies, serve_half):
    server = serve_half(workers=1)
    with (
        busy(server.service),
        pytest.raises(ClientError, match="nothing within 0.05 s"),
    ):
        loadtest(
            requests=bodies,
            server=server.url,
            model="half",
            options=options(most=1, timeout_s=0.05),
        )


def test_requests_that_the_model_refuses_are_told_at_once(tmp_path, serve_half, capsys):
    path = tmp_path / "bodies.jsonl"
    path.write_text('{"inputs": {"z": [1.0]}}')
    flags = ["--requests", str(path), "--server", serve_half().url]
    assert cli.main(["trailrank", "loadtest", *flags, "--model", "half"]) == 1
    assert "HTTP 400" in capsys.readouterr().err
    assert cli.main(["trailrank", "loadtest", *flags, "--model", "none"]) == 1
    assert "HTTP 404" in capsys.readouterr().err
    assert cli.main(["trailrank", "loadtest", *flags]) == 2
    assert "--model: name the served model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no request in it"),
        ('{"inputs": [1]}\n{', "line 2: not JSON"),
        ('{"x": [1]}', "line 1: must be an object with `inputs` or `instances`"),
        ('{"inputs": [1], "instances": [1]}', "one of them"),
        ('{"instances": 1}', "instances must be a list"),
        ('{"inputs": 1, "signature_name": 3}', "signature_name must be text. Got 3."),
    ],
)
def test_files_that_hold_no_requests(tmp_path, text, message):
    path = tmp_path / "bodies.jsonl"
    path.write_text(text)
    with pytest.raises(LoadRequestError, match=message):
        read_requests(path)


def test_bodies_as_for_curl(tmp_path):
    path = tmp_path / "bodies.jsonl"
    path.write_text(
        '{"instances": [{"s": {"b64": "/w=="}}]}\n\n'
        '{"signature_name": "joined", "inputs": [NaN]}\n'
    )
    first, second = read_requests(path, "mixed")
    assert first == Predict(signature="mixed", instances=[{"s": b"\xff"}])
    assert second.signature == "joined" and np.isnan(second.inputs[0])
