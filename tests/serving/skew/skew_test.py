"""Rows of a run against a real server, and backends that are wrong in known ways."""

import collections
import json
import socket

import numpy as np
import pytest

from serving.client.calls import ClientError
from serving.skew.skew import SkewError, prediction_skew, skew
from serving.skew.skew_rows import TrainedRow, draw, sample_rows
from trailrank import cli

DAYS = ["day-20240101", "day-20240102"]
KEYS = ("key_user", "key_item", "key_time_ms")


@pytest.fixture(scope="module")
def root(write_run, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


def backend(rows, spec, **changes):
    """What a backend logs of the rows; `changes`: feature -> function of its value."""
    names = [*KEYS, *(feature.name for feature in spec.served_features)]
    return [
        {n: changes[n](row[n]) if n in changes else row[n] for n in names}
        for row in rows
    ]


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_server_and_a_backend_that_agree(root, spec, rows, model_server, tmp_path):
    """Over gRPC, and with NaN as null and features that are missing left out.

    Over REST it is asked by the tests below, and without a backend by the docstring's.
    """
    record = json.loads((root / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**record, "version": "7"}))
    sent = backend(rows, spec, seconds=lambda v: None if np.isnan(v) else v)
    del sent[0]["history_video_id"], sent[5]["kind"]
    sent[1]["key_request"] = 7
    report = skew(
        tmp_path,
        requests=write(tmp_path / "sent", sent),
        server=model_server.grpc_address,
        protocol="grpc",
    )
    assert report.is_equal and report.features == () and report.worst is None
    assert (report.rows, report.predicted, report.version) == (6, 6, "1")
    outputs = [found.output for found in report.predictions]
    assert outputs == ["long_view", "watched", "score", "log_score"]
    (note,) = report.notes
    assert note.startswith("the server has version 1, and the run's is 7")
    report.check()


def test_each_fault_of_a_backend_is_named_with_its_cause(
    root, spec, rows, model_url, tmp_path, capsys
):
    sent = backend(
        rows,
        spec,
        history_video_id=lambda v: v[1:],  # the preset's length is 3
        tab=lambda v: 5,
        kind=lambda v: {"a": "of no vocabulary"}.get(v, v),
        seconds=lambda v: 1000 * v,
    )
    sent[0]["other"] = sent[1]["another"] = 1
    file = write(tmp_path / "sent", [*sent, {**sent[0], "key_user": 99}])
    flags = ["--root", str(root), "--server", model_url, "--requests", str(file)]
    assert cli.main(["trailrank", "skew", *flags]) == 3
    told = capsys.readouterr().out
    found = json.loads(told.splitlines()[-1])
    named = [entry["feature"] for entry in found["features"]]
    assert named == ["history_video_id", "tab", "kind", "seconds"]
    assert found["first"] == "history_video_id" and not found["equal"]
    history, tab, kind, seconds = found["features"]

    # rows with a history of 1, 2, 4 and 1 videos; of four the last three are kept both
    # ways. [10] and [13] became nothing, so that one of three is only shorter.
    assert history["rows"] == 3 and history["largest"] is None
    assert tab["rows"] == 6
    assert kind["rows"] == 3 and "vocabulary does not have" in kind["cause"]
    assert kind["example"]["expected"] == "a"
    assert kind["example"]["sent"] == "of no vocabulary"
    assert kind["example"]["encoded_sent"] != kind["example"]["encoded_expected"]

    assert seconds["rows"] == 5  # NaN times 1,000 is NaN
    assert seconds["cause"].startswith("1,000 times too large")
    # log1p, then z over the days' rows, of which one has no seconds
    raw = seconds["example"]["expected"]
    assert seconds["example"]["sent"] == 1000 * raw
    logs = np.log1p([7.0, 20.0, 60.0, 7.0, 15.0])
    off = (np.log1p(1000 * raw) - np.log1p(raw)) / logs.std()
    encoded = [seconds["example"][f"encoded_{which}"] for which in ("sent", "expected")]
    assert encoded[0] - encoded[1] == pytest.approx(off, rel=1e-4)
    assert seconds["largest"] == pytest.approx(off / max(1, abs(encoded[1])), rel=1e-4)

    assert found["worst"] in ("long_view", "watched", "score", "log_score")
    assert found["predicted"] == 6 and "likely: 1,000 times too large" in told
    notes = " ".join(found["notes"])
    assert "6 of the 7 rows of requests" in notes
    assert "no such feature: another, other" in notes


