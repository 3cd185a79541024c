"""Networks of equal shape lie side by side: which ones, and how to pick them out."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import tensorflow as tf


def bundles(shapes: Iterable[Hashable]) -> tuple[tuple[int, ...], ...]:
    """Positions of equal shapes: [64, 32, 64] -> ((0, 2), (1,))."""
    found: dict[Hashable, list[int]] = {}
    for position, shape in enumerate(shapes):
        found.setdefault(shape, []).append(position)
    return tuple(tuple(positions) for positions in found.values())


def take(x: tf.Tensor, positions: Sequence[int]) -> tf.Tensor:
    """`x` [B, n, ...] at the given positions of axis 1, known beforehand.

    Slices, joined: unlike a gather's, their gradient needs no scatter, and there are
    few, as neighbours stay together.
    """
    if tuple(positions) == tuple(range(x.shape[1])):
        return x
    slices = [x[:, first:last] for first, last in _runs(positions)]
    return slices[0] if len(slices) == 1 else tf.concat(slices, axis=1)


def put_back(
    parts: Sequence[tf.Tensor], positions: Sequence[Sequence[int]]
) -> tf.Tensor:
    """Undoes `take`: parts [B, n_i, ...] that belong at `positions` -> [B, n, ...]."""
    order = [position for own in positions for position in own]
    joined = parts[0] if len(parts) == 1 else tf.concat(list(parts), axis=1)
    return take(joined, sorted(range(len(order)), key=order.__getitem__))


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of successive positions, each as [first, last)."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return runs
