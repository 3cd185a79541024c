"""Labels added up by id, some rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs import TaskSpec

STRENGTH = 20.0  # rows with the label mean that an id counts as having had

_Floats = npt.NDArray[np.float64]


class IdSums:
    """Sum and number of the labels that each id has had, of one task.

    What a call costs follows its rows, not the ids that there are.
    """

    def __init__(self) -> None:
        self._total, self._count = np.zeros(1), np.zeros(1)

    def add(
        self, ids: npt.NDArray[Any], labels: npt.NDArray[Any], mask: npt.NDArray[Any]
    ) -> None:
        """Of rows; those whose mask is 0 count for nothing. All [N]."""
        missing = int(ids.max(initial=0)) + 1 - len(self._count)
        if missing > 0:  # and as much again: it grows a few times only
            room = (0, missing + len(self._count))
            self._total = np.pad(self._total, room)
            self._count = np.pad(self._count, room)
        np.add.at(self._total, ids, labels * mask)
        np.add.at(self._count, ids, mask)

    def label_mean(self, task: TaskSpec) -> float:
        """Over all rows, as training begins with it."""
        return task.of_kind.mean_label(
            float(self._total.sum()), float(self._count.sum())
        )

    def counts(self, ids: npt.NDArray[Any]) -> _Floats:
        """Rows that the id of each row has had, [N]."""
        return self._of(self._count, ids)

    def means(self, ids: npt.NDArray[Any], mean: float) -> _Floats:
        """(sum + 20 mean) / (rows + 20) of the id of each row, [N]."""
        total = self._of(self._total, ids)
        return (total + STRENGTH * mean) / (self.counts(ids) + STRENGTH)

    @staticmethod
    def _of(values: _Floats, ids: npt.NDArray[Any]) -> _Floats:
        """0 for an id that was never there."""
        inside = ids < len(values)
        return np.where(inside, values[np.where(inside, ids, 0)], 0.0)
