"""What is kept of which column of the examples.

The examples' view of a spec knows no `size`, `transform`, `scale` or `boundaries`:
examples outlive a change of these. So what any of them may need is kept.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import TypeAlias

from feature_specs import FeatureSpec, Spec, label_key, mask_key
from feature_specs.feature_kinds import Dense, Embedded, Text
from feature_specs.feature_kinds.hashed import Hashed
from feature_specs.registry import RoomTable
from feature_specs.spec import (
    KEY_ITEM,
    KEY_REQUEST,
    KEY_TIME,
    KEY_USER,
    MISSING,
    slice_key,
)
from feature_specs.values import Dtype

MANY = 200_000  # values of a column that are counted a day; a vocabulary has 100,000
FEW = 1_000  # of ids, whose values the encoding does not learn


class Held(enum.Enum):
    """What a row holds in a column."""

    NUMBER = "one number"
    VALUE = "one value, which is counted"
    ITEMS = "a list of values, which are counted"
    WORDS = "a text, whose words are counted"
    FLOATS = "a vector"


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the examples.

    Attributes:
        key: Of the example.
        dtype: Its type.
        held: What a row has.
        missing: What stands for a missing value.
        most: Values that are counted.
        mask: Column that is 1 where a label counts.
        logarithm: Whether moments of log(1 + x) are kept.
    """

    key: str
    dtype: Dtype
    held: Held
    missing: int | float | str
    most: int = 0
    mask: str = ""
    logarithm: bool = False


_ToColumn: TypeAlias = Callable[[FeatureSpec], Column]
COLUMNS: RoomTable[_ToColumn] = RoomTable(
    "pipeline.summaries", "summarizes features of", "@pipeline.summaries.columns.sums"
)
sums = COLUMNS.register


def columns_of(spec: Spec) -> tuple[Column, ...]:
    """Every column of the examples, features first."""
    found = [COLUMNS[feature.of_kind](feature) for feature in spec.features]
    for task in spec.tasks:
        label, mask = label_key(task.name), mask_key(task.name)
        missing = MISSING["float32"]
        found.append(Column(label, "float32", Held.NUMBER, missing, mask=mask))
        found.append(Column(mask, "float32", Held.NUMBER, missing))
    types = spec.column_types
    found.append(_plain(KEY_USER, types[spec.log.user], FEW))
    found.append(_plain(KEY_ITEM, types[spec.log.item], FEW))
    found.append(Column(KEY_TIME, "int64", Held.NUMBER, MISSING["int64"]))
    if spec.log.request:
        found.append(Column(KEY_REQUEST, "int64", Held.NUMBER, MISSING["int64"]))
    found += [_plain(slice_key(c), types[c], MANY) for c in spec.evaluation.slices]
    return tuple(found)


def most_values(spec: Spec) -> dict[str, int]:
    """Column -> values that are kept of it."""
    return {column.key: column.most for column in columns_of(spec)}


@sums(Embedded)
def _embedded(feature: FeatureSpec) -> Column:
    """A category, a code: which values there are may be asked later."""
    if feature.dtype == "float32":
        return _numbers(feature)  # a bucket's, before they are cut
    held = Held.ITEMS if feature.is_sequence else Held.VALUE
    return _feature(feature, held, most=MANY)


@sums(Hashed)
def _hashed(feature: FeatureSpec) -> Column:
    """An id, a list of ids: no encoding asks for them."""
    return dataclasses.replace(_embedded(feature), most=FEW)


@sums(Text)
def _text(feature: FeatureSpec) -> Column:
    return _feature(feature, Held.WORDS, most=MANY)


@sums(Dense)
def _numbers(feature: FeatureSpec) -> Column:
    if feature.width:
        return _feature(feature, Held.FLOATS)
    return _feature(feature, Held.NUMBER, logarithm=True)


def _feature(
    feature: FeatureSpec, held: Held, most: int = 0, logarithm: bool = False
) -> Column:
    return Column(
        feature.name,
        feature.dtype,
        held,
        feature.missing,
        most=most,
        logarithm=logarithm,
    )


def _plain(key: str, dtype: Dtype, most: int) -> Column:
    """A column of the log, as it stands; numbers that are not whole are no values."""
    held = Held.NUMBER if dtype == "float32" else Held.VALUE
    return Column(key, dtype, held, MISSING[dtype], most=most)
