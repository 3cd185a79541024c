"""What is compared of which column of the examples.

A column is one of few forms, whatever its kind: numbers, values of a vocabulary, ids,
lists or vectors; a label is zeros and ones, or numbers. Kinds say which, in the room's
table; a kind of a plugin is treated as the one that it derives from.
"""

from __future__ import annotations

import dataclasses
import enum

from feature_specs import FeatureSpec, Spec, label_key, mask_key
from feature_specs.feature_kinds import Bucket, Dense, Embedded, Text
from feature_specs.feature_kinds.hashed import Hashed
from feature_specs.registry import RoomTable
from pipeline.gates.noise import ALIKE, ALIKE_OF_USER


class Form(enum.Enum):
    """What a column is, as far as the gates care."""

    NUMBERS = "numbers"
    VALUES = "values of a vocabulary"
    IDS = "ids, which change from day to day"
    LISTS = "lists of ids, or of words"
    VECTORS = "vectors"
    LABELS = "labels of 0 and 1"
    AMOUNTS = "labels that are numbers"
    SPACE = "whether a row is in a sample space"


FORMS: RoomTable[Form] = RoomTable(
    "pipeline.gates.columns", "compares features of", "@pipeline.gates.columns.compares"
)
compares = FORMS.register
compares(Embedded)(Form.VALUES)
compares(Bucket)(Form.NUMBERS)
compares(Hashed)(Form.IDS)
compares(Text)(Form.LISTS)
compares(Dense)(Form.NUMBERS)


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the examples.

    Attributes:
        key: Of the example.
        form: What it is.
        alike: How much rows of one user have in common, 0 to 1.
    """

    key: str
    form: Form
    alike: float = ALIKE


def columns_of(spec: Spec) -> list[Column]:
    """The columns that are compared: features, then labels and sample spaces.

    Columns that only slice metrics are not.
    """
    found = [_of_feature(feature) for feature in spec.features]
    for task in spec.tasks:
        form = Form.LABELS if task.of_kind.is_probability else Form.AMOUNTS
        found.append(Column(label_key(task.name), form))
        found.append(Column(mask_key(task.name), Form.SPACE))
    return [one for one in found if one.key not in spec.data_gates.not_judged]


def _of_feature(feature: FeatureSpec) -> Column:
    form = FORMS[feature.of_kind]
    if feature.width:
        form = Form.VECTORS
    elif feature.is_sequence and form is not Form.LISTS:
        form = Form.LISTS
    own = feature.group == "query"
    return Column(feature.name, form, ALIKE_OF_USER if own else ALIKE)
