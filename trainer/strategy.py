"""Which devices a training runs on."""

from __future__ import annotations

import os

import trainer.keras2  # noqa: F401  # isort: skip
import tensorflow as tf

ACCELERATORS = ("auto", "tpu", "gpu", "cpu")


def resolve(accelerator: str) -> str:
    """`tpu`, `gpu` or `cpu`; `auto` takes the first of them that this machine has."""
    if accelerator not in ACCELERATORS:
        raise ValueError(
            f"accelerator: must be one of {', '.join(ACCELERATORS)}. Got "
            f"{accelerator!r}."
        )
    if accelerator != "auto":
        return accelerator
    if os.environ.get("TPU_NAME"):
        return "tpu"
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def create(accelerator: str) -> tf.distribute.Strategy:
    """The strategy for `tpu`, `gpu` or `cpu` (see `resolve`).

    Raises:
        RuntimeError: This machine has no such device.
    """
    return {"tpu": _tpu, "gpu": _gpu, "cpu": _cpu}[accelerator]()


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise RuntimeError(
            f"accelerator tpu: no TPU named {name!r} answers ({_first_line(error)}). "
            f"Run on a TPU VM, or set TPU_NAME, or take --accelerator cpu."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _gpu() -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        raise RuntimeError(
            "accelerator gpu: TensorFlow sees no GPU on this machine. Check the driver "
            "and CUDA_VISIBLE_DEVICES, or take --accelerator cpu."
        )
    if len(gpus) == 1:
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])


def _cpu() -> tf.distribute.Strategy:
    if tf.config.list_physical_devices("GPU"):  # which TensorFlow would prefer
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.get_strategy()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
