"""`kind: number`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import Dense, feature_kind
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.spec import FeatureSpec, TableSpec


@feature_kind("number")
class Number(Dense):
    """A number, scaled to zero mean and unit variance after its `transform`."""

    takes: Mapping[Dtype, Dtype] = {"int64": "float32", "float32": "float32"}
    uses = frozenset({"transform"})
    may_be_length = True

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, transform="none")

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        return "log1p, z-score" if feature.transform == "log1p" else "z-score"
