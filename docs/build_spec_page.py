"""The reference page of the spec, docs/spec.md: every key, made of the classes.

    python docs/build_spec_page.py          # writes docs/spec.md

Types, defaults and rules are those of the dataclasses' fields, texts their docstrings',
examples those of the specs beside this file (`spec_example*.yaml`), which must be
right. So the page says what the reader does; a test compares it.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import pathlib
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import yaml

from feature_specs.column_types import TYPES_RULE
from feature_specs.feature_kinds import FEATURE_KINDS
from feature_specs.fields import Named, NumberOrText, Rule
from feature_specs.spec import Spec
from feature_specs.task_kinds import LOSS_KINDS, TASK_KINDS

FOLDER = pathlib.Path(__file__).parent
PAGE = FOLDER / "spec.md"
_FILLED_IN = {"column_types", "text", "dtype"}  # by the reader: no keys
# From raw rows to the served score; a section that is not named here comes after them.
_ORDER = (
    *("name", "log", "events", "filters", "trail", "history", "histories"),
    *("counters", "statistics", "quantiles", "derived", "tables", "features"),
    *("tasks", "facets", "fusion", "evaluation", "data_gates"),
)
_ENTRY = "NAME"  # stands for the key of a mapping's entry in a path
_LONGEST_EXAMPLE = 60
_INTRO = """\
# The spec, key by key

One YAML file says what your logs are, what the model reads of them and what it
predicts. This page is the reference; [examples.md](examples.md) tells how logs become
examples, [models.md](models.md) what a preset of the ranker says.

```
trailrank spec check my.yaml    # every mistake at once: where, and what to do
trailrank spec show my.yaml     # the spec as tables
trailrank spec diff a.yaml b.yaml
```

- A key without a default is **required**. A key that is not listed is a mistake.
- *SQL* is an expression over columns, evaluated row by row; what is missing stays
  missing (see *What is missing* in [examples.md](examples.md)).
- Comments, layout and defaults written out change nothing: no step runs again.
- The examples are parts of whole specs: FILES.

