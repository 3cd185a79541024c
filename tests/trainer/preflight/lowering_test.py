"""What cannot run on a TPU is refused with the op, the line and a way out."""

import inspect
import pathlib

import pytest
import tensorflow as tf

from trainer.preflight.lowering import Refused, lower


def _line_of(function, text: str) -> int:
    """The line of this file where the source of `function` holds `text`."""
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def _refused(program) -> Refused:
    with pytest.raises(Refused) as caught:
        lower(program)
    return caught.value


def _hash(x):
    text = tf.strings.as_string(x)  # the culprit
    return tf.strings.to_hash_bucket_fast(text, 100)


def _count_up(x):
    return tf.reduce_sum(tf.range(x[0]))  # the culprit


def _in_python(x):
    return tf.py_function(lambda v: v + 1, [x], tf.float32)  # the culprit


def _print(x):
    tf.print(x)  # the culprit
    return x + 1


_TABLE = None


def _look_up(x):
    return _TABLE.lookup(x)  # the culprit


def _pad_ragged(x):
    ragged = tf.RaggedTensor.from_row_splits(x, [0, 4, 8])
    return ragged.to_tensor()  # the culprit


@pytest.mark.parametrize(
    "function, dtype, kind, remedy",
    [
        (_hash, tf.int32, "AsString", "A TPU has no strings"),
        (_count_up, tf.int32, "Range", "a TPU needs it as a number when it compiles"),
        (_in_python, tf.float32, "EagerPyFunc", "Python cannot run in a step"),
        (_print, tf.float32, "StringFormat", "tf.print cannot run in a step"),
        (_pad_ragged, tf.float32, "RaggedTensorToTensor", "pad to a fixed length"),
    ],
)
def test_culprit_is_named(program_of, function, dtype, kind, remedy):
    refused = _refused(program_of(function, [8], dtype=dtype))
    assert remedy in refused.remedy
    culprit = next(p for p in refused.where if p.kind == kind)
    assert pathlib.Path(culprit.file).name == "lowering_test.py"
    assert culprit.line == _line_of(function, "# the culprit")
    assert f":{culprit.line}: " in str(refused) and "# the culprit" in str(refused)


def test_lookup_table_is_named(program_of, monkeypatch):
    rows = tf.lookup.KeyValueTensorInitializer(tf.constant([1]), tf.constant([2]))
    monkeypatch.setitem(globals(), "_TABLE", tf.lookup.StaticHashTable(rows, -1))
    refused = _refused(program_of(_look_up, [8], dtype=tf.int32))
    assert "Lookup tables are the host's" in refused.remedy
    assert [p.line for p in refused.where] == [_line_of(_look_up, "# the culprit")]


def test_unknown_batch_is_refused(program_of):
    refused = _refused(program_of(lambda x: x + 1, [None, 4]))
    assert "give the batch a fixed size" in refused.remedy


def _wrong_shapes(x):
    return tf.matmul(x, x)  # the culprit


def test_error_of_tracing_names_the_line(program_of):
    refused = _refused(program_of(_wrong_shapes, [2, 3]))
    assert refused.where[0].line == _line_of(_wrong_shapes, "# the culprit")
    assert "cannot build or trace it" in refused.reason


def _cut(x):
    return tf.reduce_sum(tf.boolean_mask(x, x > 0))  # the culprit


def test_bounded_shape_is_told(program_of):
    # It compiles, padded to the bound of 8 rows.
    found = lower(program_of(_cut, [8])).dynamic
    assert {p.line for p in found} == {_line_of(_cut, "# the culprit")}


def test_static_shapes_are_not_told(program_of):
    assert lower(program_of(lambda x: tf.nn.relu(x) * 2, [8, 4])).dynamic == []


def test_culprit_in_a_layer_and_in_a_loop(program_of):
    class Hashing(tf.keras.layers.Layer):
        def call(self, x):
            return tf.while_loop(
                lambda i, _: i < 3,
                lambda i, y: (i + 1, y + _numbers(y)),
                [0, x],
            )[1]

    def _numbers(y):
        text = tf.strings.as_string(y)  # the culprit
        return tf.strings.to_number(text)

    layer = Hashing(name="hashing_layer")
    refused = _refused(program_of(layer, [8]))
    culprit = next(p for p in refused.where if p.kind == "AsString")
    assert culprit.line == _line_of(_numbers, "# the culprit")


def test_arguments_are_named_in_the_order_of_the_hlo(program_of):
    table = tf.Variable(tf.zeros([5, 3]), name="table")
    rate = tf.Variable(0.5, name="rate")

    def step(x):
        table.assign_sub(rate * tf.ones([5, 3]) * tf.reduce_sum(x))
        return tf.reduce_sum(table)

    found = lower(program_of(step, [4], variables=[table, rate])).arguments
    assert [(a.name, a.shape, a.variable) for a in found] == [
        ("input_0", (4,), False),
        ("rate", (), True),
        ("table", (5, 3), True),
    ]
