"""`kind: vector`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

import polars as pl

from feature_specs.feature_kinds.base import Dense, feature_kind
from feature_specs.fields import MOST_COLUMNS
from feature_specs.values import AUTO, Dtype

if TYPE_CHECKING:
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec

_WIDEST_BY_DEFAULT = 32  # columns of the projection
_MOST_FLOATS = 16_384  # of a vector, as a column may be declared


@feature_kind("vector")
class Vector(Dense):
    """`size` floats a row that another model made: of content, title, cover or sound.

    The model reads them through a dense layer of its own to `dim` columns, which the
    features of one `projection` share. Zeros are a missing vector, which that layer
    gives a learned value. With a `target` the model also reads the cosine of both.
    """

    takes: Mapping[Dtype, Dtype] = {"int64": "float32", "float32": "float32"}
    uses = frozenset({"size", "normalize", "dim", "projection"})
    default_size = None

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        super().check(reading, path, feature)
        if feature.size == AUTO:
            rule = "must be the number of floats of a vector."
            reading.problems.add(f"{path}.size", rule, feature.size)
        elif feature.size is not None:
            reading.between(f"{path}.size", feature.count, 1, _MOST_FLOATS)
        reading.between(f"{path}.dim", feature.dim, 0, MOST_COLUMNS)
        if feature.projection:
            reading.name(f"{path}.projection", feature.projection)

    def sized(
        self, feature: FeatureSpec, found: pl.DataType | None
    ) -> int | Literal["auto"] | None:
        return found.size if isinstance(found, pl.Array) else feature.size

    def dtype(
        self, reading: Reading, path: str, feature: FeatureSpec, found: pl.DataType
    ) -> Dtype | None:
        inner = found.inner if isinstance(found, pl.List | pl.Array) else None
        if inner is None or not cast(pl.DataType, inner).is_numeric():
            rule = (
                "must be a vector for kind vector: a column declared as vector<N>, or "
                "a list of N numbers and `size: N`."
            )
            reading.problems.add(f"{path}.expr", rule, str(found))
            return None
        if isinstance(found, pl.Array) and feature.size not in (None, found.size):
            rule = f"must be {found.size}, as the column has it, or be left out."
            reading.problems.add(f"{path}.size", rule, feature.size)
        if isinstance(found, pl.List) and feature.size is None:
            rule = "is required for a list: say how many numbers a vector has."
            reading.problems.add(f"{path}.size", rule)
        return "float32"

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(self.untrained(feature), normalize="l2")

    def untrained(self, feature: FeatureSpec) -> FeatureSpec:
        return dataclasses.replace(feature, dim=0, projection="", target="")

    def width(self, feature: FeatureSpec) -> int:
        return feature.count

    def shape(self, feature: FeatureSpec) -> tuple[int, ...]:
        return (feature.count,)

    def projected(self, feature: FeatureSpec) -> int:
        return feature.dim or min(feature.count, _WIDEST_BY_DEFAULT)

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        parts = [f"{feature.count} floats"]
        parts += ["l2"] if feature.normalize == "l2" else []
        shared = f" ({feature.projection})" if feature.projection else ""
        parts.append(f"projected to {self.projected(feature)}{shared}")
        parts += [f"cosine with {feature.target}"] if feature.target else []
        return ", ".join(parts)
