"""The one base of every error meant for a user: each room's errors derive from it."""

import ast
import builtins
import functools
import pathlib

from feature_specs import SpecError, TrailrankError

_ROOT = pathlib.Path(__file__).parents[2]
_ROOMS = ("feature_specs", "tpu_configs", "trainer", "serving", "pipeline", "trailrank")


@functools.cache
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
    assert (
        "serving/client/calls.py:ClientError" in errors
    )  # the walk finds what is there
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


# What calls these wrongly is a program, or a room that catches the error at once.
_FOR_PROGRAMMERS = {
    "feature_specs/aggregates.py": 12,  # the reader of `events` makes problems of them
    "feature_specs/column_types.py": 1,  # a spec's reader has made a problem of it
    "feature_specs/durations.py": 1,  # likewise
    "feature_specs/expressions.py": 7,  # `feature_specs.reading` makes problems of them
    "feature_specs/feature_kinds/base.py": 1,
    "feature_specs/missing.py": 1,  # likewise
    "feature_specs/registry.py": 1,
    "pipeline/cloud/vertex_pipeline.py": 1,
    "pipeline/evaluate.py": 1,
    "pipeline/evaluation/buckets.py": 1,  # as `open` has it
    "pipeline/evaluation/fused.py": 1,
    "pipeline/evaluation/model_evaluation.py": 1,
    "pipeline/experiment/knowledge.py": 1,  # a fault of this package
    "pipeline/gates/findings.py": 1,  # caught where the file is read
    "pipeline/ledger.py": 2,  # likewise; and as a mapping has it
    "pipeline/runners/node_launcher.py": 4,
    "pipeline/summaries/store.py": 1,  # likewise
    "pipeline/summaries/summary.py": 1,
    "trainer/days/encoding.py": 5,  # likewise
    "pipeline/examples/days.py": 1,
    "pipeline/examples/joins.py": 1,
    "pipeline/examples/reading/csv_lines.py": 1,
    "pipeline/examples/wire.py": 1,
    "pipeline/reporting/intervals.py": 2,
    "pipeline/run_record.py": 1,  # caught where the file is read
    "pipeline/runners/local.py": 1,
    "serving/client/grpc_client.py": 1,  # it tells them of the input by a ClientError
    "serving/ranking/served_run.py": 1,  # likewise
    "serving/ranking/rank_command.py": 3,
    "serving/client/rest_client.py": 1,  # as `json.dumps` has it
    "tpu_configs/chips.py": 2,  # `tpu_configs.slices` makes problems of them
    "trainer/days/shards.py": 3,  # likewise
    "trainer/model/switchers/routing.py": 1,
    "trainer/objective/losses.py": 2,
    "trainer/preflight/compiler.py": 1,
}
_PLAIN = ("ValueError", "RuntimeError", "KeyError", "TypeError", "IndexError")
_PLAIN += ("OSError", "FileNotFoundError", "FileExistsError", "PermissionError")


def test_errors_without_a_class_of_ours_are_for_programmers():
    """Whoever adds one decides whether a user can meet it: then it gets a class."""
    found = {
        str(path.relative_to(_ROOT)): _plain_raises(path)
        for room in _ROOMS
        for path in sorted((_ROOT / room).rglob("*.py"))
    }
    assert {name: count for name, count in found.items() if count} == _FOR_PROGRAMMERS


def _plain_raises(path: pathlib.Path) -> int:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    calls = [call for call in raised if isinstance(call, ast.Call)]
    return sum(_name(call.func) in _PLAIN for call in calls)


def test_a_spec_error_is_caught_as_either():
    error = SpecError("mine.yaml", ["name: is required; add it."])
    assert isinstance(error, TrailrankError) and isinstance(error, ValueError)
