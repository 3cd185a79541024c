"""Warmup requests: the first user of a new version should not wait for its tables.

`<version>/assets.extra/tf_serving_warmup_requests` is a TFRecord file of
`PredictionLog`s, which TF Serving and the embedded server replay before a version
takes over. They are made of real rows of several numbers, where the export is given
some: a request of nothing but missing values warms no look-up of a vocabulary, and a
first one of another size would be planned anew.
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
from serving.export import requests
from serving.export.signatures import EXAMPLES, example_spec
from serving.models.servable import WARMUP_FILE

_CANDIDATES = 4
SIZES = (1, 10, 100)  # rows of the requests that are made of real ones
MOST_ROWS = max(SIZES)

Request = tuple[str, dict[str, npt.NDArray[Any]]]


def write_warmup(model_dir: str, spec: Spec, examples: Sequence[bytes] = ()) -> None:
    """Writes requests of each signature.

    Args:
        model_dir: Of the model.
        spec: The served one.
        examples: Serialized raw examples. Without any there is one small request a
            signature, whose features are all missing.
    """
    real = sampled_requests(spec, examples) if examples else warmup_requests(spec)
    path = os.path.join(model_dir, WARMUP_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in real:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = spec.name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def sampled_requests(spec: Spec, examples: Sequence[bytes]) -> Iterator[Request]:
    """Requests of the first 1, 10 and 100 rows, or as many as there are.

    In `rank` the first row's user is shown all rows' candidates. Only what is served is
    kept: no keys, no labels.
    """
    for size in sorted({min(size, len(examples)) for size in SIZES}):
        rows = _served(spec, examples[:size])
        yield "serving_default", rows
        asked = [f.name for f in requests.request_features(spec)]
        shown = [f.name for f in requests.candidate_features(spec)]
        weights = np.asarray(requests.weight_column(spec, {}), np.float32)
        yield (
            "rank",
            {
                **{name: rows[name][:1] for name in asked},
                **{name: rows[name] for name in shown},
                "weights": weights,
                "top_k": np.zeros((), np.int32),
            },
        )
        kept = [_only(spec, example) for example in examples[:size]]
        yield "score_examples", {EXAMPLES: np.array(kept, object)}


def _served(spec: Spec, examples: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    """Served feature -> its values in all rows; lists padded with missing values."""
    parsed = tf.io.parse_example(list(examples), example_spec(spec))
    return {
        f.name: tf.sparse.to_dense(parsed[f.name], f.missing).numpy()
        if f.is_sequence
        else parsed[f.name].numpy()
        for f in spec.served_features
    }


def _only(spec: Spec, serialized: bytes) -> bytes:
    """The example without what is not served."""
    example = tf.train.Example.FromString(serialized)
    served = {feature.name for feature in spec.served_features}
    for name in set(example.features.feature) - served:
        del example.features.feature[name]
    return example.SerializeToString(deterministic=True)


def warmup_requests(spec: Spec) -> Iterator[Request]:
    """A request of four rows for each signature; all features are missing."""
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
            "top_k": np.zeros((), np.int32),
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
