"""YAML values -> frozen dataclasses, collecting every mistake with its key path.

pydantic checks types, required and unknown keys, and the rules that fields have in
their annotations (`fields.py`): ranges, and names that a registry knows when the file
is read (`Annotated[str, Named(SWITCHERS)]`, told as "must be one of ..."). Its errors
become our sentences in `_report`.

A broken value does not stop the reading: its place stays empty, and the sections that
are whole are still checked, so that one run names all mistakes of a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import pathlib
import re
import sys
import types
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from feature_specs.errors import TrailrankError
from feature_specs.fields import BROKEN_RULE, TYPES_ONLY, one_of
from feature_specs.yaml_text import MOST_CHARACTERS, YamlMistake, read_yaml

if TYPE_CHECKING:  # a third of a second that only reading a file is worth
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

_T = TypeVar("_T")
_LARGEST_INT = 2**63 - 1  # what a column of int64 holds
_MOST_PROBLEMS, _LONGEST_PROBLEM = 100, 1_000
_JSON_TYPES = (str, bool, int, float, type(None))


class SpecError(TrailrankError, ValueError):
    """A file that cannot be used; the message lists every mistake in it."""

    def __init__(self, source: str, problems: list[str]):
        self.source = source
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source}: {count}\n{lines}")


class Problems:
    """The mistakes found so far in one file."""

    def __init__(self, source: str = "spec") -> None:
        self._source = source
        self.found: list[str] = []

    def add(self, path: str, rule: str, value: Any = dataclasses.MISSING) -> None:
        """Notes that the value at `path` breaks `rule` (a sentence with the remedy).

        Raises:
            SpecError: There are so many mistakes that nobody would read more.
        """
        got = "" if value is dataclasses.MISSING else f" Got {_short(value)}."
        path = path if path.isprintable() else repr(path)[1:-1]
        self.found.append(_cut(f"{path}: {rule}{got}", _LONGEST_PROBLEM))
        if len(self.found) >= _MOST_PROBLEMS:
            more = "There may be more mistakes; mend these first."
            raise SpecError(self._source, [*self.found, more])


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The mapping in `text`; SpecError with line and column if there is none."""
    try:
        value = read_yaml(text)
    except YamlMistake as error:
        raise SpecError(source, [str(error)]) from None
    if value is None:
        raise SpecError(source, ["is empty; it must be a mapping of keys."])
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
        with path.open("rb") as file:  # no more: it may be a device without an end
            data = file.read(4 * MOST_CHARACTERS + 1)
        return data.decode("utf-8")
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
        if len(data) > 4 * MOST_CHARACTERS:
            reason = f"more than {MOST_CHARACTERS:,} characters"
    except ValueError:
        reason = "a path holds no character 0"
    rule = f"is neither a shipped {what} nor a readable file ({reason})."
    raise SpecError(name_or_path, [rule + closest(name_or_path, names)])


def closest(name: str, known: list[str]) -> str:
    """' Did you mean X?' for a misspelt name, or the known ones."""
    matches = difflib.get_close_matches(str(name), known, n=1)
    if matches:
        return f" Did you mean {matches[0]!r}?"
    return f" Known: {', '.join(sorted(known))}." if known else ""


def build(cls: type[_T], value: Any, path: str, problems: Problems) -> _T | None:
    """`value` as YAML has it -> an instance of `cls`, or None if one cannot be made.

    An unknown key is a noted problem, and so is a value of the right type that breaks
    its field's `Rule`. The instance is made without the one and with the other, so that
    what sections say together is checked all the same.
    """
    from pydantic import ValidationError
    from pydantic_core import to_json

    hint: Any = cls
    text = to_json([_as_json(value)], inf_nan_mode="constants")
    instance: _T
    try:
        (instance,) = _reader(hint, extra="forbid").validate_json(text)
        return instance
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
    for mistake in mistakes:
        _report(cls, value, path, mistake, problems)
    if any(mistake["type"] not in (BROKEN_RULE, _UNKNOWN_KEY) for mistake in mistakes):
        return None
    lenient = _reader(hint, extra="ignore")
    (instance,) = lenient.validate_json(text, context=TYPES_ONLY)
    return instance


