"""Kinds whose values are hashed into a table of the spec: one id, or a list of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.build import closest
from feature_specs.feature_kinds.base import Embedded
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec


class Hashed(Embedded):
    """Ids hashed into `table`, which several features may share."""

    takes: Mapping[Dtype, Dtype] = {"int64": "int64", "string": "string"}
    uses = frozenset({"table"})

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        super().check(reading, path, feature)
        if feature.table is None:
            rule = f"is required for kind {self.name}."
            reading.problems.add(f"{path}.table", rule)
            return
        tables = reading.raw.get("tables", {})
        known = list(tables) if isinstance(tables, dict) else []
        if feature.table not in known:
            rule = f"is not in tables.{closest(feature.table, known)}"
            reading.problems.add(f"{path}.table", rule, feature.table)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        # A table a type, as one table may be asked to hold ids of one type only.
        return dataclasses.replace(feature, table=f"{feature.dtype}s")

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        return tables[feature.table or ""].buckets
