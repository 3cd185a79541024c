"""Requests for the served signatures, made from feature values and the spec."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feature_specs import FeatureSpec, Spec
from feature_specs.build import closest
from feature_specs.errors import TrailrankError

Values = Mapping[str, Any]


class RequestError(TrailrankError, ValueError):
    """A request names something that its signature does not know."""


def request_features(spec: Spec) -> list[FeatureSpec]:
    """The features of a request: the user's and the context's."""
    return [f for f in spec.features if f.group in ("query", "context")]


def candidate_features(spec: Spec) -> list[FeatureSpec]:
    """The features of one candidate."""
    return [f for f in spec.features if f.group == "candidate"]


def paired_features(spec: Spec) -> list[FeatureSpec]:
    """Candidate features that differ from user to user: no item has them alone."""
    return [feature for feature in candidate_features(spec) if feature.paired]


def rank_inputs(
    spec: Spec,
    request: Values,
    candidates: Sequence[Values],
    weights: Mapping[str, float] | None = None,
    top_k: int = 0,
) -> dict[str, Any]:
    """The columnar inputs of signature `rank`.

    Args:
        spec: The served model's.
        request: Query and context feature -> value; sequences and vectors are lists. A
            feature left out, or None, is missing.
        candidates: The same for each candidate's features, one mapping a candidate.
        weights: Task -> exponent of the fused score; tasks left out keep the spec's.
        top_k: How many of the best are wanted; 0 is all, in their order.

    Raises:
        ValueError: A name that the spec does not have, a vector of another length, or
            a weight that is infinite.
    """
    _check_names("request", request, [f.name for f in request_features(spec)])
    known = [f.name for f in candidate_features(spec)]
    for index, candidate in enumerate(candidates):
        _check_names(f"candidate {index}", candidate, known)
    return {
        **columns(request_features(spec), [request]),
        **columns(candidate_features(spec), candidates),
        "weights": weight_column(spec, weights or {}),
        "top_k": top_k,
    }


def columns(
    features: Iterable[FeatureSpec], rows: Sequence[Values]
) -> dict[str, list[Any]]:
    """Feature -> its value in every row, missing ones filled in, sequences padded."""
    return {f.name: _column(f, [row.get(f.name) for row in rows]) for f in features}


def weight_column(spec: Spec, weights: Mapping[str, float]) -> list[float]:
    """One exponent a task in the spec's order; NaN, the spec's own, where unnamed."""
    tasks = [task.name for task in spec.tasks]
    _check_names("weights", weights, tasks)
    for task, weight in weights.items():
        if math.isinf(weight):
            raise RequestError(
                f"weights: {task!r} must be finite. Got {weight}. A large number is "
                "enough to let one task decide."
            )
    return [float(weights.get(task, math.nan)) for task in tasks]


def _column(feature: FeatureSpec, values: list[Any]) -> list[Any]:
    missing = feature.missing
    if feature.width:
        return [_vector(feature, value) for value in values]
    if not feature.is_sequence:
        return [missing if value is None else value for value in values]
    lists = [list(value) if value is not None else [] for value in values]
    width = max([1, *map(len, lists)])  # JSON cannot tell the rank of an empty tensor
    return [items + [missing] * (width - len(items)) for items in lists]


def _vector(feature: FeatureSpec, value: Any) -> list[Any]:
    """All floats of a vector, or as many missing ones."""
    if value is None or not len(value):
        return [feature.missing] * feature.width
    if len(value) != feature.width:
        raise RequestError(
            f"{feature.name}: must be a list of {feature.width} numbers, as the model "
            f"was trained on. Got {len(value)}."
        )
    return [feature.missing if part is None else part for part in value]


def _check_names(where: str, values: Mapping[str, Any], known: list[str]) -> None:
    for name in values:
        if name not in known:
            raise RequestError(f"{where}: {name!r} is unknown.{closest(name, known)}")
