"""Runs in a Python with TensorFlow alone: loads a model, asks it, writes what it said.

    python -I infra_child.py MODEL_DIR requests.json replies.json

`infra.py` starts it and reads the replies. It imports nothing of this package.
"""

import base64
import importlib.abc
import json
import sys
import time

_ROUNDS = 30  # timed requests a signature
_LONGEST_S = 2.0  # of timing one signature
_LONGEST_ERROR = 600


class _Barred(importlib.abc.MetaPathFinder):
    """Refuses packages, and modules inside them, that a served model may not need."""

    def __init__(self, names):
        self._names = tuple(f"{name}." for name in names)

    def find_spec(self, name, path=None, target=None):
        """Raises for a barred package; leaves others to the finders after it."""
        if f"{name}.".startswith(self._names):
            raise ModuleNotFoundError(f"a served model may not import {name}")


def main(model_dir: str, requests: str, replies: str) -> None:
    """Writes answers and times, or `error`: why there are none."""
    with open(requests) as file:
        asked = json.load(file)
    sys.meta_path.insert(0, _Barred(asked["barred"]))
    try:
        found = _ask(model_dir, asked["requests"])
    except Exception as error:  # whatever a model may break with is told
        text = " ".join(str(error).split())[:_LONGEST_ERROR]
        found = {"error": f"it cannot be used: {type(error).__name__}: {text}"}
    with open(replies, "w") as file:
        json.dump(found, file)


def _ask(model_dir, requests):
    import tensorflow as tf

    began = time.perf_counter()
    model = tf.saved_model.load(model_dir, tags=["serve"])
    load_s = time.perf_counter() - began
    answers: list = []
    latency: dict = {}
    for request in requests:
        name = request["signature"]
        if name not in model.signatures:
            return {"error": f"it has no signature {name!r}"}
        function = model.signatures[name]
        inputs = {n: _tensor(tf, text) for n, text in request["inputs"].items()}
        outputs = {n: _text(tf, v) for n, v in function(**inputs).items()}
        answers.append({"outputs": outputs})
        latency[name] = max(latency.get(name, 0.0), _latency_ms(function, inputs))
    return {"answers": answers, "latency_ms": latency, "load_s": load_s}


def _latency_ms(function, inputs):
    """95th percentile of the wall time of a warm request."""
    taken: list = []
    began = time.perf_counter()
    while len(taken) < _ROUNDS and time.perf_counter() - began < _LONGEST_S:
        start = time.perf_counter()
        for value in function(**inputs).values():
            value.numpy()
        taken.append(time.perf_counter() - start)
    return 1000 * sorted(taken)[int(0.95 * (len(taken) - 1))]


def _tensor(tf, text):
    from tensorflow.core.framework import tensor_pb2

    proto = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
    return tf.constant(tf.make_ndarray(proto))


def _text(tf, value):
    proto = tf.make_tensor_proto(value)
    return base64.b64encode(proto.SerializeToString()).decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
