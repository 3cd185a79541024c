"""YAML values -> frozen dataclasses, collecting every mistake with its key path.

A broken value does not stop the reading: its place stays empty, and the sections that
are whole are still checked, so that one run names all mistakes of a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import re
import sys
import types
import typing
from typing import Any

import yaml

from feature_specs.fields import Named, one_of

# The largest numbers that columns of int64 and float64 hold.
_LARGEST = {int: 2**63 - 1, float: sys.float_info.max}


class SpecError(ValueError):
    """A file that cannot be used; the message lists every mistake in it."""

    def __init__(self, source: str, problems: list[str]):
        self.source = source
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source}: {count}\n{lines}")


class Problems:
    """The mistakes found so far in one file."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, path: str, rule: str, value: Any = dataclasses.MISSING) -> None:
        """Notes that the value at `path` breaks `rule` (a sentence with the remedy)."""
        got = "" if value is dataclasses.MISSING else f" Got {_short(value)}."
        self.found.append(f"{path}: {rule}{got}")


class _Loader(yaml.SafeLoader):
    """YAML with the booleans of 1.2 (`on` is a key of joins, not true).

    A key written twice is refused: the first would be lost.
    """

    yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                mark = node.value[index][0].start_mark
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key!r} is written twice in one mapping",
                    problem_mark=mark,
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(  # 1e-3 is a number, as in YAML 1.2
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The mapping in `text`; SpecError with line and column if there is none."""
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise SpecError(source, [f"{where}not YAML: {what}"]) from None
    if not isinstance(value, dict):
        raise SpecError(source, [f"must be a mapping of keys. Got {_short(value)}."])
    return value


def shipped_names(folder: pathlib.Path) -> list[str]:
    """Names of the YAML files that come with the package in `folder`."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def shipped_text(folder: pathlib.Path, name_or_path: str, what: str) -> str:
    """The text of a shipped file's name or of a path; SpecError if it is neither."""
    names = shipped_names(folder)
    shipped = name_or_path in names
    path = folder / f"{name_or_path}.yaml" if shipped else pathlib.Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        rule = f"is neither a shipped {what} nor a readable file ({reason})."
        raise SpecError(name_or_path, [rule + closest(name_or_path, names)]) from None


def build(cls: type, value: Any, path: str, problems: Problems) -> Any:
    """An instance of dataclass `cls` from the mapping `value`, or None if broken."""
    if not isinstance(value, dict):
        problems.add(path, "must be a mapping of keys.", value)
        return None
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls, include_extras=True)
    _report_unknown_keys(value, list(fields), path, problems)
    before = len(problems.found)
    kwargs = {
        key: convert(hints[key], item, _join(path, key), problems)
        for key, item in value.items()
        if key in fields
    }
    for name, field in fields.items():
        if name not in value and _is_required(field):
            problems.add(_join(path, name), "is required; add it.")
    return cls(**kwargs) if len(problems.found) == before else None


def convert(hint: Any, value: Any, path: str, problems: Problems) -> Any:
    """`value` as the type `hint`; None and a noted problem if it is of another one."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return convert(args[0], value, path, problems)
    if hint is Any:
        return value
    if origin is typing.Annotated:
        return _validated(args, value, path, problems)
    if origin is typing.Literal:
        return _one_of(args, value, path, problems)
    if origin is tuple:
        return _items(args[0], value, path, problems)
    if origin is dict:
        return _mapping(args[1], value, path, problems)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path, problems)
    return _scalar(hint, value, path, problems)


def closest(name: str, known: list[str]) -> str:
    """' Did you mean X?' for a misspelt name, or the known ones."""
    matches = difflib.get_close_matches(str(name), known, n=1)
    if matches:
        return f" Did you mean {matches[0]!r}?"
    return f" Known: {', '.join(sorted(known))}." if known else ""


def _report_unknown_keys(
    value: dict, known: list[str], path: str, problems: Problems
) -> None:
    for key in value:
        if key not in known:
            problems.add(_join(path, key), f"is no key here.{closest(key, known)}")


def _is_required(field: dataclasses.Field) -> bool:
    return (
        field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    )


def _one_of(args: tuple, value: Any, path: str, problems: Problems) -> Any:
    if value in args:
        return value
    known = [str(arg) for arg in args]
    problems.add(path, f"must be one of {', '.join(known)}.", value)
    return None


def _validated(args: tuple, value: Any, path: str, problems: Problems) -> Any:
    """A value of an annotated type, which may have to be a name."""
    hint, *marks = args
    for mark in marks:
        if isinstance(mark, Named) and value not in mark.names():
            problems.add(path, one_of(mark.names()), value)
            return None
    return convert(hint, value, path, problems)


def _items(hint: Any, value: Any, path: str, problems: Problems) -> Any:
    if not isinstance(value, list):
        problems.add(path, "must be a list.", value)
        return None
    items = [
        convert(hint, item, f"{path}[{index}]", problems)
        for index, item in enumerate(value)
    ]
    return tuple(items)


def _mapping(hint: Any, value: Any, path: str, problems: Problems) -> Any:
    if not isinstance(value, dict):
        problems.add(path, "must be a mapping.", value)
        return None
    return {
        str(key): convert(hint, item, _join(path, key), problems)
        for key, item in value.items()
    }


def _scalar(hint: Any, value: Any, path: str, problems: Problems) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and hint in (int, float) and not abs(value) <= _LARGEST[hint]:
        problems.add(
            path, "must be a finite number, no larger than 64 bits hold.", value
        )
        return None
    if hint is float and number:
        return float(value)
    if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = {
        str: "text",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
    }
    problems.add(path, f"must be {name[hint]}.", value)
    return None


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
