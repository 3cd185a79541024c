"""Means and products of many rows, batch by batch, without loss of digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Moments:
    """Count, mean and centred squares or products (Chan, Golub & LeVeque, 1979).

    A sum of squares less the square of a sum would cancel in float32; batches that are
    centred on their own means do not, and are joined in float64.

    Attributes:
        rows: Rows so far, of any shape that goes with the mean's first axes.
        mean: [..., N].
        products: Sums of centred squares [..., N], or of products [..., N, N].
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[Any] = np.zeros([])
        self.mean: npt.NDArray[Any] = np.zeros([])
        self.products: npt.NDArray[Any] = np.zeros([])

    def add(
        self, rows: npt.NDArray[Any], mean: npt.NDArray[Any], products: npt.NDArray[Any]
    ) -> None:
        """Joins a batch: its rows, its mean, its sums around that mean."""
        rows, mean = np.asarray(rows, np.float64), np.asarray(mean, np.float64)
        total = self.rows + rows
        known = np.where(total > 0, total, 1.0)
        moved = mean - self.mean
        weight = self.rows * rows / known
        if products.ndim == mean.ndim:
            between = _under(weight, mean) * moved * moved
        else:
            outer = moved[..., :, np.newaxis] * moved[..., np.newaxis, :]
            between = _under(weight, products) * outer
        self.mean = self.mean + moved * _under(rows / known, mean)
        self.products = self.products + products + between
        self.rows = total

    @property
    def sd(self) -> npt.NDArray[Any]:
        """[..., N], standard deviations; of sums of squares."""
        rows = _under(np.maximum(self.rows, 1.0), self.products)
        return np.sqrt(self.products / rows)


def _under(value: npt.NDArray[Any], like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`value` with as many axes as `like`, new ones last."""
    return np.reshape(value, value.shape + (1,) * (np.ndim(like) - value.ndim))
