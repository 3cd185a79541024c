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


def _names_kinds(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Constant) and part.value in _NAMES
        for part in ast.walk(node)
        if isinstance(getattr(part, "value", None), str)
    )


def comparisons(source: str) -> list[int]:
    """Lines of a source that compare a kind with its name."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject, *(case.pattern for case in node.cases)]
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Dict):
            sides = [node.slice, *(key for key in node.value.keys if key)]
        else:
            continue
        if any(map(_is_kind, sides)) and any(map(_names_kinds, sides)):
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
    ],
)
def test_the_search_finds_a_comparison(source):
    assert comparisons(source) == [1]


@pytest.mark.parametrize("source", ['kind == "f"', "x.kind == y.kind", 'a == "binary"'])
def test_the_search_leaves_other_comparisons(source):
    assert comparisons(source) == []
