"""What kinds of features there are: one class each, which says what the kind is.

`FEATURE_KINDS["id"]` is the object behind `kind: id`; `FeatureSpec.of_kind` has it.
`@feature_kind(name)` registers another one: see docs/extending.md.
"""

from feature_specs.feature_kinds.base import (
    FEATURE_KINDS,
    Dense,
    Embedded,
    FeatureKind,
    feature_kind,
)
from feature_specs.feature_kinds.bucket import Bucket
from feature_specs.feature_kinds.category import Category
from feature_specs.feature_kinds.code import Code
from feature_specs.feature_kinds.id import Id
from feature_specs.feature_kinds.number import Number
from feature_specs.feature_kinds.sequence import Sequence
from feature_specs.feature_kinds.text import Text
from feature_specs.feature_kinds.vector import Vector

__all__ = [
    "FEATURE_KINDS",
    "Bucket",
    "Category",
    "Code",
    "Dense",
    "Embedded",
    "FeatureKind",
    "Id",
    "Number",
    "Sequence",
    "Text",
    "Vector",
    "feature_kind",
]
