"""`kind: sequence`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import feature_kind
from feature_specs.feature_kinds.hashed import Hashed

if TYPE_CHECKING:
    from feature_specs.spec import FeatureSpec, TableSpec


@feature_kind("sequence")
class Sequence(Hashed):
    """A list of ids a row, hashed into `table`; the last `length` are kept, pooled."""

    uses = Hashed.uses | {"length", "pooling"}
    is_sequence = True

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(super().unencoded(self.untrained(feature)), length=1)

    def untrained(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, pooling="mean", target="")

    def shape(self, feature: FeatureSpec) -> tuple[int, ...]:
        return (feature.length,)

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        kept = f"{feature.pooling} of {feature.length}"
        return f"{kept} from {feature.table} ({self.rows(feature, tables):,})"
