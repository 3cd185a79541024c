"""SQL aggregates over one impression's events, taken apart.

    COUNT(*) FILTER (WHERE action = 'like') > COUNT(*) FILTER (WHERE action = 'unlike')

is the expression `"_part_0" > "_part_1"` over two parts, each of them an aggregate
whose argument and condition are expressions over one event. Only aggregates are here
that can be carried on from event to event (COUNT, SUM, MIN...): what an impression is
known for at each moment is asked, not only at the end.

A missing argument is left out, as in SQL. Over no event COUNT is 0, BOOL_OR is false
(nobody did), and all others are missing.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import polars as pl

from feature_specs import expressions

PART = "_part_"
_ALL = ""

_Type = pl.DataType
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[A-Za-z_]\w*|--|/\*|\S|\s+""")
_UNKNOWN = {
    *("APPROX_DISTINCT", "ARRAY_AGG", "CORR", "COVAR", "COVAR_POP", "COVAR_SAMP"),
    *("EVERY", "GROUP_CONCAT", "LISTAGG", "MEDIAN", "MODE", "QUANTILE"),
    *("QUANTILE_CONT", "QUANTILE_DISC", "STD", "STDDEV", "STDDEV_POP", "STDDEV_SAMP"),
    *("STDEV", "STDEV_SAMP", "STRING_AGG", "VAR", "VARIANCE", "VAR_POP", "VAR_SAMP"),
}
_MOST_PARTS = 20


def _number_or_text(found: _Type) -> bool:
    return found.is_numeric() or found in (pl.Boolean, pl.String)


def _is_number(found: _Type) -> bool:
    return found.is_numeric() or found == pl.Boolean


@dataclasses.dataclass(frozen=True)
class _Function:
    """What an aggregate takes and gives.

    Attributes:
        takes: Whether it takes values of a type.
        what: The same for people.
        gives: Type of its value, of that of its argument.
    """

    takes: Callable[[_Type], bool]
    what: str
    gives: Callable[[_Type], _Type]


def _sum_type(found: _Type) -> _Type:
    return pl.Float64() if found.is_float() else pl.Int64()


def _same(found: _Type) -> _Type:
    if found.is_integer():
        return pl.Int64()
    return pl.Float64() if found.is_float() else found


_NUMBERS = "numbers or true/false"
_VALUES = "numbers, true/false or text"
FUNCTIONS: dict[str, _Function] = {
    "COUNT": _Function(lambda found: True, "anything", lambda found: pl.Int64()),
    "SUM": _Function(_is_number, _NUMBERS, _sum_type),
    "AVG": _Function(_is_number, _NUMBERS, lambda found: pl.Float64()),
    "MIN": _Function(_number_or_text, _VALUES, _same),
    "MAX": _Function(_number_or_text, _VALUES, _same),
    "FIRST": _Function(_number_or_text, _VALUES, _same),
    "LAST": _Function(_number_or_text, _VALUES, _same),
    "BOOL_OR": _Function(_is_number, "a condition", lambda found: pl.Boolean()),
    "BOOL_AND": _Function(_is_number, "a condition", lambda found: pl.Boolean()),
}


@dataclasses.dataclass(frozen=True)
class Part:
    """One aggregate.

    Attributes:
        function: A name of `FUNCTIONS`.
        argument: SQL over an event's columns; "" for the `*` of COUNT.
        distinct: Whether each value counts once, of COUNT.
        where: SQL condition on an event; "" takes all.
    """

    function: str
    argument: str = _ALL
    distinct: bool = False
    where: str = ""

    def type_of(self, argument: _Type | None) -> _Type:
        """The type of its value, of that of its argument (None for `*`)."""
        found = pl.Int64() if argument is None else argument
        return FUNCTIONS[self.function].gives(found)

    @property
    def of_none(self) -> int | bool | None:
        """Its value over no event."""
        return {"COUNT": 0, "BOOL_OR": False}.get(self.function)


@dataclasses.dataclass(frozen=True)
class Aggregated:
    """An expression over aggregates.

    Attributes:
        text: SQL over `_part_0`, `_part_1`...
        parts: These.
    """

    text: str
    parts: tuple[Part, ...]


