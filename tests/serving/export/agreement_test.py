"""Differences by hand, and tolerances of real SavedModels."""

import numpy as np
import tensorflow as tf

from serving.export.agreement import BFLOAT16_TOLERANCE, TOLERANCE, apart, tolerance_of


def test_differences_are_shares_of_what_is_above_1():
    found = np.array([0.5, 101.0, -3.0, np.nan, np.inf, np.nan, np.inf])
    expected = np.array([0.25, 100.0, 1.0, np.nan, np.inf, 1.0, 1.0])
    off = apart(found, expected)
    assert off.tolist() == [0.25, 1 / 100, 4.0, 0.0, 0.0, np.inf, np.inf]


def _save(path, dtype):
    class Half(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half(self, x):
            return {"y": tf.cast(tf.cast(x, dtype) / 2, tf.float32)}

    module = Half()
    tf.saved_model.save(module, str(path), signatures={"half": module.half})


def test_bfloat16_is_compared_by_what_it_can_tell(tmp_path):
    _save(tmp_path / "rough", tf.bfloat16)
    _save(tmp_path / "fine", tf.float32)
    assert tolerance_of(str(tmp_path / "rough")) == BFLOAT16_TOLERANCE
    assert tolerance_of(str(tmp_path / "fine")) == TOLERANCE
    assert tolerance_of(str(tmp_path / "none")) == TOLERANCE
