"""SavedModels of a few ops, for what upstream's example does not have."""

import tensorflow as tf

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
