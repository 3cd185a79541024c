"""Which devices a training runs on, of one machine or of several."""

from __future__ import annotations

import os

import tensorflow as tf

from trainer.cluster import is_chief as is_chief  # beside the strategies
from trainer.cluster import workers
from trainer.errors import DeviceError, TrainingError

ACCELERATORS = ("auto", "tpu", "gpu", "cpu")
_NO_GPU = (
    "accelerator gpu: TensorFlow sees no GPU on this machine. Check the driver and "
    "CUDA_VISIBLE_DEVICES, or take --accelerator cpu."
)


def resolve(accelerator: str) -> str:
    """`tpu`, `gpu` or `cpu`; `auto` takes the first of them that this machine has."""
    if accelerator not in ACCELERATORS:
        raise TrainingError(
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

    TF_CONFIG, which Vertex and others set on every machine of a cluster, makes all of
    them one training. It must come before anything else that uses a device.

    Raises:
        RuntimeError: This machine has no such device.
        ValueError: TF_CONFIG cannot be read.
    """
    if len(workers()) > 1 and accelerator != "tpu":
        return _several_workers(accelerator)
    return {"tpu": _tpu, "gpu": _gpu, "cpu": _cpu}[accelerator]()


def is_several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether several processes take each step together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise DeviceError(
            f"accelerator tpu: no TPU named {name!r} answers ({_first_line(error)}). "
            f"Run on a TPU VM, or set TPU_NAME, or take --accelerator cpu."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _several_workers(accelerator: str) -> tf.distribute.Strategy:
    """One replica a GPU, or one a machine without."""
    if accelerator == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise DeviceError(_NO_GPU)
    if accelerator == "cpu":
        tf.config.set_visible_devices([], "GPU")
    kind = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=kind.NCCL if accelerator == "gpu" else kind.RING
    )
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def _gpu() -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        raise DeviceError(_NO_GPU)
    if len(gpus) == 1:
        return tf.distribute.OneDeviceStrategy("/gpu:0")
    return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])


def _cpu() -> tf.distribute.Strategy:
    if tf.config.list_physical_devices("GPU"):  # which TensorFlow would prefer
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.get_strategy()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
