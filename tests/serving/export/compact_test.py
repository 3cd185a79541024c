"""A function and its compacted self: the same values, fewer ops, the same refusals."""

import numpy as np
import pytest
import tensorflow as tf

from serving.export import compact as module
from serving.export.compact import compact


@pytest.fixture
def model():
    """y = relu(x) @ w + the row of a table that text names, and parts nobody needs."""
    found = tf.Module()
    found.w = tf.Variable([[1.0], [2.0]], name="w")
    found.rows = tf.Variable([[10.0], [20.0], [30.0]], name="rows")
    entries = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    found.table = tf.lookup.StaticHashTable(entries, default_value=0)

    @tf.function
    def inner(x, text):
        doubled = found.w * 2.0  # of weights alone
        row = tf.gather(found.rows, found.table.lookup(text))
        return tf.nn.relu(x) @ doubled + row, tf.reduce_sum(x)

    inputs = {
        "x": tf.TensorSpec([None, 2], tf.float32, name="x"),
        "text": tf.TensorSpec([None], tf.string, name="text"),
        "unused": tf.TensorSpec([None], tf.float32, name="unused"),
    }

    @tf.function(input_signature=[inputs], autograph=False)
    def outer(features):
        x = tf.ensure_shape(features["x"], [None, 2])
        return {"y": inner(x, features["text"])[0]}

    found.outer = outer
    return found


def _inputs(count=2):
    x = [[1.0, -1.0], [0.5, 3.0]][:count]
    return {
        "x": tf.constant(x, tf.float32, shape=[count, 2]),
        "text": tf.constant(["b", "?"][:count], tf.string, shape=[count]),
        "unused": tf.zeros([count]),
    }


# relu(1, -1) @ (2, 4) + row 2; relu(0.5, 3) @ (2, 4) + row 0
EXPECTED = [[32.0], [23.0]]


def _ops(function):
    return [node.op for node in function.graph.as_graph_def().node]


def test_values_are_those_of_the_function(model):
    made = compact(model.outer.get_concrete_function(), [model.w, model.rows])
    np.testing.assert_array_equal(made(_inputs())["y"], EXPECTED)
    assert made(_inputs(0))["y"].shape == (0, 1)


def test_weights_are_folded_and_calls_inlined(model):
    ops = _ops(compact(model.outer.get_concrete_function(), [model.w, model.rows]))
    assert not {"ReadVariableOp", "ResourceGather", "Mul", "Sum"} & set(ops)
    assert not [op for op in ops if op.endswith("PartitionedCall")]


def test_a_large_variable_stays_one(model, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_CONSTANT_BYTES", 8)  # w has 8 bytes, rows 12
    made = compact(model.outer.get_concrete_function(), [model.w, model.rows])
    assert "ResourceGather" in _ops(made)
    model.rows.assign_add([[1.0], [1.0], [1.0]])
    model.w.assign([[0.0], [0.0]])  # a constant by now
    np.testing.assert_array_equal(made(_inputs())["y"], [[33.0], [24.0]])


def test_what_the_function_refuses_is_refused(model):
    made = compact(model.outer.get_concrete_function(), [model.w, model.rows])
    wide = _inputs() | {"x": tf.zeros([2, 3])}
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        made(wide)


def test_it_is_saved_and_loaded_with_its_table(model, tmp_path):
    made = compact(model.outer.get_concrete_function(), [model.w, model.rows])
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"s": made})
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures["s"]
    np.testing.assert_array_equal(loaded(**_inputs())["y"], EXPECTED)
