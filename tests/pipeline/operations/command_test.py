"""The commands of operators: what they print, and that they load nothing heavy."""

import argparse
import io
import json
import subprocess
import sys

import pytest
import rich.console

from pipeline.operations.command import NAMES, add_commands
from pipeline.pushing import versions


@pytest.fixture
def call(known_run):
    """Gives a command to the known run; returns what it prints."""

    def run(*argv: str) -> str:
        parser = argparse.ArgumentParser()
        add_commands(parser.add_subparsers(required=True))
        args = parser.parse_args([*argv, "--root", str(known_run.root)])
        printed = io.StringIO()
        assert args.handler(args, rich.console.Console(file=printed, width=120)) == 0
        return printed.getvalue()

    return run


def test_tables_for_people(call, known_run):
    newest = known_run.versions[-1]
    assert f"{newest} (pushed " in call("status")
    assert "like: AUC fell" in (told := call("history")) and "history.png" in told
    assert "day-20220412" in call("lineage", newest)


def test_json_for_programs(call, known_run):
    first, _, third = known_run.versions
    assert json.loads(call("status", "--json"))["serving"] == third
    assert len(json.loads(call("history", "--json"))["runs"]) == 4
    assert json.loads(call("lineage", first, "--json"))["version"]["version"] == first
    assert json.loads(call("prune", "--keep", "1", "--json"))["size_bytes"] > 0
    assert json.loads(call("rollback", first, "--json"))["left"] == third


def test_prune_removes_only_when_told_so(call, known_run):
    assert "give it again with --yes" in call("prune", "--keep", "1")
    assert len(versions(known_run.models)) == 3
    assert "removed." in call("prune", "--keep", "1", "--yes")
    assert versions(known_run.models) == [known_run.versions[-1]]


def test_a_rollback_says_what_comes_next(call, known_run):
    first, second, third = known_run.versions
    told = " ".join(call("rollback", first, "--reason", "likes fell").split())
    assert told == (
        f"Version {first} is served instead of {second}, {third}. "
        "The next run goes on from the end of 20220408."
    )


def test_nothing_heavy_is_imported():
    code = """
import sys, pipeline.operations.command
print([name for name in ("tensorflow", "tfx", "apache_beam", "ml_metadata", "matplotlib")
       if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert NAMES == ("status", "history", "lineage", "rollback", "prune")
