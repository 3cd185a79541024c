"""Keras 2 or a message that says what to do."""

import subprocess
import sys

import pytest

_LATE = "import tensorflow as tf; tf.keras.layers; import trainer"


@pytest.mark.slow  # starts a Python that loads TensorFlow
def test_keras_3_already_in_use_is_refused(monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS")
    done = subprocess.run([sys.executable, "-c", _LATE], capture_output=True, text=True)
    assert done.returncode == 1
    assert "tf.keras must be Keras 2" in done.stderr
    assert "Import a trailrank module first" in done.stderr


def test_environment_that_asks_for_keras_3_is_refused(monkeypatch):
    from trainer.keras2 import require_keras_2

    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    with pytest.raises(RuntimeError, match="must be 1, .* Got '0'. Unset it"):
        require_keras_2()


def test_keras_2_in_use_is_fine():
    import tensorflow as tf

    from trainer.keras2 import require_keras_2

    require_keras_2()
    assert tf.keras.Model.__module__.startswith("tf_keras.")