def test_values_that_a_server_refuses_are_told_and_not_sent(
    root, spec, rows, model_url, tmp_path
):
    sent = backend(rows, spec, user_id=str)
    sent[3]["user_id"], sent[4]["tab"] = 2, 1.0
    sent[5]["kind"] = 0  # of a row that has none: it is missing to the model both ways
    report = skew(root, server=model_url, requests=write(tmp_path / "sent", sent))
    user, tab, kind = report.features
    assert (user.feature, user.rows, user.refused) == ("user_id", 5, "must be a number")
    assert user.cause == "a number sent as text"
    assert (user.example.sent, user.example.encoded_sent) == ("1", None)
    assert (tab.rows, tab.refused) == (1, "must be a whole number")
    assert tab.cause == "a whole number sent as a float"
    assert (kind.rows, kind.refused) == (1, "must be text")
    assert (report.predicted, report.worst) == (1, None)
    assert "refuses 5 of the rows" in report.notes[0]
    with pytest.raises(SkewError, match="'user_id' differs in 5 of 6 rows") as error:
        report.check()
    assert error.value.exit_status == 3


def test_predictions_may_be_apart_as_far_as_the_tolerance():
    rows = [TrainedRow((n, n, n), b"") for n in range(3)]
    expected = np.array([0.5, 100.0, 0.25])
    got = np.array([0.5, 100.5, 0.253])
    found = prediction_skew("task", rows, expected, got, 0.004)
    assert (found.rows, found.key) == (1, (1, 1, 1))
    assert found.largest == pytest.approx(0.005)  # of 100
    assert (found.expected, found.got) == (100.0, 100.5)
    assert prediction_skew("task", rows, expected, got, 0.0051).rows == 0


# --- rows -----------------------------------------------------------------------------


def test_every_row_has_the_same_chance():
    """2 of 6 rows, 3,000 times: each 1,000 times on average, deviation 25.8."""
    batches = [
        ([b"a", b"b"], [(0,), (1,)]),
        ([b"c", b"d", b"e", b"f"], [(2,), (3,), (4,), (5,)]),
    ]
    drawn = collections.Counter()
    for seed in range(3000):
        found = draw(batches, 2, seed)
        assert len(set(found)) == 2
        drawn.update(row.serialized for row in found)
    assert len(drawn) == 6
    assert all(abs(count - 1000) < 6 * 25.8 for count in drawn.values())
    assert draw(batches, 9, 0, wanted=[(4,)]) == [TrainedRow((4,), b"e")]


def test_rows_of_a_run_have_their_keys(root, spec):
    where = [str(root / "examples" / f"Split-{day}") for day in DAYS]
    found = sample_rows(spec, where, 9, 0)
    assert sorted(row.key[:2] for row in found) == [
        *((1, 10), (1, 11), (1, 12), (2, 10), (2, 13), (3, 14))
    ]
    assert (3, 14, 2 * 86_400_000 + 1000) in [row.key for row in found]


# --- what goes wrong ------------------------------------------------------------------


def test_rows_of_another_log(root, model_url, tmp_path):
    (tmp_path / "sent").write_text('{"key_user": 9, "key_item": 9, "key_time_ms": 9}')
    with pytest.raises(ValueError, match="none of its 1 rows is in the examples"):
        skew(root, server=model_url, requests=tmp_path / "sent")


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--split", "day-1"], 2, "It has day-20240101, day-20240102."),
        (["--rows", "0"], 2, "rows must be at least 1"),
        (["--tolerance", "-1"], 2, "tolerance must not be negative"),
    ],
)
def test_mistakes_are_named(root, capsys, more, status, message):
    assert cli.main(["trailrank", "skew", "--root", str(root), *more]) == status
    assert message in capsys.readouterr().err


def test_no_such_model_and_one_of_another_spec(root, serve_half, model_url):
    with pytest.raises(ClientError, match="Servable not found for request"):
        skew(root, server=model_url, model="none")
    with pytest.raises(ClientError, match="has no input user_id and 10 more: it was"):
        skew(root, server=serve_half().url, model="half")


def test_nobody_there(root):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    with pytest.raises(ClientError, match="no answer"):
        skew(root, server=f"127.0.0.1:{port}", timeout_s=1)
