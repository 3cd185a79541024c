"""One training a directory of checkpoints, one export a version; in buckets too."""

from __future__ import annotations

import contextlib

from feature_specs.locks import owned
from feature_specs.places import Place
from trainer.cluster import is_chief


class TensorFlowObjects:
    """A bucket as TensorFlow reads and writes it."""

    def read(self, path: str) -> bytes | None:
        """An object's bytes; None if there is none."""
        import tensorflow as tf

        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                data: bytes = file.read()
                return data
        except tf.errors.NotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        """Puts an object there."""
        import tensorflow as tf

        tf.io.gfile.makedirs(path.rpartition("/")[0])
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(data)

    def remove(self, path: str) -> None:
        """Removes an object, if it is there."""
        import tensorflow as tf

        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(path)


def sole_training(checkpoints: Place) -> contextlib.AbstractContextManager[None]:
    """Keeps other trainings out of a directory of checkpoints (`locks.owned`).

    Of the workers of one training only the chief writes there, and holds it.
    """
    if not is_chief():
        return contextlib.nullcontext()
    return owned(checkpoints, objects=TensorFlowObjects)


def sole_export(path: Place) -> contextlib.AbstractContextManager[None]:
    """Keeps other exports from a version, whose directory stays empty until the end."""
    return owned(path, beside=True, objects=TensorFlowObjects)
