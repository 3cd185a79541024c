"""The compiler's environment, made once a machine, and small programs."""

import pytest
import tensorflow as tf

from trainer.preflight import environment
from trainer.preflight.programs import Program


@pytest.fixture(scope="session")
def python():
    """The Python of the TPU compiler; the first use on a machine installs it."""
    return environment.find_or_make()


@pytest.fixture(scope="session")
def program_of():
    """(function, *shapes) -> a program of float32 inputs `input_0`, `input_1`, ..."""

    def make(function, *shapes, dtype=tf.float32, variables=()):
        inputs = {
            f"input_{index}": tf.TensorSpec(shape, dtype)
            for index, shape in enumerate(shapes)
        }
        named = [(v.name.removesuffix(":0"), v) for v in variables]
        return Program("train", function, inputs, named, 8)

    return make
