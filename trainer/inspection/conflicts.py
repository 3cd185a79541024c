"""Whose gradients pull against whose (PLE sec. 3; Yu et al., 2020).

T = tasks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.inspection.inspection import LayerGradients

ALL_LAYERS = "all layers"


class GradientMeans:
    """Means over batches of the tasks' gradients of each layer."""

    def __init__(self) -> None:
        self.rows, self._batches = 0, 0
        self._sums: list[npt.NDArray[Any]] | None = None

    def add(self, rows: int, gradients: Sequence[tf.Tensor]) -> None:
        """Adds a batch: [T, weights] for each layer."""
        values = [gradient.numpy().astype(np.float64) for gradient in gradients]
        before = self._sums or [np.zeros_like(value) for value in values]
        self._sums = [a + b for a, b in zip(before, values, strict=True)]
        self.rows += rows
        self._batches += 1

    def by_layer(self, names: Sequence[str]) -> tuple[LayerGradients, ...]:
        """All layers as one, then each; those left out in which nothing is shared."""
        if not self._sums:
            return ()
        means = [_shared(total / self._batches) for total in self._sums]
        grams = {n: g @ g.T for n, g in zip(names, means, strict=True) if g.shape[1]}
        if not grams:
            return ()
        found = [layer_gradients(name, gram) for name, gram in grams.items()]
        return (layer_gradients(ALL_LAYERS, sum(grams.values())), *found)


def layer_gradients(name: str, gram: npt.NDArray[Any]) -> LayerGradients:
    """From the products [T, T] of the tasks' gradients."""
    norms = np.sqrt(np.diag(gram))
    scale = np.where(norms > 0, norms, math.nan)
    cosines = np.clip(gram / scale[:, np.newaxis] / scale, -1, 1)
    return LayerGradients(name=name, norms=norms, cosines=cosines)


def _shared(gradients: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The columns of [T, weights] that two tasks or more move."""
    return gradients[:, np.count_nonzero(gradients, axis=0) >= 2]
