"""The one base of every error meant for a user: each room's errors derive from it."""

import ast
import builtins
import pathlib

from feature_specs import SpecError, TrailrankError

_ROOT = pathlib.Path(__file__).parents[2]
_ROOMS = ("feature_specs", "tpu_configs", "trainer", "serving", "pipeline", "trailrank")


def _bases() -> dict[str, list[str]]:
    """`file:class` -> the names of its bases, of every class in the rooms.

    A private one is never told to a user: it is caught where it is raised.
    """
    return {
        f"{path.relative_to(_ROOT)}:{node.name}": [_name(base) for base in node.bases]
        for room in _ROOMS
        for path in sorted((_ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def _name(base: ast.expr) -> str:
    """`ValueError`, and `Error` of `module.Error`; empty for a call or a subscript."""
    return getattr(base, "id", "") or getattr(base, "attr", "")


def _is_built_in(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def test_every_error_of_ours_has_the_one_base():
    errors = {
        where: bases
        for where, bases in _bases().items()
        if any(_is_built_in(base) or base.endswith("Error") for base in bases)
    }
    base = errors.pop("feature_specs/errors.py:TrailrankError")
    assert base == ["Exception"]
    assert "serving/client.py:ClientError" in errors  # the walk finds what is there
    ours = {"TrailrankError"}
    for _ in errors:  # an error may derive from another one of ours
        ours |= {where.split(":")[1] for where in errors if ours & set(errors[where])}
    assert [where for where in errors if where.split(":")[1] not in ours] == []


def test_an_error_stays_the_built_in_error_that_it_is():
    where = {
        name: bases for name, bases in _bases().items() if "TrailrankError" in bases
    }
    plain = [
        name
        for name, bases in where.items()
        if not any(_is_built_in(base) and base != "Exception" for base in bases)
    ]
    assert plain == []


def test_a_spec_error_is_caught_as_either():
    error = SpecError("mine.yaml", ["name: is required; add it."])
    assert isinstance(error, TrailrankError) and isinstance(error, ValueError)
