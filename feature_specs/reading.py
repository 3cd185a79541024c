"""What the readers of all sections share: the file being read, and columns in scope."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar, cast

import polars as pl

from feature_specs import expressions
from feature_specs.build import Problems, build, closest
from feature_specs.constants import constant_of
from feature_specs.spec import RESERVED_PREFIXES, Dtype

_T = TypeVar("_T")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LONGEST_COLUMN = 128


class Scope:
    """The columns that the expressions of some sections may read.

    Attributes:
        types: Column -> its type.
        unknown: The log's section is broken, and no expression is judged.
        broken: Columns whose definition is wrong already: an expression that reads one
            is not judged, so that one mistake is told once.
        what: Where the columns come from, for messages: `column of {what}`.
        absent: Columns that this spec could have -> what they need.
    """

    def __init__(self, what: str, unknown: bool):
        self.types: dict[str, pl.DataType] = {}
        self.broken: set[str] = set()
        self.absent: dict[str, str] = {}
        self.what, self.unknown = what, unknown
        self._rows: pl.DataFrame | None = None

    def add(self, name: str, found: pl.DataType | None) -> None:
        """A new column; None if its definition is wrong."""
        if found is None:
            self.broken.add(name)
        else:
            self.types[name] = found
        self._rows = None

    def hint(self, name: str) -> str:
        """What to do about a column that is not there."""
        if name in self.absent:
            return f" {self.absent[name]}"
        return closest(name, list(self.types))

    def rows(self) -> pl.DataFrame:
        """Two sample rows, to try expressions on."""
        if self._rows is None:
            self._rows = expressions.sample_rows(self.types)
        return self._rows


class Reading:
    """One file as it is read: its sections, and the mistakes found so far."""

    def __init__(self, raw: dict[str, Any], problems: Problems):
        self.raw, self.problems = raw, problems

    def section(self, cls: type[_T], key: str, required: bool = False) -> _T | None:
        """The section `key` as a `cls`; None if it is missing or broken."""
        if key in self.raw:
            return build(cls, self.raw[key], key, self.problems)
        if required:
            self.problems.add(key, "is required; add this section.")
        return None

    def entries(self, cls: type[_T], key: str) -> list[tuple[str, _T]]:
        """Key path and `cls` of each entry of a list of named things.

        A broken entry is a noted problem and left out; no section is an empty list.
        """
        raw = self.raw.get(key, [])
        if not isinstance(raw, list):
            self.problems.add(key, "must be a list.", raw)
            return []
        found: list[tuple[str, _T]] = []
        for index, value in enumerate(raw):
            name = value.get("name") if isinstance(value, dict) else None
            path = f"{key}[{index}]" + (f" ({name})" if name else "")
            item = build(cls, value, path, self.problems)
            if item is not None:
                found.append((path, item))
        return found

    def required_list(self, key: str) -> None:
        """Checks that a list has an entry."""
        if not self.raw.get(key):
            rule = "must be a list with one entry at least."
            self.problems.add(key, rule, self.raw.get(key))

    def entry_names(self, key: str) -> list[str]:
        """The names in a list of named things, of broken entries too."""
        raw = self.raw.get(key)
        entries = raw if isinstance(raw, list) else []
        return [str(e["name"]) for e in entries if isinstance(e, dict) and "name" in e]

    def type_of(self, path: str, text: str, scope: Scope) -> pl.DataType | None:
        """The type of an expression; None, and a noted problem, if it has none."""
        try:
            names = expressions.columns_of(text)
            if scope.unknown or names & scope.broken:
                return None
            missing = sorted(names - set(scope.types))
            if missing:
                rule = f"reads {missing[0]!r}, which is no column of {scope.what}."
                rule += scope.hint(missing[0])
                self.problems.add(path, rule, text)
                return None
            return expressions.type_of(text, scope.rows())
        except ValueError as error:
            self.problems.add(path, f"{error}.", text)
            return None

    def typed(
        self,
        path: str,
        text: str,
        scope: Scope,
        fits: Callable[[pl.DataType], bool],
        rule: str,
    ) -> pl.DataType | None:
        """The type of an expression that `fits`; else None, and `rule` as a problem."""
        found = self.type_of(path, text, scope)
        if found is None or fits(found):
            return found
        self.problems.add(path, f"{rule} It is of type {found}.", text)
        return None

    def number(self, path: str, text: str, scope: Scope) -> pl.DataType | None:
        """The type of an expression that must be a number or true/false."""
        rule = "must be a number or true/false; CAST(... AS DOUBLE) makes a number."
        return self.typed(path, text, scope, is_number, rule)

    def condition(self, path: str, text: str, scope: Scope) -> None:
        """Checks that an expression is true/false, or a number: 0 is false."""
        rule = "must be a condition such as tab = 1."
        if self.typed(path, text, scope, is_number, rule) is None:
            return
        value = constant_of(text)
        if value is not None and not value:
            self.problems.add(path, "never holds; mend it, or leave it out.", text)

    def condition_that_varies(self, path: str, text: str, scope: Scope) -> None:
        """Checks a condition that would say nothing if it always held."""
        before = len(self.problems.found)
        self.condition(path, text, scope)
        if len(self.problems.found) == before and not names_of(text):
            rule = "reads no column, so it holds for all rows; leave it out."
            self.problems.add(path, rule, text)

    def name(self, path: str, name: Any) -> None:
        """Checks the spelling of a name."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            rule = (
                "must be lower-case letters, digits and _, a letter first; at most 64."
            )
            self.problems.add(path, rule, name)

    def foreign_name(self, path: str, name: str) -> None:
        """Checks a name that others gave: a log's column, which may be any text."""
        if not name.isprintable() or name != name.strip() or '"' in name:
            rule = 'may hold no control characters, no ", and no blanks at its ends.'
            self.problems.add(path, rule, name)
        if not 1 <= len(name) <= _LONGEST_COLUMN:
            rule = f"must have from 1 to {_LONGEST_COLUMN} characters."
            self.problems.add(path, rule, name)

    def free_name(self, path: str, name: str) -> None:
        """Checks the name of something that becomes a key of examples or a column."""
        if not _COLUMN_NAME.fullmatch(name):
            rule = "must be letters, digits and _, a letter first; at most 64."
            self.problems.add(path, rule, name)
        if name.startswith(RESERVED_PREFIXES):
            rule = f"may not begin with {', '.join(RESERVED_PREFIXES)}."
            self.problems.add(path, rule, name)

    def unique(self, path: str, name: str, seen: Collection[str]) -> None:
        """Checks that a name is not taken, in whatever case."""
        if name in seen:
            self.problems.add(path, "is taken already; rename it.", name)
        elif name.casefold() in {other.casefold() for other in seen}:
            rule = "is taken already but for its case; rename it."
            self.problems.add(path, rule, name)

    def column(self, path: str, column: str, known: Collection[str]) -> None:
        """Checks that a column is declared."""
        if column not in known:
            hint = closest(column, list(known))
            self.problems.add(path, f"must be a declared column.{hint}", column)

    def columns(
        self, path: str, columns: Iterable[str], known: Collection[str]
    ) -> None:
        """Checks that the columns of a list are declared, and named once."""
        seen: set[str] = set()
        for index, column in enumerate(columns):
            self.column(f"{path}[{index}]", column, known)
            if column in seen:
                rule = "is named twice; name it once."
                self.problems.add(f"{path}[{index}]", rule, column)
            seen.add(column)

    def between(self, path: str, value: float, least: float, most: float) -> None:
        """Checks that a number has a floor and a ceiling."""
        if not least <= value <= most:
            self.problems.add(path, f"must be from {least:,} to {most:,}.", value)

    def increasing(self, path: str, cuts: Collection[float]) -> None:
        """Checks cut points."""
        if list(cuts) != sorted(set(cuts)):
            self.problems.add(path, "must be increasing numbers.", list(cuts))


def names_of(text: str) -> set[str]:
    """The columns an expression reads; none if it is broken, which `type_of` tells."""
    try:
        return expressions.columns_of(text)
    except ValueError:
        return set()


def reads(text: str, columns: Collection[str]) -> str:
    """Those of `columns` that an expression reads, as text; empty for none."""
    return ", ".join(sorted(names_of(text) & set(columns)))


def element_type(found: pl.DataType) -> pl.DataType:
    """The type of one value: of a list's elements, else `found` itself."""
    return cast(pl.DataType, found.inner) if isinstance(found, pl.List) else found


def is_number(found: pl.DataType) -> bool:
    """Whether values are numbers, or true and false."""
    return found.is_numeric() or found == pl.Boolean


def example_type(found: pl.DataType) -> Dtype | None:
    """The type of a column in examples; None for lists, times and all else."""
    if found.is_integer() or found == pl.Boolean:
        return "int64"
    if found.is_numeric():
        return "float32"
    return "string" if found == pl.String else None
