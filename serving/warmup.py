"""Warmup requests: the first user of a new version should not wait for its tables.

`<version>/assets.extra/tf_serving_warmup_requests` is a TFRecord file of
`PredictionLog`s, which TF Serving and the embedded server replay before a version
takes over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from feature_specs import FeatureSpec, Spec
from serving import requests
from serving.servable import WARMUP_FILE
from serving.signatures import EXAMPLES

_CANDIDATES = 4


def write_warmup(model_dir: str, spec: Spec) -> None:
    """Writes one small request a signature; all its features are missing."""
    path = os.path.join(model_dir, WARMUP_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in warmup_requests(spec):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = spec.name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def warmup_requests(spec: Spec) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """Signature name -> inputs, for each of the three signatures."""
    nobody: list[requests.Values] = [{}] * _CANDIDATES
    served = list(spec.served_features)
    yield "serving_default", arrays(served, nobody)
    weights = np.asarray(requests.weight_column(spec, {}), np.float32)
    yield (
        "rank",
        {
            **arrays(requests.request_features(spec), [{}]),
            **arrays(requests.candidate_features(spec), nobody),
            "weights": weights,
        },
    )
    empty = tf.train.Example().SerializeToString()
    yield "score_examples", {EXAMPLES: np.array([empty] * _CANDIDATES, object)}


def arrays(
    features: Sequence[FeatureSpec], rows: Sequence[requests.Values]
) -> dict[str, npt.NDArray[Any]]:
    found = requests.columns(features, rows)
    dtypes = {"string": np.dtype(object)}
    return {
        f.name: np.array(found[f.name], dtypes.get(f.dtype) or np.dtype(f.dtype))
        for f in features
    }
