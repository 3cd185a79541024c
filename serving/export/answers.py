"""What the Trainer's own model answers, written beside an exported one to compare with.

`<version>/assets.extra/trailrank_answers` is a TFRecord file of `PredictionLog`s with
request and response: the warmup requests, whose features are all missing, and one of
made-up values a signature. TensorFlow Serving passes it by. The answers are those of
the functions that were exported, before they were saved, with the weights in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from feature_specs import FeatureSpec, Spec
from serving.export import requests
from serving.export.signatures import EXAMPLES
from serving.export.warmup import arrays, warmup_requests

ANSWERS_FILE = os.path.join("assets.extra", "trailrank_answers")

Arrays = dict[str, npt.NDArray[Any]]

# Of each kind as many as there are rows. A large id, as hashed ones are; a value that
# no vocabulary has.
_VALUES: dict[str, tuple[Any, ...]] = {
    "int64": (1, 2, 40, 9_007_199_254_740_993),
    "float32": (0.5, 3.0, 120.0, 0.0),
    "string": ("a", "1", "B c", "no vocabulary has this"),
}
_SEQUENCE = 2  # values of a list


class Answer(NamedTuple):
    """One request to a signature, and what it has to give.

    Attributes:
        signature: Its name.
        inputs: Input -> values.
        outputs: Output -> values, [B]; without those that follow from another one.
    """

    signature: str
    inputs: Arrays
    outputs: Arrays


def ask(spec: Spec, signatures: Mapping[str, Callable[..., Any]]) -> list[Answer]:
    """What signatures answer, as they are in memory.

    A GPU may round factors of products to ten bits (TF32), and a server's processor
    does not: here it must not.
    """
    rounds = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        return _asked(spec, signatures)
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(rounds)


def _asked(spec: Spec, signatures: Mapping[str, Callable[..., Any]]) -> list[Answer]:
    # A rank that is rounded otherwise may be many seconds away: its table is steep.
    derived = {output for task in spec.tasks for output in task.outputs[1:]}
    found = []
    for signature, inputs in (*warmup_requests(spec), *made_up_requests(spec)):
        tensors = {name: tf.convert_to_tensor(v) for name, v in inputs.items()}
        outputs = signatures[signature](tensors.get(EXAMPLES, tensors))
        values = {n: v.numpy() for n, v in outputs.items() if n not in derived}
        found.append(Answer(signature, inputs, values))
    return found


def write_answers(model_dir: str, answers: Iterable[Answer]) -> None:
    """Writes them beside a model."""
    path = os.path.join(model_dir, ANSWERS_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for answer in answers:
            log = prediction_log_pb2.PredictionLog()
            request, response = log.predict_log.request, log.predict_log.response
            request.model_spec.signature_name = answer.signature
            for name, value in answer.inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            for name, value in answer.outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def read_answers(model_dir: str) -> list[Answer]:
    """What lies beside a model; nothing if it is another program's.

    Raises:
        tf.errors.DataLossError: The file is damaged.
    """
    path = os.path.join(model_dir, ANSWERS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    found = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        found.append(
            Answer(
                log.request.model_spec.signature_name,
                {n: tf.make_ndarray(t) for n, t in log.request.inputs.items()},
                {n: tf.make_ndarray(t) for n, t in log.response.outputs.items()},
            )
        )
    return found


def made_up_requests(spec: Spec) -> Iterator[tuple[str, Arrays]]:
    """One request of plain values for each of the three signatures."""
    served, rows = list(spec.served_features), _rows(spec)
    yield "serving_default", arrays(served, rows)
    weights = np.linspace(0.5, 1.0, len(spec.tasks), dtype=np.float32)
    yield (
        "rank",
        {
            **arrays(requests.request_features(spec), rows[:1]),
            **arrays(requests.candidate_features(spec), rows),
            "weights": weights,
            "top_k": np.zeros((), np.int32),
        },
    )
    examples = [_example(served, row).SerializeToString() for row in rows]
    yield "score_examples", {EXAMPLES: np.array(examples, object)}


def _rows(spec: Spec) -> list[dict[str, Any]]:
    """One value a feature, or a list of them, other ones in each row."""
    found = []
    for row in range(len(_VALUES["int64"])):
        values = {}
        for place, feature in enumerate(spec.served_features):
            known = _VALUES[feature.dtype]
            count = feature.width or (_SEQUENCE if feature.is_sequence else 1)
            drawn = [known[(row + place + k) % len(known)] for k in range(count)]
            is_list = bool(feature.width) or feature.is_sequence
            values[feature.name] = drawn if is_list else drawn[0]
        found.append(values)
    return found


def _example(features: list[FeatureSpec], row: Mapping[str, Any]) -> tf.train.Example:
    example = tf.train.Example()
    for feature in features:
        value = row[feature.name]
        values = value if isinstance(value, list) else [value]
        held = example.features.feature[feature.name]
        if feature.dtype == "string":
            held.bytes_list.value.extend(v.encode() for v in values)
        elif feature.dtype == "int64":
            held.int64_list.value.extend(values)
        else:
            held.float_list.value.extend(values)
    return example
