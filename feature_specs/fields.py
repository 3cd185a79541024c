"""What a field of a YAML's class may hold beyond its type, said in its annotation.

    dim: PositiveInt = 8
    buckets: Annotated[int, Rule("must be at least 2.", ge=2)]
    kind: Annotated[str, Named(SWITCHERS)]

`build.build` checks it when a file is read; Python code that makes an instance itself
is not checked.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:  # pydantic takes a third of a second; only reading a file needs it
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

TYPES_ONLY = "types only"  # context of a validation that lets every `Rule` be broken
BROKEN_RULE, UNKNOWN_NAME = "broken_rule", "unknown_name"  # types of errors
_OF_A_NUMBER = ("gt", "ge", "lt", "le", "multiple_of")


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which values of a type are allowed. Bounds of a list are those of its numbers.

    Attributes:
        told: The sentence for a value that is not, with the remedy.
        gt: Numbers have to be above this.
        ge: At least.
        lt: Below.
        le: At most.
        multiple_of: And a multiple of this.
        min_length: Of a text, a list or a mapping.
        max_length: The same.
    """

    told: str
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """First the type with its own errors, then the rule with one of its own."""
        from pydantic_core import core_schema

        ruled = core_schema.custom_error_schema(
            handler.generate_schema(self._narrowed(source)),
            BROKEN_RULE,
            custom_error_message=self.told,
        )
        unless_types_only = core_schema.with_info_wrap_validator_function(
            lambda value, check, info: (
                value if info.context == TYPES_ONLY else check(value)
            ),
            ruled,
        )
        return core_schema.chain_schema([handler(source), unless_types_only])

    def _narrowed(self, source: Any) -> Any:
        """The type `source` with the rule as pydantic has it."""
        from pydantic import Field

        given = dataclasses.asdict(self)
        numbers = {key: given[key] for key in _OF_A_NUMBER if given[key] is not None}
        lengths = {key: given[key] for key in ("min_length", "max_length")}
        if typing.get_origin(source) is tuple:
            entry: Any = typing.get_args(source)[0]
            each = (Annotated[entry, Field(**numbers)], ...)
            source, numbers = types.GenericAlias(tuple, each), {}
        return Annotated[source, Field(**numbers, **lengths)]


class Named:
    """The value is one of the names in a registry, as it is when a file is read.

    Args:
        registry: The names, asked for each time; derive a class with another `names`
            where they are not what an iteration gives.
    """

    def __init__(self, registry: Iterable[str]):
        self._registry = registry

    def names(self) -> list[str]:
        """The names that are right now, in the order in which they are told."""
        return list(self._registry)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Takes the place of the type's own check: any other value is no name."""
        from pydantic_core import PydanticCustomError, core_schema

        def known(value: Any) -> Any:
            names = self.names()
            if value not in names:
                rule = one_of(names)
                raise PydanticCustomError(UNKNOWN_NAME, "{rule}", {"rule": rule})
            return value

        return core_schema.no_info_plain_validator_function(known)


class NumberOr:
    """The value is a whole number, or a word that stands for one.

    Args:
        word: The one that may stand there; "" lets any text.
    """

    def __init__(self, word: str = ""):
        self._word = word

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Takes the place of a union's check, which would tell two mistakes of one."""
        from pydantic_core import PydanticCustomError, core_schema

        def number_or_word(value: Any) -> Any:
            is_word = value == self._word if self._word else type(value) is str
            if is_word or type(value) is int:
                return value
            rule = f"must be a whole number, or {self._word}."
            if not self._word:
                rule = "must be a whole number or text; quote it if it is text."
            raise PydanticCustomError(UNKNOWN_NAME, "{rule}", {"rule": rule})

        return core_schema.no_info_plain_validator_function(number_or_word)


NumberOrText = Annotated[int | str, NumberOr()]


def one_of(names: Iterable[str]) -> str:
    """The rule of a value that must be one of `names`."""
    return f"must be one of {', '.join(names)}."


def between(least: float, most: float) -> Rule:
    """The rule of a number with a floor and a ceiling."""
    return Rule(f"must be from {least:,} to {most:,}.", ge=least, le=most)


PositiveInt = Annotated[int, Rule("must be at least 1.", ge=1)]
NonNegativeInt = Annotated[int, Rule("must be 0 or more.", ge=0)]
PositiveFloat = Annotated[float, Rule("must be positive.", gt=0)]
NonNegativeFloat = Annotated[float, Rule("must be 0 or more.", ge=0)]
Share = Annotated[float, Rule("must be a share between 0 and 1.", ge=0, le=1)]
ShareBelowOne = Annotated[float, Rule("must be at least 0 and below 1.", ge=0, lt=1)]
InnerShare = Annotated[float, Rule("must be above 0 and below 1.", gt=0, lt=1)]

# Ceilings: far above what has been found useful, far below what takes a machine down.
MOST_COLUMNS = 4_096  # of an embedding table
MOST_DAYS = 36_525  # a century
_MOST_LAYERS, _WIDEST = 64, 65_536
Widths = Annotated[
    tuple[int, ...],
    Rule(
        f"must be positive widths: at most {_MOST_LAYERS} of them, none above "
        f"{_WIDEST:,}.",
        ge=1,
        le=_WIDEST,
        max_length=_MOST_LAYERS,
    ),
]
Days = Annotated[int, between(0, MOST_DAYS)]
SplitDays = Annotated[int, between(1, MOST_DAYS)]
Minutes = Annotated[
    float,
    Rule("must be positive, and no more than a century.", gt=0, le=MOST_DAYS * 1440),
]
Length = Annotated[int, between(1, 10_000)]  # of a history
Weight = Annotated[float, between(0, 1_000_000)]  # of a loss
Gamma = Annotated[float, between(0, 100)]  # of a focal loss
KeptShare = Annotated[
    float, Rule("must be above 0 and at most 1, which keeps every one.", gt=0, le=1)
]
Times = Annotated[float, between(1, 1_000_000)]  # that a row counts
PositiveWeight = Annotated[
    float, Rule("must be above 0, and no more than 1,000,000.", gt=0, le=1_000_000)
]
LengthScale = Annotated[float, between(1e-6, 1_000_000_000)]  # of f(length)
SignedWeight = Annotated[float, between(-1_000_000, 1_000_000)]  # of the fused score
Columns = Annotated[int, between(1, MOST_COLUMNS)]
Parts = Annotated[int, between(1, 1_024)]  # experts, subspaces
Levels = Annotated[int, between(1, 64)]
Factor = Annotated[  # between two sums, either way
    float, Rule("must be a factor of at least 1, which allows no difference.", ge=1)
]
Confidence = Annotated[float, Rule("must be at least 0.5 and below 1.", ge=0.5, lt=1)]
Steps = Annotated[int, between(1, 1_000_000_000)]
StepsOrNone = Annotated[int, between(0, 1_000_000_000)]
Rate = Annotated[  # of learning
    float, Rule("must be from 0 to 1e30, which float32 holds.", ge=0, le=1e30)
]
