"""How a logit and the mean that it predicts belong together (a GLM's link function)."""

from __future__ import annotations

import abc
import math

import numpy as np
import scipy.optimize
import scipy.special
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


class Ordinal(Link):
    """y = the mean over levels t in (0, 1) of P(label > t) = sigmoid(z - logit(t)).

    The expectation of a label from 0 to 1 whose log-odds of lying above t are z higher
    than those of one that is uniform (proportional odds, McCullagh, 1980): a z of 0
    predicts 1/2. There are 20 levels, 0.025, 0.075 ... 0.975.
    """

    name = "ordinal"
    levels = (np.arange(20, dtype=np.float64) + 0.5) / 20
    odds = np.log(levels / (1 - levels))

    def above(self, logits: tf.Tensor) -> tf.Tensor:
        """The log-odds that a label lies above each level, [..., 20]."""
        return logits[..., tf.newaxis] - tf.constant(self.odds, logits.dtype)

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.sigmoid(self.above(logits)), axis=-1)

    def logit(self, mean: float) -> float:
        """By bisection: no formula has it."""
        mean = min(max(mean, _RAREST), 1 - _RAREST)
        found = scipy.optimize.brentq(
            lambda z: float(np.mean(scipy.special.expit(z - self.odds))) - mean, -40, 40
        )
        return float(found)


class Exponential(Link):
    """y = exp(z) - 1, at least 0, and finite: z counts as 80 at most."""

    name = "exponential"

    def predict(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.math.expm1(tf.clip_by_value(logits, 0.0, _LARGEST_LOG))

    def logit(self, mean: float) -> float:
        return math.log1p(max(mean, 0.0))
