"""`kind: bucket`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import Embedded, feature_kind
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec


_MOST_BOUNDARIES = 10_000


@feature_kind("bucket")
class Bucket(Embedded):
    """Numbers cut at `boundaries` into intervals, a row each; a facet's lowest is 0."""

    takes: Mapping[Dtype, Dtype] = {"int64": "float32", "float32": "float32"}
    uses = frozenset({"boundaries"})

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        super().check(reading, path, feature)
        reading.increasing(f"{path}.boundaries", feature.boundaries)
        if not 1 <= len(feature.boundaries) <= _MOST_BOUNDARIES:
            rule = f"must be one number at least, and at most {_MOST_BOUNDARIES:,}."
            reading.problems.add(f"{path}.boundaries", rule)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, boundaries=(0.0,))

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        return len(feature.boundaries) + 2  # missing + the n + 1 intervals

    def facet_codes(self, feature: FeatureSpec) -> int | None:
        return len(feature.boundaries) + 1
