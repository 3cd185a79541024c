"""XAUC, for which every row is compared with every other: of some rows, if many."""

from __future__ import annotations

import numpy as np

from feature_specs import TaskSpec, label_key
from pipeline.evaluation.rows import Rows
from pipeline.reporting.ranking import xauc

MOST_ROWS = 1 << 18  # their pairs give it to about 0.0006


def sampled_xauc(
    rows: Rows, task: TaskSpec, column: str, most: int = MOST_ROWS
) -> float:
    """XAUC of a column of scores: of all rows up to `most`, else of every n-th.

    Args:
        rows: All rows.
        task: Whose labels and sample space.
        column: The scores.
        most: Rows that are compared, about.
    """
    every = max(1, -(-_count(rows, task) // most))
    labels, scores, skipped = [], [], 0
    for frame in rows.read_task(task.name, column):
        taken = frame.gather_every(every, offset=-skipped % every)
        skipped += frame.height
        labels.append(taken[label_key(task.name)].to_numpy())
        scores.append(taken[column].to_numpy())
    return xauc(np.concatenate(labels), np.concatenate(scores))


def _count(rows: Rows, task: TaskSpec) -> int:
    return sum(frame.height for frame in rows.read_task(task.name))
