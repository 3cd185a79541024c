"""What a row is worth: an SQL expression over the labels of tasks.

    watch_time + 20 * like + 60 * share - 30 * hate

A task's name stands for its label; outside the task's sample space that is 0.

NDCG needs gains of 0 and more, and a utility may be below 0: in a group with such rows
all are raised by the lowest one. So what harms is kept apart from what is worth
nothing, and a group without such rows has the gains that it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec, expressions, label_key, mask_key, missing
from pipeline.fusion_search.errors import FusionSearchError
from pipeline.reporting.ranking import Groups

_Floats: TypeAlias = "npt.NDArray[np.float64]"


def check_utility(text: str, spec: Spec) -> None:
    """FusionSearchError if a text is no utility of the spec's tasks."""
    try:
        mistake = _mistake(text, [task.name for task in spec.tasks])
    except ValueError as error:  # it is no expression, or mixes rows
        mistake = str(error)
    if mistake:
        raise FusionSearchError(f"--utility {text!r}: {mistake}.")


def _mistake(text: str, tasks: Sequence[str]) -> str:
    used = expressions.columns_of(text)
    if unknown := sorted(used - set(tasks)):
        return (
            f"names {', '.join(unknown)}, which is no task; the tasks are "
            f"{', '.join(tasks)}"
        )
    schema: dict[str, pl.DataType] = {name: pl.Float64() for name in tasks}
    found = expressions.type_of(text, expressions.sample_rows(schema))
    if not found.is_numeric() and found != pl.Boolean:
        return f"gives {found}; it must give a number"
    return "" if used else "names no task; each row would be worth the same"


def utility_of(text: str, spec: Spec, frame: pl.DataFrame) -> _Floats:
    """[N] what each row is worth.

    Args:
        text: That `check_utility` lets pass.
        spec: Whose tasks are named.
        frame: With `label_<task>` and `mask_<task>` of each.

    Raises:
        FusionSearchError: A row's is no number.
    """
    labels = frame.select(
        pl.when(pl.col(mask_key(task.name)) > 0)
        .then(pl.col(label_key(task.name)).cast(pl.Float64))
        .otherwise(0.0)
        .alias(task.name)
        for task in spec.tasks
    )
    found = missing.compute(labels, {"value": text})["value"].cast(pl.Float64)
    values = found.fill_null(np.nan).to_numpy()
    if bad := int((~np.isfinite(values)).sum()):
        raise FusionSearchError(
            f"--utility {text!r}: is no number in {bad:,} of {len(values):,} rows. "
            "Does it divide by 0, or take the logarithm of 0? Labels may be 0."
        )
    return values


def gains_of(utility: _Floats, groups: Groups) -> _Floats:
    """[N] gains of 0 and more, as at the top of this module."""
    if not len(groups):
        return utility
    lowest = np.minimum(np.minimum.reduceat(utility, groups.starts), 0)
    return utility - lowest[groups.index]
