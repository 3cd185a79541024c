"""`kind: text`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import feature_kind
from feature_specs.feature_kinds.code import check_size, told_rows
from feature_specs.feature_kinds.sequence import Sequence
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec


@feature_kind("text")
class Text(Sequence):
    """A text a row: its first `length` words, pooled as a sequence is.

    They are hashed into `table`, or those of a vocabulary of `size` words that is
    learned on the training days, all others sharing one row.
    """

    takes: Mapping[Dtype, Dtype] = {"string": "string"}
    uses = Sequence.uses | {"size"}
    default_size = None
    default_length = 16  # a title's words
    is_sequence = False

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        if feature.size is None:
            super().check(reading, path, feature)  # that it has a table
            return
        if feature.table is not None:
            rule = "has no use beside a table, into which words are hashed; remove one."
            reading.problems.add(f"{path}.size", rule, feature.size)
        self.check_keys(reading, path, feature)
        check_size(reading, path, feature, may_be_counted=True)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(super().unencoded(feature), size=None)

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        if feature.size is None:
            return super().rows(feature, tables)
        return feature.count + 2  # padding, words, and all other words

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        if feature.size is None:
            return super().describe(feature, tables)
        rows = told_rows(feature, self.rows(feature, tables))
        return f"{feature.pooling} of {feature.length} words ({rows})"
