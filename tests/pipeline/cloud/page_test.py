"""The commands of docs/tpu.md and docs/vertex.md are taken as they stand there."""

import pathlib
import re
import shlex

import pytest

from pipeline import command
from pipeline.cloud import pipeline_command
from pipeline.cloud.command import run

_DOCS = pathlib.Path(__file__).parents[3] / "docs"


def _lines(page: str, command: str) -> list[list[str]]:
    """The words of every such command in a page's code blocks."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(command)]


def _commands() -> list[list[str]]:
    """Arguments of every `trailrank job` in docs/tpu.md."""
    found = _lines("tpu.md", "trailrank job ")
    return [
        words[2 : words.index(">")] if ">" in words else words[2:] for words in found
    ]


def test_the_page_shows_both_places():
    assert {words[2] for words in _commands()} == {"vertex", "tpu_vm"}
    assert len(_commands()) == 4


@pytest.mark.parametrize("words", _commands())
def test_command_of_the_page(words, capsys):
    at = words.index("--")
    assert run([*words[:at], "--dry_run", *words[at:]]) == 0
    assert "my-bucket/examples" in capsys.readouterr().out


@pytest.mark.parametrize("words", _lines("vertex.md", "trailrank pipeline "))
def test_command_of_the_page_of_pipelines(words):
    args = command.parser().parse_args(words[2:])
    assert (args.project, args.region) == ("my-project", "europe-west4")


def test_the_page_of_pipelines_shows_all_commands():
    shown = {words[2] for words in _lines("vertex.md", "trailrank pipeline ")}
    assert shown == {"run", "compile", *pipeline_command.NAMES, "endpoint"}