def take_apart(text: str) -> Aggregated:
    """The aggregates of an SQL text, and what is made of them.

    Raises:
        ValueError: It cannot be used; the message says why, and what to write.
    """
    tokens = _TOKEN.findall(text)
    if "--" in tokens or "/*" in tokens:
        raise ValueError("holds a comment; leave it out")
    outside, parts, place = list[str](), list[Part](), 0
    while place < len(tokens):
        name = tokens[place].upper()
        opens = _after_blanks(tokens, place + 1)
        if tokens[opens : opens + 1] != ["("]:
            outside.append(tokens[place])
            place += 1
            continue
        if name in _UNKNOWN or name == "OVER":
            known = ", ".join(FUNCTIONS)
            raise ValueError(
                f"uses {name}, which cannot be carried on from event to event; there "
                f"are {known}, each with FILTER (WHERE ...) if wanted"
            )
        if name not in FUNCTIONS:
            outside.append(tokens[place])
            place += 1
            continue
        part, place = _part(name, tokens, opens)
        outside.append(f'"{PART}{len(parts)}"')
        parts.append(part)
    found = Aggregated("".join(outside), tuple(parts))
    _check(found)
    return found


def _part(name: str, tokens: list[str], opens: int) -> tuple[Part, int]:
    """(the aggregate whose arguments open at a token, the token after it)."""
    closes = _closing(tokens, opens)
    argument = "".join(tokens[opens + 1 : closes]).strip()
    place, where = closes + 1, ""
    after = _after_blanks(tokens, place)
    if tokens[after : after + 1] and tokens[after].upper() == "FILTER":
        where, place = _condition(tokens, _after_blanks(tokens, after + 1))
    distinct = re.match(r"DISTINCT\b\s*", argument, re.I)
    if distinct:
        argument = argument[distinct.end() :]
        if name != "COUNT" or not argument:
            raise ValueError(f"has {name}(DISTINCT ...); only COUNT(DISTINCT x) is")
    if argument == "*":
        if name != "COUNT":
            raise ValueError(f"has {name}(*); name what is taken of each event")
        argument = _ALL
    elif not argument:
        raise ValueError(f"has {name}() without an argument; name one")
    return Part(name, argument, bool(distinct), where), place


def _condition(tokens: list[str], opens: int) -> tuple[str, int]:
    """(the condition of a FILTER that should open at a token, the token after it)."""
    if tokens[opens : opens + 1] != ["("]:
        raise ValueError("has FILTER without (WHERE ...)")
    closes = _closing(tokens, opens)
    inside = "".join(tokens[opens + 1 : closes]).strip()
    match = re.match(r"WHERE\b\s*", inside, re.I)
    if match is None or not inside[match.end() :]:
        raise ValueError("has FILTER (...) without WHERE and a condition")
    return inside[match.end() :], closes + 1


def _check(found: Aggregated) -> None:
    if not found.parts:
        rule = "an impression may have several events: say COUNT(*), BOOL_OR(...)"
        raise ValueError(f"holds no aggregate; {rule}")
    if len(found.parts) > _MOST_PARTS:
        raise ValueError(f"holds more than {_MOST_PARTS} aggregates; make two columns")
    bare = {c for c in expressions.columns_of(found.text) if not c.startswith(PART)}
    if bare:
        raise ValueError(
            f"reads {', '.join(sorted(bare))} outside of an aggregate; an impression "
            "may have several events: say which one (MIN, LAST...)"
        )


def type_of(
    found: Aggregated, argument_type: Callable[[str], _Type | None]
) -> _Type | None:
    """The type of the expression's value.

    Args:
        found: Of `take_apart`.
        argument_type: Gives the type of an argument; None where it is wrong, which has
            been told.

    Raises:
        ValueError: An aggregate does not take its argument, or the parts do not fit.
    """
    types: dict[str, _Type] = {}
    for number, part in enumerate(found.parts):
        argument = argument_type(part.argument) if part.argument else None
        if part.argument and argument is None:
            return None
        function = FUNCTIONS[part.function]
        if argument is not None and not function.takes(argument):
            raise ValueError(
                f"has {part.function} of values of type {argument}; it takes "
                f"{function.what}"
            )
        types[f"{PART}{number}"] = part.type_of(argument)
    return expressions.type_of(found.text, expressions.sample_rows(types))


def _after_blanks(tokens: list[str], place: int) -> int:
    while place < len(tokens) and tokens[place].isspace():
        place += 1
    return place


def _closing(tokens: list[str], opens: int) -> int:
    """The token that closes the parenthesis which opens at one."""
    depth = 0
    for place in range(opens, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place], 0)
        if not depth:
            return place
    raise ValueError("has a parenthesis that is never closed")
