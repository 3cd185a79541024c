"""SavedModels of a few ops, for what upstream's example does not have."""

import os
import shutil

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_PARSED = {"x": tf.io.FixedLenFeature([], tf.float32, 0.0)}


class Examples(tf.Module):
    """Classifies and regresses by the feature `x` of serialized examples.

    Args:
        bias: Added to `x` in regressions; tells versions apart.
    """

    def __init__(self, bias: float = 0.0):
        super().__init__()
        self.bias = bias

    def save(self, path) -> None:
        spec = tf.TensorSpec([None], tf.string, name="inputs")
        functions = {
            name: tf.function(getattr(self, name), input_signature=[spec])
            for name in (
                "both",
                "scores_only",
                "classes_only",
                "flat_scores",
                "whole_scores",
                "value",
                "column",
                "pair",
                "rows_lost",
            )
        }
        tf.saved_model.save(
            self,
            str(path),
            signatures={"serving_default": functions["value"]} | functions,
        )

    def _x(self, inputs):
        return tf.io.parse_example(inputs, _PARSED)["x"]

    def both(self, inputs):
        x = self._x(inputs)
        labels = tf.tile([["lo\u00e9", "high"]], [tf.size(x), 1])
        return {"classes": labels, "scores": tf.stack([1.0 - x, x], axis=1)}

    def scores_only(self, inputs):
        return {"scores": self._x(inputs)[:, tf.newaxis]}

    def classes_only(self, inputs):
        return {
            "classes": tf.strings.as_string(self._x(inputs), shortest=True)[
                :, tf.newaxis
            ]
        }

    def flat_scores(self, inputs):
        return {"scores": self._x(inputs)}

    def whole_scores(self, inputs):
        return {"scores": tf.cast(self._x(inputs), tf.int32)[:, tf.newaxis]}

    def value(self, inputs):
        return {"outputs": self._x(inputs) + self.bias}

    def column(self, inputs):
        return {"outputs": self._x(inputs)[:, tf.newaxis] + self.bias}

    def pair(self, inputs):
        return {"outputs": tf.stack([self._x(inputs)] * 2, axis=1)}

    def rows_lost(self, inputs):
        return {"outputs": self._x(inputs)[:1]}


_KINDS = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
    "complex64",
]


def save_kinds(path) -> None:
    """A model of bare ops: `same_<dtype>` gives `x` back; others by shape and name.

    Made as TensorFlow 1 does: no function is traced, so that it takes an instant.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = {f"same_{kind}": _same(kind) for kind in _KINDS}
        number, text = _placeholder("int64", "number"), _placeholder("string", "text")
        x, a, b = (_placeholder("float32", name) for name in "xab")
        product = {"product": tf.linalg.matmul(a, b)}
        uneven = {"first": tf.identity(x[:1]), "all": tf.identity(x)}
        signatures |= {
            "scalar": _signature(
                {"number": number}, {"number": tf.ensure_shape(number, [])}
            ),
            "product": _signature({"a": a, "b": b}, product),
            "uneven": _signature({"x": x}, uneven),
            "fewer": _signature({"x": x}, {"first": uneven["first"]}),
            "halves": _signature({"x": x}, {"y": tf.cast(x, tf.float16)}),
            "number_bytes": _signature(
                {"number": number}, {"number_bytes": tf.identity(number)}
            ),
            "pair": _signature(
                {"x": x, "text": text},
                {"x": tf.identity(x), "text": tf.identity(text)},
            ),
        }
        inputs = _placeholder("string", "inputs")
        parsed = tf.io.parse_example(inputs, _PARSED)["x"]
        with tf.control_dependencies([tf.debugging.Assert(False, ["refused"])]):
            refused = tf.identity(inputs)
        signatures |= {
            "parsed": _signature({"inputs": inputs}, {"outputs": parsed}),
            "refuses": _signature({"inputs": inputs}, {"outputs": refused}),
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def _placeholder(kind: str, name: str) -> tf.Tensor:
    return tf.compat.v1.placeholder(kind, None, name)


def _same(kind: str):
    x = _placeholder(kind, f"x_{kind}")
    return _signature({"x": x}, {"y": tf.identity(x)})


def _signature(inputs, outputs):
    return tf.compat.v1.saved_model.predict_signature_def(inputs, outputs)


def save_tables(path, tables: int, table_bytes: int) -> None:
    """Gives `x` plus 1 back; a model that is little more than its tables."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x, number = _placeholder("float32", "x"), tf.constant(1.0, name="number")
        for index in range(tables):
            v1.get_variable(f"table_{index}", initializer=tf.zeros([table_bytes // 4]))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(path))
        signatures = {"serving_default": _signature({"x": x}, {"y": x + number})}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def renumbered(path, new, number: int) -> None:
    """The same at another place, with another number; the tables' file is shared."""
    shutil.copytree(path, new, copy_function=os.link)
    file = new / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (node,) = (n for n in model.meta_graphs[0].graph_def.node if n.name == "number")
    node.attr["value"].tensor.float_val[0] = number
    file.unlink()
    file.write_bytes(model.SerializeToString())


def save_reader(path, number: int) -> None:
    """Adds `number` to `x`; `read` gives what a file holds, and waits for a pipe."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x, name = _placeholder("float32", "x"), _placeholder("string", "name")
        signatures = {
            "serving_default": _signature({"x": x}, {"y": x + float(number)}),
            "read": _signature({"name": name}, {"text": tf.io.read_file(name)}),
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def save_scorer(path, slope: float, refuses: bool = False, more: str = "") -> None:
    """A ranker of bare ops: `rank` of one user's candidates, `score` is `slope` times x.

    Args:
        path: Its directory.
        slope: `log_score` is slope * x, `like` is slope + x.
        refuses: Whether every request fails.
        more: Another input that a request must have.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = {name: _placeholder("int64", name) for name in ("user_id", "video_id")}
        inputs["x"] = _placeholder("float32", "x")
        if more:
            inputs[more] = _placeholder("float32", more)
        top_k = inputs["top_k"] = _placeholder("int32", "top_k")
        guards = [tf.debugging.Assert(not refuses, ["out of order"])]
        with tf.control_dependencies(guards):
            score = tf.cast(inputs["x"], tf.float64) * slope
        count = tf.size(score)
        best = tf.math.top_k(score, tf.where(top_k > 0, top_k, count)).indices
        positions = tf.where(top_k > 0, best, tf.range(tf.size(best)))
        outputs = {
            "log_score": tf.gather(score, positions),
            "like": tf.gather(inputs["x"], positions) + slope,
            "positions": positions,
        }
        builder = v1.saved_model.Builder(str(path))
        signatures = {"rank": _signature(inputs, outputs)}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def save_waiting(path, file) -> None:
    """`save_scorer`'s `rank`, which reads a file first, and waits for a pipe."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = {name: _placeholder("int64", name) for name in ("user_id", "video_id")}
        inputs |= {"x": _placeholder("float32", "x")}
        inputs |= {"top_k": _placeholder("int32", "top_k")}
        # Not a constant, which would be read once for all requests.
        nothing = tf.strings.substr(tf.strings.as_string(inputs["top_k"]), 0, 0)
        read = tf.io.read_file(tf.strings.join([str(file), nothing]))
        read_bytes = tf.strings.length(read)
        score = inputs["x"] + tf.cast(read_bytes, tf.float32)
        outputs = {"log_score": tf.cast(score, tf.float64)}
        builder = v1.saved_model.Builder(str(path))
        signatures = {"rank": _signature(inputs, outputs)}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