"""
_NOTE = "<!-- Made by docs/build_spec_page.py of the classes; do not edit. -->\n\n"


class Key(NamedTuple):
    """One key of the spec.

    Attributes:
        path: `log.time.unit`; `NAME` stands for the name of an entry.
        kind: Its type, for people.
        default: As YAML has it; "required" without one.
        says: What it means.
    """

    path: str
    kind: str
    default: str
    says: str

    @property
    def name(self) -> str:
        """The key itself."""
        return self.path.rsplit(".", 1)[-1]


class Part(NamedTuple):
    """One class: a section, or a mapping inside one.

    Attributes:
        path: Of the mapping.
        cls: Name of the class; "" for a section that is one value.
        says: The class's docstring, without its attributes.
        shape: How many there are: "", "a list" or "a mapping of names".
        keys: Its own.
    """

    path: str
    cls: str
    says: str
    shape: str
    keys: tuple[Key, ...]


# --- the classes ----------------------------------------------------------------------


def parts() -> list[Part]:
    """Every mapping of a spec, section by section."""
    hints = typing.get_type_hints(Spec, include_extras=True)
    told = _attributes(Spec)
    fields = {f.name: f for f in dataclasses.fields(Spec) if f.name not in _FILLED_IN}
    found = []
    for name in sorted(fields, key=_place):
        inner = list(_nested(hints[name], name))
        if inner:
            found += inner
        else:
            key = _key(fields[name], hints[name], name, told)
            found.append(Part(name, "", key.says, "", (key,)))
    return found


def all_keys() -> list[Key]:
    """Every key of a spec."""
    return [key for part in parts() for key in part.keys]


def _place(section: str) -> int:
    return _ORDER.index(section) if section in _ORDER else len(_ORDER)


def _nested(hint: Any, path: str) -> Iterator[Part]:
    """The class behind a hint, and those behind its fields."""
    cls, shape = _class_of(hint)
    if cls is None:
        return
    inside = _inside(hint, path)
    hints = typing.get_type_hints(cls, include_extras=True)
    told = _attributes(cls)
    fields = [f for f in dataclasses.fields(cls) if f.name not in _FILLED_IN]
    if inside != path:
        fields = [f for f in fields if f.name != "name"]  # it is the mapping's key
    own = [_key(f, hints[f.name], f"{inside}.{f.name}", told) for f in fields]
    yield Part(inside, cls.__name__, _summary(cls), shape, tuple(own))
    for field in fields:
        yield from _nested(hints[field.name], f"{inside}.{field.name}")


def _class_of(hint: Any) -> tuple[Any, str]:
    """(the dataclass of a hint, whether there are many of it), or (None, "")."""
    hint = _bare(hint)
    if dataclasses.is_dataclass(hint):
        return hint, ""
    args = [_bare(arg) for arg in typing.get_args(hint)]
    if typing.get_origin(hint) is tuple and dataclasses.is_dataclass(args[0]):
        return args[0], "a list"
    if typing.get_origin(hint) is dict and dataclasses.is_dataclass(args[1]):
        return args[1], "a mapping of names"
    return None, ""


def _bare(hint: Any) -> Any:
    """A hint without its annotations and without `| None`."""
    if typing.get_origin(hint) is Annotated:
        return _bare(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (one, *others) = [a for a in typing.get_args(hint) if a is not type(None)]
        return hint if others else _bare(one)
    return hint


def _key(
    field: dataclasses.Field[Any], hint: Any, path: str, told: dict[str, str]
) -> Key:
    kind = _kind(hint).replace(_SEE, f"[mapping](#{_anchor(_inside(hint, path))})")
    return Key(path, kind, _default(field), told.get(field.name, ""))


def _inside(hint: Any, path: str) -> str:
    """The path of the keys of a mapping, or of an entry of one."""
    _, shape = _class_of(hint)
    return f"{path}.{_ENTRY}" if shape == "a mapping of names" else path


def _summary(cls: type) -> str:
    text = inspect.getdoc(cls) or ""
    return re.split(r"\n\n(?=Attributes:)", text)[0].strip()


def _attributes(cls: type) -> dict[str, str]:
    """Field -> its text in the section `Attributes` of the docstring."""
    text = inspect.getdoc(cls) or ""
    _, _, section = text.partition("\nAttributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*|\n(?=\n? {8}))*)", section, re.M)
    return {name: " ".join(told.split()) for name, told in found}


# --- types and defaults, for people ---------------------------------------------------

_SEE = "mapping, see below"
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _kind(hint: Any) -> str:
    """A type with its rule: `whole number, from 1 to 10,000`."""
    if hint == NumberOrText:
        return "whole number or text"
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        kind = _kind(args[0])
        for said in args[1:]:
            if isinstance(said, Named):
                kind = _one_of(said.names())
            elif isinstance(said, Rule):
                kind = f"{kind}; {said.told.removesuffix('.').removeprefix('must be ')}"
        return kind
    if origin is Literal:
        return _one_of(value for value in args if value != "")
    if origin in (typing.Union, types.UnionType):
        return _kind(next(a for a in args if a is not type(None)))
    if origin is tuple:
        return f"list of {_several(args[0])}"
    if origin is dict:
        return f"mapping of name to {_kind(args[1])}"
    return _PLAIN.get(hint, _SEE)


def _several(hint: Any) -> str:
    kind = _kind(hint)
    many = {"text": "texts", "whole number": "whole numbers", "number": "numbers"}
    return many.get(kind, kind)


def _one_of(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "**required**"
    if dataclasses.is_dataclass(value) or value in ("", None, (), {}):
        return ""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


# --- examples -------------------------------------------------------------------------


def example_files() -> list[pathlib.Path]:
    """The specs that the page takes its examples from."""
    return sorted(FOLDER.glob("spec_example*.yaml"))


def example_of(path: str) -> str:
    """What the first of the examples that has a key says at it; "" without one."""
    for example in _examples():
        value = _at(example, path.split("."))
        if value is not None:
            return _as_yaml(value)
    return ""


@functools.cache
def _examples() -> list[Any]:
    return [yaml.safe_load(file.read_text()) for file in example_files()]


def _at(value: Any, path: list[str]) -> Any:
    """The first value at a path; of a list, of the first entry that has one."""
    if isinstance(value, list) and path:
        return next((v for e in value if (v := _at(e, path)) is not None), None)
    if not path:
        return value
    if not isinstance(value, dict):
        return None
    key, *rest = path
    if key == _ENTRY:
        return next(
            (v for e in value.values() if (v := _at(e, rest)) is not None), None
        )
    return _at(value[key], rest) if key in value else None


def _as_yaml(value: Any) -> str:
    """On one line, shortened: a mapping or a list by its first entries."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    if len(text) <= _LONGEST_EXAMPLE:
        return text
    if isinstance(value, list) and len(value) > 1:
        return f"{_as_yaml(value[:1])[:-1]}, ...]"
    if isinstance(value, dict) and len(value) > 1:
        key = next(iter(value))
        return f"{_as_yaml({key: value[key]})[:-1]}, ...}}"
    return text


