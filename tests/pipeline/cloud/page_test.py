"""The commands of docs/tpu.md are taken as they stand there."""

import pathlib
import re
import shlex

import pytest

from pipeline.cloud.command import run

_PAGE = pathlib.Path(__file__).parents[3] / "docs" / "tpu.md"


def _commands() -> list[list[str]]:
    """Arguments of every `trailrank job` in the page's code blocks."""
    blocks = re.findall(
        r"^```\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), re.M | re.S
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.startswith("trailrank job ")]
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
