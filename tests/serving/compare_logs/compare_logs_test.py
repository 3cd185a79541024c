"""`compare_logs` on logs made by hand, against arithmetic."""

import json
import math

import polars as pl
import pytest

from feature_specs.errors import UsageError
from serving.compare_logs.compare_logs import compare_logs
from serving.compare_logs.compare_logs_command import run
from serving.compare_logs.logged import LogError
from tests.serving.compare_logs.trial_log import Request, write_log

SHADOWED = [
    Request("r0", "u", shadow=[3.0, 2.0, 1.0], times=1.5, took_ms=1.0),
    Request("r1", "u", shadow=[1.0, 2.0, 3.0], times=1.0, took_ms=3.0),
    Request("r2", "v", shadow=[2.0, 3.0, 1.0], times=2.0, took_ms=2.0),
    Request("r3", "w", error="InvalidArgumentError: out of order", took_ms=9.0),
]
T_1 = 12.7062047  # Student's t of one degree of freedom


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("shadow")
    write_log(path, SHADOWED)
    return path


def test_order(log):
    report = compare_logs(log, k=2)
    shadow = report.shadow
    assert (report.requests, report.users, shadow.requests, shadow.failed) == (
        4,
        3,
        4,
        1,
    )
    assert shadow.errors == {"InvalidArgumentError: out of order": 1}
    assert (shadow.served_versions, shadow.shadow_versions) == ({1: 4}, {2: 4})
    values = {name: found.value for name, found in shadow.order.items()}
    assert values == pytest.approx(
        {
            "kendall": (1 - 1 + 1 / 3) / 3,
            "spearman": (1 - 1 + 1 / 2) / 3,
            "overlap@1": 1 / 3,
            "overlap@2": (1 + 1 / 2 + 1) / 3,
        }
    )
    # By users: u is 0 - 2/9 off, v 1/3 - 1/9.
    tau = shadow.order["kendall"]
    error = math.sqrt(2 * 2 * (2 / 9) ** 2) / 3
    assert (tau.clusters, tau.error) == (2, pytest.approx(error))
    assert tau.high == pytest.approx(1 / 9 + T_1 * error)
    assert sorted(shadow.taus) == pytest.approx([-1, 1 / 3, 1])


def test_drift(log):
    like = compare_logs(log).shadow.drift["like"]
    assert (like.rows, like.calibration) == (9, None)
    assert like.served.value == pytest.approx(0.2)
    assert like.shadow.value == pytest.approx((1.5 + 1 + 2) * 0.2 / 3)
    assert like.ratio.value == pytest.approx(1.5)
    # u gave 1.5 for 1.2, v 1.2 for 0.6; 1.5 times these are 0.3 less and 0.3 more.
    assert like.ratio.error == pytest.approx(math.sqrt(2 * 2 * 0.3**2) / 1.8)
    assert like.difference.value == pytest.approx(0.1)
    assert like.largest == pytest.approx(0.3)
    assert like.quantiles["p50"] == pytest.approx((0.2, 0.3))
    assert set(compare_logs(log).shadow.drift) == {"like", "log_score"}


def test_latency_is_of_requests_that_both_answered(log):
    latency = compare_logs(log).shadow.latency_ms
    assert latency["served"] == {"p50": 2.0, "p90": 3.0, "p99": 3.0, "max": 3.0}
    assert latency["shadow"] == {"p50": 4.0, "p90": 6.0, "p99": 6.0, "max": 6.0}


def test_the_best_few_are_compared_at_their_positions(tmp_path):
    """Answered were 2 and 0; the shadow scores 0, 1, 2 as 1, 9, 3."""
    write_log(tmp_path, [Request("r", shadow=[1.0, 9.0, 3.0], positions=[2, 0])])
    shadow = compare_logs(tmp_path, k=2).shadow
    assert shadow.order["kendall"].value == 1  # 3 before 1, as answered
    assert shadow.order["overlap@2"].value == 0.5  # 1 and 2 for it
    drift = shadow.drift["log_score"]
    assert (drift.rows, drift.shadow.value) == (2, 2.0)
    assert shadow.drift["like"].shadow.value == pytest.approx((0.3 + 0.1) / 2)


def outcomes(path, rows):
    requests, items, likes = zip(*rows, strict=True)
    frame = pl.DataFrame({"request_id": requests, "item": items, "like": likes})
    frame.write_parquet(path / "outcomes.parquet")
    frame.rename({"like": "label_like"}).write_csv(path / "outcomes.csv")
    return path / "outcomes.parquet"


LIKED = [("r0", "a", 1), ("r0", "b", 0), ("r0", "c", 0)]
LIKED += [("r1", "a", 0), ("r1", "b", 1), ("r1", "c", 0), ("r9", "a", 1)]


@pytest.mark.parametrize("name", ["outcomes.parquet", "outcomes.csv"])
def test_calibration_against_outcomes(log, tmp_path, name):
    outcomes(tmp_path, LIKED)
    report = compare_logs(log, outcomes=tmp_path / name)
    found = report.shadow.drift["like"].calibration
    assert found.rows == 6
    assert found.rate.value == pytest.approx(2 / 6)
    assert found.served.value == pytest.approx(1.2 / 2)
    assert found.shadow.value == pytest.approx((0.9 + 0.6) / 2)
    # Liked at 0.1 and 0.2, not at 0.2, 0.3, 0.1, 0.3: two of eight pairs, ties by half.
    assert found.served_auc == pytest.approx(0.25)


