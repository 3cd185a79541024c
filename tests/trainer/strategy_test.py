"""Devices are chosen, or refused with what to do."""

import pytest
import tensorflow as tf

from trainer import strategy


def test_cpu_is_one_replica():
    assert strategy.create("cpu").num_replicas_in_sync == 1


def test_auto_takes_what_the_machine_has(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    gpus = tf.config.list_physical_devices("GPU")
    assert strategy.resolve("auto") == ("gpu" if gpus else "cpu")
    monkeypatch.setenv("TPU_NAME", "mine")
    assert strategy.resolve("auto") == "tpu"


def test_unknown_accelerator_is_refused():
    with pytest.raises(ValueError, match="must be one of auto, tpu, gpu, cpu"):
        strategy.resolve("npu")


def test_missing_gpu_is_named():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="sees no GPU .* --accelerator cpu"):
        strategy.create("gpu")
