"""YAML text -> plain values, within limits: no file hangs or fills its reader.

What is read is YAML as people write it by hand: few levels, plain numbers, no tags that
run code. Whatever is beyond that is a `YamlMistake` with line and column.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable
from typing import Any

import yaml

from feature_specs.errors import TrailrankError

MOST_CHARACTERS = 1_000_000
_MOST_NESTED = 32
_MOST_VALUES = 200_000  # with every alias written out
_LONGEST_NUMBER = 500  # characters

# What is no text: control characters, halves of surrogate pairs, and marks that show a
# line in another order than it is read.
_NO_TEXT = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
    r"\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_NOT_PLAIN = re.compile(r"^[-+]?0[0-9_]|:")  # octal 010, sexagesimal 1:30
_TAG = "tag:yaml.org,2002:"
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")
_REPLACED = (f"{_TAG}bool", f"{_TAG}value")  # by YAML 1.2's, and by text


_WAS_ON = "quote it, or write key if it was the `on` of a join"


class YamlMistake(TrailrankError, ValueError):
    """What is wrong with a text, and where if that is known."""


def read_yaml(text: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        YamlMistake: It is no YAML, or beyond the limits of this file.
    """
    if len(text) > MOST_CHARACTERS:
        raise YamlMistake(
            f"has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
        )
    bad = _NO_TEXT.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        raise YamlMistake(f"line {line}: not YAML: {_named(bad)}")
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise YamlMistake(f"{where}not YAML: {what}") from None


class _Loader(yaml.CSafeLoader):
    """YAML with the booleans of 1.2 (`on` and `yes` are text).

    Refused are a key written twice (the first would be lost), what holds itself, text
    that is none, and numbers that 1.1 and 1.2 read differently.
    """

    yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0] not in _REPLACED]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_document(self, node: yaml.Node) -> Any:
        self.deep_construct = True  # else what holds itself is made, without an end
        return super().construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What PyYAML raises for a value that its tag does not fit: the day 2024-13-45,
        # !!bool maybe, !!int "", !!map text.
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            name = node.tag.removeprefix(_TAG)
            raise _mistake(f"is no {name} ({error})", node) from None

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if not isinstance(value, str):
            return value
        bad = _NO_TEXT.search(value)
        if bad:
            raise _mistake(_named(bad), node)
        if node.tag in _NUMBERS and len(value) > _LONGEST_NUMBER:
            rule = f"at most {_LONGEST_NUMBER} are read"
            raise _mistake(f"a number of {len(value):,} characters; {rule}", node)
        if node.tag in _NUMBERS and _NOT_PLAIN.search(value):
            rule = "is a number of base 8 or 60; write it in decimal digits, or quoted"
            raise _mistake(f"{value} {rule}", node)
        return value

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        """Keys are text, or whole numbers, which are read as text."""
        seen: set[str] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == f"{_TAG}merge":
                raise _mistake("<< is no key of YAML 1.2; write the keys out", key_node)
            key = self.construct_object(key_node, deep=True)
            if type(key) not in (str, int):
                hint = _WAS_ON if key is True else "quote it"
                raise _mistake(f"key {key!r} must be text; {hint}", key_node)
            if str(key) in seen:
                raise _mistake(f"key {key!r} is written twice in one mapping", key_node)
            seen.add(str(key))
        found = super().construct_mapping(node, deep)
        return {str(key): value for key, value in found.items()}


_Loader.add_implicit_resolver(
    f"{_TAG}bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(  # 1e-3 is a number, as in YAML 1.2
    f"{_TAG}float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mistake(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(
        problem=problem, problem_mark=node.start_mark
    )


def _named(bad: re.Match[str]) -> str:
    return f"the character U+{ord(bad.group()):04X} is no text"


# --- limits, looked at before any value is made ---------------------------------------


@dataclasses.dataclass
class _Open:
    """A list or mapping that is being read, and what it holds so far.

    Attributes:
        anchor: Its name for aliases, if it has one.
        values: How many values, with every alias written out.
        levels: How deep it is nested.
    """

    anchor: str | None = None
    values: int = 1
    levels: int = 1

    def add(self, other: _Open) -> None:
        self.values += other.values
        self.levels = max(self.levels, 1 + other.levels)


def _check_size(text: str) -> None:
    """Raises a YAML error where a text is too deep, or too large with its aliases.

    Ten aliases of ten aliases, nine times over, are a billion values in 200 characters.
    """
    known: dict[str, _Open] = {}
    opened = [_Open()]
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Open(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = opened.pop()
            opened[-1].add(done)
            if done.anchor is not None:
                known[done.anchor] = done
        elif isinstance(event, yaml.ScalarEvent):
            opened[-1].add(_Open(levels=0))
        elif isinstance(event, yaml.AliasEvent):
            opened[-1].add(known.get(event.anchor or "", _Open(levels=0)))
        _check_open(opened, event)


def _check_open(opened: list[_Open], event: yaml.Event) -> None:
    found = ""
    if len(opened) - 2 + opened[-1].levels > _MOST_NESTED:
        found = f"more than {_MOST_NESTED} levels of lists and mappings"
    elif opened[-1].values > _MOST_VALUES:
        found = f"more than {_MOST_VALUES:,} values, with every alias written out"
    if found:
        mark: Any = event.start_mark  # of the C parser
        raise yaml.MarkedYAMLError(problem=found, problem_mark=mark)
