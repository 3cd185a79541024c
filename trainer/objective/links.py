"""How a logit and the mean that it predicts belong together (a GLM's link function)."""

from __future__ import annotations

import abc
import math

import tensorflow as tf

_RAREST = 1e-6  # label means are kept this far from 0 and 1
_SMALLEST = 1.2e-38  # of float32, whatever the type: a little above 2^-126
_LARGEST_LOG = 80.0  # expm1 of it is 5e34, which float32 still holds


class Link(abc.ABC):
    """A link function and its inverse.

    Attributes:
        name: Unique.
    """

    name: str

    @abc.abstractmethod
    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        """The means that logits of any shape predict."""

    @abc.abstractmethod
    def logit(self, mean: float) -> float:
        """The logit that predicts a label mean."""

    def log_predict(self, logits: tf.Tensor) -> tf.Tensor:
        """Logarithms of the means, where these are above 0; finite for any logit.

        A link that knows them from the logits keeps apart what means are too coarse
        for; here a mean of 0 counts as the smallest number above it.
        """
        means = self.predict(logits)
        return tf.math.log(tf.maximum(means, _SMALLEST))


class Probability(Link):
    """p = sigmoid(z)."""

    name = "probability"

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(logits)

    def log_predict(self, logits: tf.Tensor) -> tf.Tensor:
        """-log(1 + exp(-z)): logits of 20 and 30 differ, where both means are 1."""
        return tf.math.log_sigmoid(logits)

    def logit(self, mean: float) -> float:
        mean = min(max(mean, _RAREST), 1 - _RAREST)
        return math.log(mean / (1 - mean))


class Identity(Link):
    """y = z."""

    name = "identity"

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.identity(logits)

    def logit(self, mean: float) -> float:
        return mean


class Exponential(Link):
    """y = exp(z) - 1, at least 0, and finite: z counts as 80 at most."""

    name = "exponential"

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.math.expm1(tf.clip_by_value(logits, 0.0, _LARGEST_LOG))

    def logit(self, mean: float) -> float:
        return math.log1p(max(mean, 0.0))
