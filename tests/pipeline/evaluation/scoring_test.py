"""What is read of examples beside the predictions."""

import dataclasses

import numpy as np
import tensorflow as tf

from feature_specs.spec import RequestSpec
from pipeline.evaluation import scoring
from tests.pipeline.evaluation.tiny import SPEC


def test_examples_with_requests_are_read_with_them():
    log = dataclasses.replace(SPEC.log, request=RequestSpec(column="video_id"))
    spec = dataclasses.replace(SPEC, log=log)
    numbers = {"key_user": 1, "key_item": 2, "key_time_ms": 3, "key_request": -(2**63)}
    values = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
        for name, number in numbers.items()
    }
    for name in ("label_like", "mask_like", "label_stay", "mask_stay"):
        values[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
    example = tf.train.Example(features=tf.train.Features(feature=values))
    rows = scoring.labels_of(spec, tf.constant([example.SerializeToString()]))
    assert rows["key_request"].to_list() == [-(2**63)]
    assert "key_request" not in scoring.labels_of(
        SPEC, tf.constant([example.SerializeToString()])
    )


def test_rows_are_ordered_by_the_log_score_where_a_model_has_one():
    outputs = {
        "like": np.array([0.5, 0.5], np.float32),
        "score": np.array([0.0, 0.0], np.float32),  # both are below float32
        "log_score": np.array([-900.0, -901.0]),
    }
    found = scoring.predictions_of(SPEC, outputs, model=1)
    assert found["score@1"].to_list() == [-900.0, -901.0]
    del outputs["log_score"]  # of an earlier release
    assert scoring.predictions_of(SPEC, outputs, model=1)["score@1"].to_list() == [0, 0]