def _section_text(section: str) -> str:
    """The lines of a section in the first example that has it."""
    for file in example_files():
        found = re.search(rf"^{section}:.*\n(?:(?:[ #].*)?\n)*", file.read_text(), re.M)
        if found:
            return found[0].strip()
    return ""


# --- the page -------------------------------------------------------------------------


def page() -> str:
    """The text of docs/spec.md."""
    found = parts()
    sections = list(dict.fromkeys(part.path.split(".")[0] for part in found))
    files = ", ".join(f"[{file.name}]({file.name})" for file in example_files())
    text = (
        _NOTE
        + _INTRO.replace("FILES", files)
        + "| section | what it says |\n|---|---|\n"
    )
    for section in sections:
        first = next(p for p in found if p.path.split(".")[0] == section)
        text += f"| [`{section}`](#{section}) | {_first_sentence(first.says)} |\n"
    text += "\n[Types of columns](#types-of-columns), [kinds of features]"
    text += "(#kinds-of-features), [kinds of tasks](#kinds-of-tasks-and-losses).\n"
    for section in sections:
        text += "\n" + _section(
            section, [p for p in found if p.path.split(".")[0] == section]
        )
    return _with_links(text + "\n" + _column_types() + "\n" + _kinds())


def _with_links(text: str) -> str:
    """Names of classes, which readers of YAML do not know, as links to their keys."""
    for part in (part for part in parts() if part.cls):
        where = f"[`{part.path}`](#{_anchor(part.path)})"
        text = text.replace(f"`{part.cls}`", where)
        text = re.sub(rf"`{part.cls}\.(\w+)`", rf"`{part.path}.\1`", text)
    return text


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _first_sentence(text: str) -> str:
    end = r"(?<!sec\.)(?<!eq\.)(?<!fig\.)(?<=[.:])\s"
    return _cell(re.split(end, " ".join(text.split()), maxsplit=1)[0])


def _section(section: str, inside: list[Part]) -> str:
    text = f"## {section}\n\n"
    example = _section_text(section)
    for number, part in enumerate(inside):
        if number:
            text += f"\n### {part.path}\n\n"
        shape = {
            "a list": "A list; each entry:",
            "a mapping of names": "A mapping of names; each entry:",
        }.get(part.shape, "")
        text += f"{_paragraphs(part.says)}\n\n"
        if example and not number:
            text += f"```yaml\n{example}\n```\n\n"
        text += f"{shape}\n\n" if shape else ""
        text += _table(part.keys)
    return text


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(p.split()) for p in text.split("\n\n"))


def _table(rows: Iterable[Key]) -> str:
    text = "| key | type | default | what it says | example |\n|---|---|---|---|---|\n"
    for key in rows:
        example = "" if "[mapping]" in key.kind else example_of(key.path)
        cells = (
            f"`{key.name}`",
            _cell(key.kind),
            _cell(key.default),
            _cell(key.says),
            f"`{_cell(example)}`" if example else "",
        )
        text += f"| {' | '.join(cells)} |\n"
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _column_types() -> str:
    rule = re.sub(r"(\w+<\w+>)", r"`\1`", TYPES_RULE.removeprefix("must be "))
    return (
        "## Types of columns\n\nWhat `columns` of the log, and of what is joined to "
        f"it, may be declared as: {rule} See *Files* in [examples.md](examples.md).\n"
    )


def _kinds() -> str:
    text = "## Kinds of features\n\n| `kind` | what it is | its own keys | made of |\n"
    text += "|---|---|---|---|\n"
    for name in FEATURE_KINDS:
        kind = FEATURE_KINDS[name]
        own = ", ".join(f"`{key}`" for key in sorted(kind.uses))
        made_of = ", ".join(f"`{dtype}`" for dtype in kind.takes)
        says = _paragraphs(_summary(type(kind)).split("\n\n")[0])
        text += f"| `{name}` | {_cell(says)} | {own} | {made_of} |\n"
    text += "\n## Kinds of tasks and losses\n\n| `kind` | what it is | `loss` |\n"
    text += "|---|---|---|\n"
    for name in TASK_KINDS:
        task = TASK_KINDS[name]
        losses = [loss for loss in LOSS_KINDS if name in LOSS_KINDS[loss].tasks]
        told = ", ".join(
            f"`{loss}` (default)" if loss == task.default_loss else f"`{loss}`"
            for loss in losses
        )
        text += f"| `{name}` | {_cell(_summary(type(task)))} | {told} |\n"
    return text


def main() -> int:
    """Writes the page; the exit status."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
