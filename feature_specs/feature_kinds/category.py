"""`kind: category`."""

from __future__ import annotations

from collections.abc import Mapping

from feature_specs.feature_kinds.base import feature_kind
from feature_specs.feature_kinds.code import Sized
from feature_specs.values import Dtype


@feature_kind("category")
class Category(Sized):
    """The `size` most frequent values of the training days, learned as a vocabulary."""

    takes: Mapping[Dtype, Dtype] = {"int64": "int64", "string": "string"}
    facet_by_value = True
