"""What every kind of feature says of itself, and how one is registered."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import polars as pl

from feature_specs.registry import Kind, Registry, kind_class
from feature_specs.values import MISSING, Dtype, example_type

if TYPE_CHECKING:  # they hold kinds
    from feature_specs.reading import Reading
    from feature_specs.spec import FeatureSpec, TableSpec

# Keys of a feature that only some kinds have a use for, and what they are if left out.
_OWN_KEYS: dict[str, object] = {
    "table": None,
    "boundaries": (),
    "size": None,
    "length": 0,
    "pooling": "mean",
    "transform": "none",
    "scale": "z",
    "normalize": "l2",
    "dim": 0,
    "projection": "",
}
_CALLED = {"int64": "whole numbers", "float32": "numbers", "string": "text"}


class FeatureKind(Kind, abc.ABC):
    """One kind of feature: what it is, in logs, in examples and for the model.

    What a room does with it is in the room's table:
    `pipeline.encoding.encoders.encodes`, `trainer.model.embeddings.embeds`. Derive a
    kind of your own from the one that it is most like, or from `Embedded` or `Dense`,
    and it is treated as that one is wherever you register nothing else.

    Attributes:
        takes: Type of the column it is made of -> its type in examples and requests.
        uses: Which of `table`, `boundaries`, `size`, `length`, `pooling`, `transform`,
            `scale`, `normalize`, `dim` and `projection` it has a use for.
        default_size: `size` if it is left out; None if it has to be said, or may be.
        default_length: `length` if it is left out; None for `history.length`.
        is_sequence: Whether a row has a list of values and not one.
        is_id: Whether a row names one row of a shared table: then attention may compare
            a history with it.
        is_number: Whether the model reads floats and not rows of an embedding table.
        encoded: Type of what it is encoded as.
        may_be_length: Whether f(length) of the fused score may read it, as it is sent.
        facet_by_value: Whether a facet may part its raw values, one a row, whole
            numbers or text; see `facet_codes` for those that are codes themselves.
    """

    takes: Mapping[Dtype, Dtype] = {}
    uses: frozenset[str] = frozenset()
    default_size: int | None = 32
    default_length: int | None = None
    is_sequence = False
    is_id = False
    is_number = False
    encoded: Dtype = "int64"
    may_be_length = False
    facet_by_value = False

    def check(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        """Notes what is wrong with the feature's keys.

        Args:
            reading: Takes the mistakes.
            path: Of the feature in the file.
            feature: As the file has it.
        """
        self.check_keys(reading, path, feature)

    def check_keys(self, reading: Reading, path: str, feature: FeatureSpec) -> None:
        """Notes the keys that the kind has no use for."""
        for key, unused in _OWN_KEYS.items():
            value = getattr(feature, key)
            # Attention has a rule of its own, which says what it is for.
            if key in self.uses or value in (unused, "attention"):
                continue
            rule = f"has no use for kind {self.name}; remove it."
            reading.problems.add(f"{path}.{key}", rule, value)

    def unencoded(self, feature: FeatureSpec) -> FeatureSpec:
        """The feature as its raw examples know it: see `feature_specs.views`.

        Keys that only say how it is encoded, or embedded, have values of no meaning
        that `check` takes. As it is, by default: then whatever changes makes the
        examples again.
        """
        return feature

    def untrained(self, feature: FeatureSpec) -> FeatureSpec:
        """The same of keys that only say how it is embedded, not how it is encoded."""
        return feature

    def sized(
        self, feature: FeatureSpec, found: pl.DataType | None
    ) -> int | Literal["auto"] | None:
        """`size` of a feature whose column is of a type; None where that is unknown."""
        if feature.size is None and "size" in self.uses:
            return self.default_size
        return feature.size

    def dtype(
        self, reading: Reading, path: str, feature: FeatureSpec, found: pl.DataType
    ) -> Dtype | None:
        """Type in examples of a feature made of a column of type `found`.

        None, and a noted problem, if such features are not made of such columns.
        """
        if self.is_sequence != isinstance(found, pl.List):
            rule = "must be a list for kind sequence, one value for any other."
            reading.problems.add(f"{path}.expr", rule, str(found))
            return None
        inner = found.inner if isinstance(found, pl.List) else found
        own = example_type(cast(pl.DataType, inner))
        dtype = self.takes.get(own) if own else None
        if dtype is None:
            reading.problems.add(f"{path}.expr", self.type_rule(), str(found))
        return dtype

    def type_rule(self) -> str:
        """What a column must be, as a sentence for messages."""
        if set(self.takes) == {"int64", "float32"}:
            return "must be a number."
        called = " or ".join(_CALLED[dtype] for dtype in self.takes)
        return f"must be {called} for kind {self.name}."

    def missing(self, feature: FeatureSpec) -> int | float | str:
        """What stands for a missing value in examples and requests."""
        return MISSING[feature.dtype]

    def width(self, feature: FeatureSpec) -> int:
        """Values of a row in examples and requests, if it has always so many.

        0 for one value, and for a list of any length (`is_sequence`).
        """
        return 0

    def shape(self, feature: FeatureSpec) -> tuple[int, ...]:
        """Shape of a row of an encoded example: () for one value."""
        return ()

    def projected(self, feature: FeatureSpec) -> int:
        """Width of the dense layer through which the model reads floats; 0 for none."""
        return 0

    def rows(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> int:
        """Rows of the embedding table that its ids fall in; row 0 is "missing"."""
        raise ValueError(f"{feature.name}: kind {self.name} has no embedding rows.")

    @abc.abstractmethod
    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        """What the model reads of it, for `trailrank spec show`."""

    def facet_codes(self, feature: FeatureSpec) -> int | None:
        """How many codes a facet may part, from 0 on; None if it can be no facet's.

        Code c must be encoded as c + 1.
        """
        return None


class Embedded(FeatureKind):
    """Encoded as ids, int64 from 1 on; each has a row in an embedding table.

    0 is "missing": in a row's one value a trained row of the table, in a list padding.
    """

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        where = f"{feature.table} " if feature.table else ""
        return f"{where}({self.rows(feature, tables):,} rows)"


class Dense(FeatureKind):
    """Encoded as floats, which the model reads as they are; 0 is "missing".

    `shape` is () for one float a row, (W,) for W.
    """

    is_number = True
    encoded: Dtype = "float32"

    def describe(self, feature: FeatureSpec, tables: Mapping[str, TableSpec]) -> str:
        width = sum(self.shape(feature)) or 1
        return f"{width} floats" if width > 1 else "1 float"


FEATURE_KINDS: Registry[FeatureKind] = Registry(
    "feature kind", "@feature_specs.feature_kinds.feature_kind(name)"
)

_Class = TypeVar("_Class", bound=type[FeatureKind])


def feature_kind(name: str) -> Callable[[_Class], _Class]:
    """A decorator: the class is what `kind: name` of a feature means."""

    return kind_class(FEATURE_KINDS, name)
