"""Log scores under other sections `fusion` than the served one, from what was served.

A served `log score = sum_t w_t log g_t + e log f(length)` (PLE eq. 1). The tasks'
factors follow from their predictions under any section; what is left of the served
score without them is the length's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from feature_specs import Spec
from feature_specs.spec import FusionSpec
from pipeline.evaluation.rows import prediction_key, score_key
from pipeline.fusion_search.errors import FusionSearchError

if TYPE_CHECKING:
    from pipeline.fusion_search.partitions import Places  # TensorFlow

_Floats: TypeAlias = "npt.NDArray[np.float64]"


def check_length(served: FusionSpec, other: FusionSpec) -> None:
    """FusionSearchError where f(length) is none that was served."""
    old, new = served.length, other.length
    if new is None or not new.weight:
        return
    is_same = old is not None and (old.feature, old.transform, old.scale) == (
        new.feature,
        new.transform,
        new.scale,
    )
    if old is None or not old.weight or not is_same:
        raise FusionSearchError(
            "fusion.length: f(length) is read from the served score, of which it is a "
            "factor, so that only its weight may be another. Leave `length` as the run "
            "has it, or run the pipeline with the new section first."
        )


def log_scores(
    spec: Spec, others: Sequence[FusionSpec], rows: pl.DataFrame, places: Places
) -> list[_Floats]:
    """[N] log scores of scored rows under each section.

    Args:
        spec: Of the model that scored them.
        others: Sections that `check_length` has passed.
        rows: With the model's score and predictions.
        places: Of all facets that one of the sections names.
    """
    served = _tasks_part(spec, spec.fusion, rows, places)
    of_length = rows[score_key()].cast(pl.Float64).to_numpy() - served
    length = spec.fusion.length
    found = []
    for other in others:
        own = _tasks_part(spec, other, rows, places)
        if length is not None and length.weight and other.length is not None:
            own = own + of_length * (other.length.weight / length.weight)
        found.append(own)
    return found


def tasks_of(fusion: FusionSpec) -> list[str]:
    """The tasks that a section's score depends on."""
    by_facet = [
        name
        for by_partition in fusion.facets.values()
        for weights in by_partition.values()
        for name in weights
    ]
    return list(
        dict.fromkeys([*(n for n, w in fusion.weights.items() if w), *by_facet])
    )


def _tasks_part(
    spec: Spec, fusion: FusionSpec, rows: pl.DataFrame, places: Places
) -> _Floats:
    """[N] what the tasks add to the log score."""
    from serving.export.fusion import log_factor_of  # TensorFlow

    aim = dataclasses.replace(spec, fusion=fusion)
    total = np.zeros(rows.height)
    for name in tasks_of(fusion):
        task = next(task for task in spec.tasks if task.name == name)
        predictions = rows[prediction_key(name)].to_numpy()
        factor = log_factor_of(aim, task, predictions).numpy()
        total += factor * _row_weights(spec, fusion, name, places)
    return total


def _row_weights(
    spec: Spec, fusion: FusionSpec, task: str, places: Places
) -> float | _Floats:
    """A task's exponent, [N] where a facet decides it."""
    common = fusion.weights.get(task, 0.0)
    for name, by_partition in fusion.facets.items():
        if any(task in weights for weights in by_partition.values()):
            own = [
                by_partition.get(partition, {}).get(task, common)
                for partition in spec.facets[name].partitions
            ]
            return np.array(own)[places[name]]
    return common
