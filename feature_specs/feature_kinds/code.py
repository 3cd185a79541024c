"""`kind: code`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import Embedded, feature_kind
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec


_MOST_VALUES = 10_000_000  # a vocabulary is held in memory; more are ids of a table


class Sized(Embedded):
    """`size` values with a row each, and one row for all others."""

    uses = frozenset({"size"})

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        super().check(reading, path, feature)
        reading.between(f"{path}.size", feature.size, 1, _MOST_VALUES)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, size=1)

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        return feature.size + 2  # missing + values + one row for all others


@feature_kind("code")
class Code(Sized):
    """Whole numbers from 0 to `size` - 1."""

    takes: Mapping[Dtype, Dtype] = {"int64": "int64"}

    def facet_codes(self, feature: FeatureSpec) -> int | None:
        return feature.size