@functools.cache
def _reader(hint: Any, extra: Literal["forbid", "ignore"]) -> TypeAdapter[Any]:
    """Reads `[value]` as JSON; a class alone would take no config from outside.

    Strict JSON is what YAML needs: a list becomes a tuple, a mapping a dataclass and a
    whole number a float, but nothing else becomes what it is not.
    """
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(strict=True, extra=extra, allow_inf_nan=False)
    one: Any = types.GenericAlias(tuple, (hint,))
    return TypeAdapter(one, config=config)


def _as_json(value: Any) -> Any:
    """`value` with what JSON or a column of 64 bits lacks as NaN, which no field takes.

    A whole number that is too large becomes a float, which may be one after all.
    """
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        return float(value) if abs(value) <= sys.float_info.max else math.nan
    return value if isinstance(value, _JSON_TYPES) else math.nan


# --- mistakes -------------------------------------------------------------------------

_MISSING, _UNKNOWN_KEY = "missing", "unexpected_keyword_argument"
# Type of pydantic's error -> the rule that is told.
_RULES = {
    _MISSING: "is required; add it.",
    _UNKNOWN_KEY: "is no key here.",
    "dataclass_type": "must be a mapping of keys.",
    "dict_type": "must be a mapping.",
    "tuple_type": "must be a list.",
    "string_type": "must be text.",
    "int_type": "must be a whole number.",
    "float_type": "must be a number.",
    "bool_type": "must be true or false.",
    "finite_number": "must be a number.",  # what is not JSON's, as a date
}


def _report(
    cls: type, value: Any, path: str, mistake: ErrorDetails, problems: Problems
) -> None:
    """Notes a mistake that pydantic found in `value`, which should be a `cls`."""
    error, place = mistake["type"], mistake["loc"][1:]  # without the list around it
    for step in place:
        path = f"{path}[{step}]" if isinstance(step, int) else _join(path, step)
    rule = _RULES.get(error, mistake["msg"])
    if error == _MISSING:
        problems.add(path, rule)
        return
    if error == _UNKNOWN_KEY:
        *above, key = place
        problems.add(path, rule + closest(str(key), _keys_at(cls, above)))
        return
    got = _at(value, place)
    if error == "literal_error":
        names = re.findall(r"'([^']*)'", mistake["ctx"]["expected"])
        rule = one_of(name for name in names if name)
    if error in ("int_type", "finite_number") and _is_too_large(got):
        rule = "must be a finite number, no larger than 64 bits hold."
    problems.add(path, rule, got)


def _keys_at(cls: Any, place: Iterable[int | str]) -> list[str]:
    """The keys of the class at `place` in a `cls`."""
    for step in place:
        if dataclasses.is_dataclass(cls):
            cls = typing.get_type_hints(cls)[str(step)]
        else:  # the entries of a list, the values of a mapping
            cls = typing.get_args(cls)[0 if isinstance(step, int) else 1]
        if typing.get_origin(cls) in (typing.Union, types.UnionType):
            cls = typing.get_args(cls)[0]  # all others are None
    return [field.name for field in dataclasses.fields(cls)]


def _at(value: Any, place: Iterable[int | str]) -> Any:
    """What the file has at `place`."""
    for step in place:
        if isinstance(value, dict):
            value = next(item for key, item in value.items() if str(key) == step)
        else:
            value = value[step]
    return value


def _is_too_large(value: Any) -> bool:
    """Whether it is a number, and one that no whole number of 64 bits comes near."""
    return isinstance(value, (int, float)) and not abs(value) <= _LARGEST_INT


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _short(value: Any) -> str:
    return _cut(repr(value), 80)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
