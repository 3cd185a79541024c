"""Several processes train as one: the same global batches, the same losses."""

import json
import socket

import numpy as np
import pytest

from trainer import strategy
from trainer.days.means import DISENTANGLE

# Trains the days below argv[1] into argv[2] with the seed argv[3], and keeps what every
# step returned. If there is an argv[4], TensorBoard's summaries go there.
_TRAIN = """
import sys
import numpy as np
import tests.trainer.conftest as small
import tests.trainer.days.workers_test as t
from trainer import strategy
from trainer.days import loop
from trainer.days.training import Training

calls, epoch = [], Training.epoch

def recorded(*args):
    for table in epoch(*args):
        calls.append(table)
        yield table

Training.epoch = recorded

loop.train(
    small.read_spec(small.SPEC),
    small.read_preset(t.PRESET),
    [(day, [f"{sys.argv[1]}/{day}.gz"]) for day in t.DAYS],
    slice=t.small_slice(),
    seed=int(sys.argv[3]),
    checkpoint_dir=sys.argv[2],
    log_dir=next(iter(sys.argv[4:]), None),
    options=loop.LoopOptions(checkpoint_steps=8, validate_rows=128),
)
if strategy.is_chief():
    np.save(sys.argv[2] + "/curve.npy", np.concatenate(calls))
"""
DAYS = ("day-20220408", "day-20220409")
# Adagrad, whose first steps are in proportion to the gradients. Adam's have one size,
# also where a gradient is nothing but rounding, which two workers round otherwise.
PRESET = """
bottom: [16]
switcher: {kind: mmoe, experts: 3, units: [8]}
tower: [8]
trail: {units: [4], dim: 4, dropout: 0.1}
disentangle: 0.1
optimizer: {kind: adagrad, learning_rate: 0.05, table_learning_rate: 0.2}
"""


def small_slice():
    from tpu_configs import SliceConfig

    return SliceConfig(name="tiny", accelerator="cpu", batch_size=64, steps_per_call=4)


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _cluster(index, addresses):
    config = {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }
    return {"TF_CONFIG": json.dumps(config)}


def _metrics(directory):
    text = (directory / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.stochastic
def test_two_workers_give_the_losses_of_one_process(
    forks, make_rows, any_seed, tmp_path
):
    # 1,500 rows: 24 steps, the last of them 28 rows, all of the first worker's half.
    for seed, day in enumerate(DAYS):
        make_rows(1500, seed=seed).write(tmp_path / f"{day}.gz")
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    arguments = [tmp_path, tmp_path / "two", any_seed, tmp_path / "two" / "logs"]
    two = [
        forks.start(_TRAIN, arguments, _cluster(index, addresses)) for index in range(2)
    ]
    for worker in two:
        assert worker.end() == 0, worker.err[-3000:]
    forks.run(_TRAIN, [tmp_path, tmp_path / "one", any_seed])
    one, both = (np.load(tmp_path / name / "curve.npy") for name in ("one", "two"))
    # Rows, loss, disentangle, tasks' losses, rows of tasks. Rounding alone moves the
    # losses by up to 6e-3 in 48 steps (of ten seeds, one by more than 5e-3); and by 4e-2
    # the correlations of an expert that hardly moves, ratios of two next to nothing.
    assert one.shape == both.shape == (48, 3 + 2 * 4)
    np.testing.assert_allclose(both[:8], one[:8], rtol=1e-4, atol=1e-6)
    without = np.delete(np.arange(one.shape[1]), DISENTANGLE)
    np.testing.assert_allclose(both[:, without], one[:, without], rtol=2e-2)
    one, both = _metrics(tmp_path / "one"), _metrics(tmp_path / "two")
    assert [day["rows"] for day in both] == [1500, 1500]
    for own, other in zip(both, one, strict=True):
        own, other = own["validation"], other["validation"]
        for key in ("loss", "calibration"):
            assert own[key] == pytest.approx(other[key], rel=1e-3), key
        # Untrained, all scores are equal. On the second day rounding turns pairs round
        # that are next to equal: up to 0.002 of them.
        assert own["auc"] == pytest.approx(other["auc"], abs=0.02)
    assert (tmp_path / "two" / "logs" / "inspection").is_dir()


def test_tf_config_that_cannot_be_read_is_told(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a", "b"]}}')
    with pytest.raises(ValueError, match="TF_CONFIG: must be JSON with `cluster`"):
        strategy.create("cpu")


@pytest.mark.parametrize(
    ("task", "is_chief"),
    [(("chief", 0), True), (("worker", 0), False), (("worker", 1), False)],
)
def test_the_chief_writes(monkeypatch, task, is_chief):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    kind, index = task
    config = {"cluster": cluster, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert strategy.is_chief() is is_chief


def test_without_a_chief_the_first_worker_writes(monkeypatch):
    for index, is_chief in ((0, True), (1, False)):
        config = {
            "cluster": {"worker": ["a:1", "b:1"]},
            "task": {"type": "worker", "index": index},
        }
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        assert strategy.is_chief() is is_chief
    monkeypatch.delenv("TF_CONFIG")
    assert strategy.is_chief()
