"""The meta learner G: an MLP of 256 ReLU units and one output (SFV sec. 5.3)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

UNITS = 256
_STEPS = 1000
_RATE = 3e-3
_BETAS = (0.9, 0.999)  # of Adam (Kingma and Ba, 2015, alg. 1)
_EPSILON = 1e-8

_Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """Mean and standard deviation of each column, so that all come at one size.

    A column that is the same for all examples says nothing, and becomes 0.

    Attributes:
        mean: [F].
        sd: [F]; infinite where nothing varies.
    """

    mean: _Array
    sd: _Array

    @classmethod
    def of(cls, values: _Array) -> Scale:
        """Of the columns of [N, F]."""
        sd = values.std(axis=0)
        tiny = 1e-9 * np.maximum(np.abs(values).max(axis=0), 1.0)  # rounding
        return cls(mean=values.mean(axis=0), sd=np.where(sd > tiny, sd, math.inf))

    def apply(self, values: _Array) -> _Array:
        """[..., F] -> the same, scaled."""
        return (values - self.mean) / self.sd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learner:
    """G, learned.

    Attributes:
        inputs: Scale of the features.
        targets: Scale of what it predicts.
        parameters: Weights [F, 256] and [256, 1], each with its bias.
    """

    inputs: Scale
    targets: Scale
    parameters: tuple[_Array, ...]

    def __call__(self, features: _Array) -> _Array:
        """features [N, F] -> predictions [N]."""
        _, output = _forward(self.inputs.apply(features), self.parameters)
        spread = np.where(np.isinf(self.targets.sd), 0.0, self.targets.sd)
        return (output * spread + self.targets.mean)[:, 0]


def learn(features: _Array, targets: _Array, seed: int) -> Learner:
    """G after a thousand steps of Adam on the mean squared error of all examples.

    Args:
        features: [N, F].
        targets: [N].
        seed: Of its first weights, which are He's for ReLU below, and 0 above: what no
            example teaches is not left to chance, but stays at the examples' mean.
    """
    inputs, outputs = Scale.of(features), Scale.of(targets[:, np.newaxis])
    x, y = inputs.apply(features), outputs.apply(targets[:, np.newaxis])
    parameters = _first(x.shape[1], np.random.default_rng(seed))
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    for step in range(1, _STEPS + 1):
        for own, m, v, slope in zip(
            parameters, first, second, _slopes(x, y, parameters), strict=True
        ):
            m += (1 - _BETAS[0]) * (slope - m)
            v += (1 - _BETAS[1]) * (slope**2 - v)
            unbiased = m / (1 - _BETAS[0] ** step)
            size = np.sqrt(v / (1 - _BETAS[1] ** step)) + _EPSILON
            own -= _RATE * unbiased / size
    return Learner(inputs=inputs, targets=outputs, parameters=parameters)


def _first(width: int, rng: np.random.Generator) -> tuple[_Array, ...]:
    return (
        rng.normal(scale=math.sqrt(2 / width), size=(width, UNITS)),
        np.zeros(UNITS),
        np.zeros((UNITS, 1)),
        np.zeros(1),
    )


def _forward(x: _Array, parameters: tuple[_Array, ...]) -> tuple[_Array, _Array]:
    """Hidden units [N, 256] and output [N, 1]."""
    weights, bias, last_weights, last_bias = parameters
    hidden = np.maximum(x @ weights + bias, 0.0)
    return hidden, hidden @ last_weights + last_bias


def _slopes(x: _Array, y: _Array, parameters: tuple[_Array, ...]) -> tuple[_Array, ...]:
    """Of the mean squared error, by each parameter (back propagation)."""
    hidden, output = _forward(x, parameters)
    of_output = 2 * (output - y) / len(x)
    of_hidden = (of_output @ parameters[2].T) * (hidden > 0)
    return (
        x.T @ of_hidden,
        of_hidden.sum(axis=0),
        hidden.T @ of_output,
        of_output.sum(axis=0),
    )
