"""TensorFlow Recommenders needs Keras 2; TensorFlow 2.16 and later bring Keras 3.

Each room whose modules import TensorFlow calls `require_keras_2` once, in its
`__init__`, which Python runs before any of them.
"""

from __future__ import annotations

import os
import sys

from feature_specs.errors import TrailrankError

_SWITCH = "TF_USE_LEGACY_KERAS"


class KerasError(TrailrankError, RuntimeError):
    """This process has Keras 3, or asks for it."""


def require_keras_2() -> None:
    """Makes `tf.keras` Keras 2.

    Raises:
        KerasError: It is Keras 3 already, or the environment asks for that.
    """
    if os.environ.setdefault(_SWITCH, "1").lower() not in ("1", "true"):
        raise KerasError(
            f"{_SWITCH} must be 1, as TensorFlow Recommenders needs Keras 2. "
            f"Got {os.environ[_SWITCH]!r}. Unset it."
        )
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return
    home = tensorflow.keras.layers.Layer.__module__  # binds tf.keras now, if not bound
    if not home.startswith("tf_keras"):
        raise KerasError(
            "tf.keras must be Keras 2 (tf_keras): TensorFlow Recommenders needs it. "
            f"Got {home}: TensorFlow was used before trailrank. Import a trailrank "
            f"module first, or set {_SWITCH}=1 before Python starts."
        )
