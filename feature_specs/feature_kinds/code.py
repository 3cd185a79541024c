"""`kind: code`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import Embedded, feature_kind
from feature_specs.values import AUTO, Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec


_MOST_VALUES = 10_000_000  # a vocabulary is held in memory; more are ids of a table


class Sized(Embedded):
    """`size` values with a row each, and one row for all others."""

    may_be_counted = False  # `size: auto`

    uses = frozenset({"size"})

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        super().check(reading, path, feature)
        check_size(reading, path, feature, self.may_be_counted)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, size=1)

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        return feature.count + 2  # missing + values + one row for all others


def check_size(
    reading: Reading, path: str, feature: FeatureSpec, may_be_counted: bool
) -> None:
    """Checks the number of values that have a row of their own."""
    if feature.size == AUTO and not may_be_counted:
        rule = f"must be a number for kind {feature.kind}: values are not counted."
        reading.problems.add(f"{path}.size", rule, feature.size)
    elif feature.size != AUTO:
        reading.between(f"{path}.size", feature.count, 1, _MOST_VALUES)


def told_rows(feature: FeatureSpec, rows: int) -> str:
    """The rows of a vocabulary, for `describe`."""
    counted = feature.size == AUTO
    return f"auto, at most {rows:,} rows" if counted else f"{rows:,} rows"


@feature_kind("code")
class Code(Sized):
    """Whole numbers from 0 to `size` - 1."""

    takes: Mapping[Dtype, Dtype] = {"int64": "int64"}

    def facet_codes(self, feature: FeatureSpec) -> int | None:
        return feature.count
