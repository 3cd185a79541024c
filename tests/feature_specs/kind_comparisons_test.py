"""What a kind means is asked of its object: no source compares a kind's name."""

import ast
import pathlib

import pytest

from feature_specs import preset_kinds
from feature_specs.feature_kinds import FEATURE_KINDS
from feature_specs.task_kinds import LOSS_NAMES, TASK_KINDS

_ROOT = pathlib.Path(__file__).parent.parent.parent
_ROOMS = ("feature_specs", "tpu_configs", "trainer", "serving", "pipeline", "trailrank")
_REGISTRIES = (
    FEATURE_KINDS,
    TASK_KINDS,
    LOSS_NAMES,
    preset_kinds.SWITCHER_KINDS,
    preset_kinds.STRUCTURE_KINDS,
    preset_kinds.WEIGHTS_KINDS,
    preset_kinds.CHAIN_KINDS,
    preset_kinds.OPTIMIZER_KINDS,
)
_NAMES = {name for registry in _REGISTRIES for name in registry}
_ASKED = ("kind", "loss_kind")


def _sources() -> list[pathlib.Path]:
    found = [
        p for room in (*_ROOMS, "benchmarks") for p in _ROOT.glob(f"{room}/**/*.py")
    ]
    assert len(found) > 200
    return found


def _is_kind(node: ast.AST) -> bool:
    """`x.kind`, `kind`, or what is made of it, as `x.kind.lower()`."""
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _ASKED)
        or (isinstance(part, ast.Name) and part.id in _ASKED)
        for part in ast.walk(node)
    )


def _names_kinds(node: ast.AST, lists: set[str]) -> bool:
    """Whether it holds a kind's name, or is one of the `lists` that do."""
    return any(
        (isinstance(part, ast.Name) and part.id in lists)
        or (
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and part.value in _NAMES
        )
        for part in ast.walk(node)
    )


def _lists_of_kinds(tree: ast.Module) -> set[str]:
    """Constants of a module that are lists of kinds' names."""
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Tuple | ast.List | ast.Set | ast.Dict)
        and _names_kinds(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def comparisons(source: str) -> list[int]:
    """Lines of a source that compare a kind with its name."""
    lines, tree = [], ast.parse(source)
    lists = _lists_of_kinds(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject, *(case.pattern for case in node.cases)]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            sides = [node.slice, *(key for key in node.value.keys if key)]
        else:
            continue
        if any(map(_is_kind, sides)) and any(_names_kinds(s, lists) for s in sides):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("room", [*_ROOMS, "benchmarks"])
def test_no_kind_is_compared_with_a_name(room):
    found = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path in _sources()
        if path.relative_to(_ROOT).parts[0] == room
        for line in comparisons(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'if task.kind == "binary": pass',
        'x = "single" != config.structure.kind',
        'y = [f for f in features if f.kind not in ("code", "bucket")]',
        'kind in {"ple"}',
        'match switcher.kind:\n  case "mmoe" | "moe": pass',
        'z = {"binary": 1, "regression": 2}[task.kind]',
        'task.loss_kind == "focal"',
        'x = 1 if kind in _MIXED else 0; _MIXED = ("mmoe", "ple")',
    ],
)
def test_the_search_finds_a_comparison(source):
    assert comparisons(source) == [1]


@pytest.mark.parametrize("source", ['kind == "f"', "x.kind == y.kind", 'a == "binary"'])
def test_the_search_leaves_other_comparisons(source):
    assert comparisons(source) == []
