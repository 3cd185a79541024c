"""A model's order of the candidates: its `rank` signature, in this process.

One call a request, as a server answers it: the user's features once, those of all
candidates. One op has one thread, so that a shard's scores do not hang on how many
processes share the machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import polars as pl

from feature_specs import FeatureSpec, Spec
from pipeline.arrays import Array, Ints
from pipeline.experiment.design import Arm
from serving.export.requests import (
    candidate_features,
    request_features,
    weight_column,
)
from serving.models.session import load_signatures

RANK = "rank"


class ModelRanker:
    """The exported model of an arm.

    Args:
        arm: Of kind `model`.
        spec: Its features are what the model reads.

    Raises:
        LoadError: No SavedModel that can rank.
    """

    def __init__(self, arm: Arm, spec: Spec):
        self._rank = load_signatures(arm.model, [RANK], threads=1)[RANK]
        self._request, self._candidate = (
            request_features(spec),
            candidate_features(spec),
        )
        weights = weight_column(spec, arm.weights) if arm.weights else []
        self._settings = {
            "weights": np.asarray(weights, np.float32),
            "top_k": np.zeros((), np.int32),
        }

    def scores(self, features: pl.DataFrame, request: Ints) -> Array:
        """Log scores [N] of candidates by their features, sorted by request [N]."""
        asked = _columns(features, self._request)
        shown = _columns(features, self._candidate)
        found = np.empty(len(request))
        bounds = np.flatnonzero(np.diff(request, prepend=-1, append=-1))
        for start, stop in itertools.pairwise(bounds):
            inputs = {name: values[start : start + 1] for name, values in asked.items()}
            inputs |= {name: values[start:stop] for name, values in shown.items()}
            answer = self._rank({**inputs, **self._settings}, ["log_score"])
            found[start:stop] = answer["log_score"]
        return found


def _columns(frame: pl.DataFrame, wanted: Iterable[FeatureSpec]) -> dict[str, Array]:
    """Feature -> its values [N], sequences padded, [N, T], vectors [N, width]."""
    return {feature.name: _column(frame[feature.name], feature) for feature in wanted}


def _column(values: pl.Series, feature: FeatureSpec) -> Array:
    if not feature.is_sequence:
        found: Array = values.to_numpy()
        return found if feature.dtype != "string" else found.astype(object)
    lengths = values.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = values.filter(values.list.len() > 0).list.explode().to_numpy()
    width = max(1, int(lengths.max(initial=0)))
    kind = object if feature.dtype == "string" else flat.dtype
    padded = np.full((len(values), width), feature.missing, kind)
    padded[np.arange(width) < lengths[:, np.newaxis]] = flat
    return padded
