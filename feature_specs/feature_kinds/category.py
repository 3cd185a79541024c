"""`kind: category`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from feature_specs.feature_kinds.base import feature_kind
from feature_specs.feature_kinds.code import Sized, told_rows
from feature_specs.values import Dtype

if TYPE_CHECKING:
    from feature_specs.spec import FeatureSpec, TableSpec


@feature_kind("category")
class Category(Sized):
    """The `size` most frequent values of the training days, learned as a vocabulary.

    A value keeps its id for ever. Those of later days are appended while there are
    fewer than `size`. `size: auto` takes as many as there are, and room for a quarter
    more, up to `values.MOST_COUNTED`.
    """

    takes: Mapping[Dtype, Dtype] = {"int64": "int64", "string": "string"}
    facet_by_value = True
    may_be_counted = True

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        return f"({told_rows(feature, self.rows(feature, tables))})"
