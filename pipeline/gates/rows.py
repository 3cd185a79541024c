"""The rows that models are judged on: the same ones for all of them.

    rows = JudgedRows(models=("9", "8"), users=users, tasks={"like": like}, ranked=None)

N = rows, M = models, the one to be judged first; Q = ranked lists (requests, or a
user's day). Tasks are asked for one by one, so that a mapping which reads its columns
from files keeps no more than one task's in memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.reporting.metrics import MetricError, require_finite

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class TaskRows:
    """What one task's labels are, and what each model predicted.

    Attributes:
        labels: [N].
        mask: [N] whether the row is in the task's sample space.
        predictions: One [N] a model.
    """

    labels: npt.NDArray[Any]
    mask: npt.NDArray[Any]
    predictions: Sequence[npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """How well each model ordered each list by its fused score.

    Attributes:
        users: [Q] whose list it is, as in `JudgedRows.users`.
        ndcg: [M, Q] NDCG@10; NaN where a list has nothing to gain.
    """

    users: npt.NDArray[Any]
    ndcg: npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class JudgedRows:
    """Rows and predictions.

    Attributes:
        models: Names of the models, for people; the first one is judged, the others
            are those it is compared with.
        users: [N] whole numbers, one a user: ids, or hashes of them.
        tasks: Task -> its rows.
        ranked: Lists by the fused score; None if there are none.
        slices: Column of `evaluation.slices` -> [N] values.
    """

    models: tuple[str, ...]
    users: npt.NDArray[Any]
    tasks: Mapping[str, TaskRows]
    ranked: Ranked | None = None
    slices: Mapping[str, npt.NDArray[Any]] = dataclasses.field(default_factory=dict)


def checked(rows: JudgedRows, task: str) -> TaskRows:
    """A task's rows inside its sample space, all of them finite numbers.

    Raises:
        NotFiniteError: A label or a prediction is NaN or infinite; says whose.
        MetricError: The columns are not as many as the rows.
    """
    own = rows.tasks[task]
    inside = np.asarray(own.mask) > 0
    columns = [own.labels, *own.predictions]
    lengths = {len(rows.users), len(inside), *map(len, columns)}
    if len(lengths) > 1 or len(own.predictions) != len(rows.models):
        raise MetricError(
            f"Task {task!r}: must have one label, one mask and one prediction of each "
            f"of {len(rows.models)} models a row. Got columns of "
            f"{', '.join(map(str, sorted(lengths)))} rows, and {len(own.predictions)} "
            f"of predictions."
        )
    found = [np.asarray(column)[inside] for column in columns]
    for what, column in zip(("labels", *rows.models), found, strict=True):
        told = what if what == "labels" else f"predictions of model {what}"
        require_finite(f"Task {task!r}: {told}", column)
    return TaskRows(found[0], inside, found[1:])
