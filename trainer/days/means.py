"""What the steps of a day returned, summed up: over rows, a task's over its own."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from feature_specs import Spec

# Columns of a step's results. The tasks' losses follow, then the rows in their sample
# spaces.
ROWS, LOSS, DISENTANGLE, TASKS = range(4)


class DayMeans:
    """Means so far of one day's steps; a checkpoint in the middle of it keeps them.

    Args:
        tasks: Number of tasks.
        sums: What `to_json` gave, to go on from there.
    """

    def __init__(self, tasks: int, sums: dict[str, Any] | None = None):
        sums = sums or {}
        self.rows = int(sums.get("rows", 0))
        self.steps = int(sums.get("steps", 0))
        self._loss = float(sums.get("loss", 0.0))
        self._disentangle = float(sums.get("disentangle", 0.0))
        self._task_losses = np.array(sums.get("task_losses", [0.0] * tasks))
        self._task_rows = np.array(sums.get("task_rows", [0.0] * tasks))
        self._seconds_before = float(sums.get("seconds", 0.0))
        self._started = time.perf_counter()

    def add(self, table: npt.NDArray[np.float32]) -> None:
        """Counts the steps of `table` [steps, columns]."""
        table = table.astype(np.float64)
        losses, rows = np.split(table[:, TASKS:], 2, axis=1)
        self._loss += float(table[:, ROWS] @ table[:, LOSS])
        self._disentangle += float(table[:, ROWS] @ table[:, DISENTANGLE])
        self._task_losses += (rows * losses).sum(axis=0)
        self._task_rows += rows.sum(axis=0)
        self.rows += int(table[:, ROWS].sum())
        self.steps += len(table)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "rows": self.rows,
            "steps": self.steps,
            "loss": self._loss,
            "disentangle": self._disentangle,
            "task_losses": self._task_losses.tolist(),
            "task_rows": self._task_rows.tolist(),
            "seconds": self.seconds,
        }

    def record(self, spec: Spec, day: str) -> dict[str, Any]:
        """The line of `metrics.jsonl` that `loop.train` describes."""
        names = [task.name for task in spec.tasks]
        losses = (self._task_losses / np.maximum(self._task_rows, 1)).tolist()
        return {
            "day": day,
            "rows": self.rows,
            "steps": self.steps,
            "loss": self.loss,
            "disentangle": self._disentangle / max(self.rows, 1),
            "task_losses": dict(zip(names, losses, strict=True)),
            "seconds": round(self.seconds, 3),
            "rows_per_s": round(self.rows_per_s, 1),
        }

    @property
    def loss(self) -> float:
        """Of a row."""
        return self._loss / max(self.rows, 1)

    @property
    def seconds(self) -> float:
        """Those before a restart included."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def rows_per_s(self) -> float:
        """Over the whole day so far."""
        return self.rows / self.seconds