def test_outcomes_of_a_run_s_examples(log, tmp_path):
    import tensorflow as tf

    (tmp_path / "Split-day-20240101").mkdir()
    path = str(tmp_path / "Split-day-20240101" / "data.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for request, item, like in LIKED:
            example = tf.train.Example()
            features = example.features.feature
            features["key_request"].bytes_list.value.append(request.encode())
            features["key_item"].bytes_list.value.append(item.encode())
            features["label_like"].float_list.value.append(like)
            counts = (request, item) != ("r1", "c")  # outside the sample space
            features["mask_like"].float_list.value.append(counts)
            writer.write(example.SerializeToString())
    report = compare_logs(log, outcomes=tmp_path)
    found = report.shadow.drift["like"].calibration
    assert (found.rows, found.served.value) == (5, pytest.approx(0.9 / 2))


def test_outcomes_that_cannot_be_joined_are_told(log, tmp_path):
    pl.DataFrame({"request_id": ["r0"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(
        LogError, match="need columns request_id and item. Without: item"
    ):
        compare_logs(log, outcomes=tmp_path / "a.parquet")
    rows = {"request_id": ["r0"], "item": ["a"], "lik": [1]}
    pl.DataFrame(rows).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(LogError, match="has no column of a task.*one of like"):
        compare_logs(log, outcomes=tmp_path / "b.parquet")
    with pytest.raises(LogError, match="cannot be read as outcomes"):
        compare_logs(log, outcomes=tmp_path / "none.parquet")


# --- a canary -------------------------------------------------------------------------

ARMS = [
    *(Request(f"c{n}", f"c{n}", "canary", times=t) for n, t in enumerate((1.5, 4.5))),
    *(Request(f"o{n}", f"o{n}", "control", times=t) for n, t in enumerate((1.0, 3.0))),
    Request("c9", "c9", "canary", times=3.0, error="out of order"),
    Request("o9", "o9", "control", times=2.0),
]


def test_a_canary_beside_others(tmp_path):
    write_log(tmp_path, ARMS)
    rows = [(one.request_id, "a", int(one.arm == "canary")) for one in ARMS]
    rows += [(one.request_id, "b", int(one.request_id != "o9")) for one in ARMS]
    report = compare_logs(tmp_path, outcomes=outcomes(tmp_path, rows))
    assert report.shadow is None
    canary, control = report.canary.canary, report.canary.control
    assert (canary.requests, canary.clusters, control.requests) == (3, 3, 3)
    # Whoever was drawn counts, whichever version answered.
    assert canary.versions == {2: 2, 1: 1} and control.versions == {1: 3}
    assert canary.errors == {"out of order": 1}
    assert canary.predictions["like"].value == pytest.approx(0.2 * 3)
    assert control.predictions["like"].value == pytest.approx(0.2 * 2)
    # Users are 1.5 and 1 of 3 times 0.2 apart: sd / sqrt(3) of each.
    assert canary.predictions["like"].error == pytest.approx(0.2 * 1.5 / math.sqrt(3))
    found = report.canary.predictions["like"]
    spread = math.hypot(0.5 / math.sqrt(3), 0.5 / math.sqrt(3))
    assert found.value == pytest.approx(0.5)
    assert found.high == pytest.approx(1.5 * math.exp(2.7764451 * spread) - 1)
    assert report.canary.outcomes["like"].value == pytest.approx(1 / (2 / 6) - 1)
    assert canary.calibration["like"].served.value == pytest.approx(0.3 * 9 / 6)


# --- which log ------------------------------------------------------------------------


def test_what_is_no_log_is_told(tmp_path, log):
    with pytest.raises(LogError, match="no log here"):
        compare_logs(tmp_path)
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "samples-1.parquet")
    with pytest.raises(LogError, match="samples-1.parquet: is no log of a trial"):
        compare_logs(tmp_path)
    (tmp_path / "samples-1.parquet").write_bytes(b"half a file")
    with pytest.raises(LogError, match="samples-1.parquet: is damaged"):
        compare_logs(tmp_path)
    with pytest.raises(UsageError, match="give --model, one of: m. Got n"):
        compare_logs(log, model="n")
    with pytest.raises(UsageError, match="k must be 1 or more. Got 0"):
        compare_logs(log, k=0)


def test_one_arm_alone_is_told(tmp_path):
    write_log(tmp_path, ARMS[:2])
    with pytest.raises(LogError, match="2 requests of one arm of a canary"):
        compare_logs(tmp_path)


# --- the report -----------------------------------------------------------------------


def test_the_command_writes_and_prints_the_report(log, tmp_path, capsys):
    outcomes(tmp_path, LIKED)
    told = [
        "--outcomes",
        str(tmp_path / "outcomes.csv"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert run([str(log), "--k", "2", *told]) == 0
    printed = capsys.readouterr().out
    last = json.loads(printed.splitlines()[-1])
    assert last == json.loads((tmp_path / "out" / "report.json").read_text())
    assert last["shadow"]["order"]["overlap@2"]["value"] == pytest.approx(2.5 / 3)
    text = (tmp_path / "out" / "report.md").read_text()
    for found in (text, " ".join(printed.split())):
        assert "it failed 1 (25.0 %)" in found
        assert "out of order" in found
        assert "of 3 users" in found
    assert "| overlap@2 | 0.8333 (" in text
    assert "| like | 0.2 | 0.3 | 1.5 (" in text
    assert "| like | 6 | 0.3333 | 0.6 | 0.75 | 0.2500 | 0.2500 |" in text  # of one user
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_of_a_canary(tmp_path):
    write_log(tmp_path, ARMS)
    compare_logs(tmp_path, out=tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| like | 0.4 (" in text and "+50.00 % (" in text
    assert "The canary failed 1 times: out of order" in text
