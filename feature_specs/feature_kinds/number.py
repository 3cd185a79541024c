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
    """A number, scaled after its `transform`; a missing one is 0 then.

    `scale: z` gives zero mean and unit variance, `minmax` the range from 0 to 1 of the
    training days, beyond which numbers are cut off, `none` leaves them as they are.
    """

    takes: Mapping[Dtype, Dtype] = {"int64": "float32", "float32": "float32"}
    uses = frozenset({"transform", "scale"})
    may_be_length = True

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, transform="none", scale="z")

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        scaled = {"z": ["z-score"], "minmax": ["0 to 1"], "none": []}[feature.scale]
        first = ["log1p"] if feature.transform == "log1p" else []
        return ", ".join([*first, *scaled]) or "as it is"
