"""How far two answers of one model may be apart, and how far they are.

Another process, processor or batch adds numbers up in another order; what is more than
that is another model, or other inputs.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-5  # of a prediction; above 1 as a share of it
# The same of a model whose products are of bfloat16, with 8 bits: which way the last of
# them is rounded differs from processor to processor.
BFLOAT16_TOLERANCE = 2e-2


def tolerance_of(model_dir: str) -> float:
    """How far predictions may be apart, by the types that a SavedModel computes with.

    Args:
        model_dir: Of the model; may lie in a bucket. One that is none has `TOLERANCE`:
            whoever loads it tells.
    """
    import tensorflow as tf
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    path = os.path.join(model_dir, "saved_model.pb")
    if not tf.io.gfile.exists(path):
        return TOLERANCE
    with tf.io.gfile.GFile(path, "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    types = {
        value.type
        for graph in saved.meta_graphs
        for function in graph.graph_def.library.function
        for node in function.node_def
        for value in node.attr.values()
    }
    return BFLOAT16_TOLERANCE if types_pb2.DT_BFLOAT16 in types else TOLERANCE


def apart(
    found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]
) -> npt.NDArray[np.float64]:
    """How far each value is off, as a share of what is above 1; two NaN are alike.

    Two arrays of one shape -> float64 of that shape; infinite where one is no number.
    """
    left, right = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(left - right) / np.maximum(np.abs(right), 1)
    off = np.where(same, 0.0, off)
    return np.where(np.isnan(off), np.inf, off)
