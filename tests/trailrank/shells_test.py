"""Commands are thin shells: what they call takes no parsed arguments and prints nothing,
and all parsers take flags by their whole names only."""

import argparse
import ast
import functools
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trailrank import cli

_ROOT = pathlib.Path(__file__).parents[2]
_ROOMS = ("feature_specs", "tpu_configs", "pipeline", "trainer", "serving", "trailrank")
_SPEAKS = {  # whose output is not for a console of ours, and why
    "feature_specs/locks.py": "whoever takes a directory over is told, also in Python",
    "trainer/preflight/compile_hlo.py": "a script of another environment: a protocol",
    "pipeline/gates/tables.py": "a table as text, for the message of an error",
    "trailrank/stopping.py": "the last word of a process that is ended",
    "pipeline/fetch/kuairand_tfds.py": "TensorFlow Datasets calls it, and shows bars",
}


def _is_command(path: pathlib.Path) -> bool:
    names = ("command.py", "demo.py", "cli.py", "__main__.py")
    return path.name in names or path.name.endswith("_command.py")


@functools.cache
def _below_commands() -> dict[str, list[ast.AST]]:
    """File -> all nodes of its code."""
    return {
        str(path.relative_to(_ROOT)): list(ast.walk(ast.parse(path.read_text())))
        for room in _ROOMS
        for path in sorted((_ROOT / room).rglob("*.py"))
        if not _is_command(path)
    }


def test_no_function_below_a_command_takes_parsed_arguments():
    found = [
        f"{name}:{node.lineno}"
        for name, nodes in _below_commands().items()
        for node in nodes
        if (isinstance(node, ast.Attribute) and node.attr == "Namespace")
        or (isinstance(node, ast.Name) and node.id == "Namespace")
        or (
            isinstance(node, ast.arg) and node.arg == "args" and node.annotation is None
        )
    ]
    assert found == []


def test_nothing_below_a_command_prints_to_a_console_of_its_own():
    found = [
        f"{name}:{node.lineno}"
        for name, nodes in _below_commands().items()
        if name not in _SPEAKS
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and ast.unparse(node.func) in ("print", "Console", "rich.console.Console")
    ]
    assert found == []


def test_only_one_module_makes_parsers():
    found = [
        str(path.relative_to(_ROOT))
        for room in _ROOMS
        for path in (_ROOT / room).rglob("*.py")
        if "argparse_flags" in path.read_text()
        or "argparse.ArgumentParser(" in path.read_text()
    ]
    assert found == ["feature_specs/flags.py"]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_parsers_take_whole_names_only(command):
    module = importlib.import_module(cli.COMMANDS[command][0])
    parsers = list(_all_parsers(module.parser()))
    assert parsers
    for parser in parsers:
        assert parser.allow_abbrev is False, parser.prog


def _all_parsers(
    parser: argparse.ArgumentParser,
) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _all_parsers(inner)


def test_a_job_refuses_a_shortened_flag_of_its_training(capsys):
    """`--accel` would have been --accelerator, which the job itself sets."""
    words = ["submit", "--where", "vertex", "--project", "my-team", "--dry_run"]
    words += ["--image", "europe-west4-docker.pkg.dev/p/r/trailrank:1"]
    words += ["--region", "europe-west4", "--tpu_config", "v5litepod-8", "--"]
    words += ["--spec", "kuairand", "--examples", "gs://b/t"]
    words += ["--checkpoints", "gs://b/c"]
    assert cli.main(["trailrank", "job", *words]) == 0
    assert '"gpu"' not in capsys.readouterr().out
    assert cli.main(["trailrank", "job", *words, "--accel", "gpu"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "unrecognized arguments: --accel gpu" in told.err


def test_a_reader_that_has_read_enough_ends_a_command_quietly():
    """As `trailrank spec show kuairand | head -1` does."""
    command = [sys.executable, "-m", "trailrank", "spec", "show", "kuairand"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=_ROOT
    ) as running:
        running.stdout.read(1)
        running.stdout.close()
        told = running.stderr.read()
    assert told == b""
    # 0: all was written before it was noticed; 1 is rich's way, 141 that of the shell.
    assert running.returncode in (0, 1, 141)
