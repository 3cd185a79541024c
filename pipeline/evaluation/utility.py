"""What each row is worth by a utility (`feature_specs.utility`), and gains of that.

NDCG needs gains of 0 and more, and a utility may be below 0: in a group with such rows
all are raised by the lowest one. So what harms is kept apart from what is worth
nothing, and a group without such rows has the gains that it says.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec, label_key, mask_key, missing
from feature_specs.errors import TrailrankError
from pipeline.reporting.ranking import Groups

_Floats: TypeAlias = "npt.NDArray[np.float64]"


class UtilityError(TrailrankError, ValueError):
    """A utility is no number in some rows."""


def utility_of(text: str, spec: Spec, frame: pl.DataFrame) -> _Floats:
    """[N] what each row is worth.

    Args:
        text: In which `mistake_in` finds no mistake.
        spec: Whose tasks are named.
        frame: With `label_<task>` and `mask_<task>` of each.

    Raises:
        UtilityError: A row's is no number.
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
        raise UtilityError(
            f"The utility {text!r} is no number in {bad:,} of {len(values):,} rows. "
            "Does it divide by 0, or take the logarithm of 0? Labels may be 0."
        )
    return values


def gains_of(utility: _Floats, groups: Groups) -> _Floats:
    """[N] gains of 0 and more, as at the top of this module."""
    if not len(groups):
        return utility
    lowest = np.minimum(np.minimum.reduceat(utility, groups.starts), 0)
    return utility - lowest[groups.index]
