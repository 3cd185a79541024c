"""Exit statuses: the table of `trailrank --help`, and an end of a command for each.

Those of a training that a signal stopped are in `tests/trainer/days/recovery_test.py`.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from feature_specs.errors import Status
from trailrank import cli

_ROOT = pathlib.Path(__file__).parents[2]
_NO_EXAMPLES = ["--examples", "/nowhere", "--checkpoints", "/nowhere/too"]


def _python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=_ROOT,
        env={**os.environ, **environment},
    )


def test_the_table_has_every_status_and_no_other(capsys):
    assert list(cli.STATUSES) == [0, 1, 2, 3, 75, 130] == [int(s) for s in Status]
    cli.main(["trailrank", "--help"])
    told = capsys.readouterr().out
    lines = [line.split() for line in told.split("exit status:")[1].splitlines()]
    shown = [words[0] for words in lines if words and words[0].isdigit()]
    assert shown == ["0", "1", "2", "3", "75", "130"]


def test_what_is_right_ends_with_0(capsys):
    assert cli.main(["trailrank", "spec", "check", "kuairand"]) == 0


def test_a_mistake_ends_with_1_and_its_message_alone(capsys):
    flags = ["--spec", "kuairand", *_NO_EXAMPLES]
    assert cli.main(["trailrank", "train", *flags]) == 1
    told = capsys.readouterr().err
    assert told.startswith("trailrank: --examples /nowhere: ")
    assert "Traceback" not in told


def test_the_trace_of_a_mistake_is_shown_when_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("TRAILRANK_TRACE", "1")
    flags = ["--spec", "kuairand", *_NO_EXAMPLES]
    assert cli.main(["trailrank", "train", *flags]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told and "in find_days" in told
    assert "\ntrailrank: --examples /nowhere: " in told


@pytest.mark.parametrize("trace", ["", "1"])
def test_a_fault_inside_a_room_ends_with_1_and_its_trace(trace):
    """The module that raises says nothing of whose mistake it is."""
    code = (
        "import sys, types\n"
        "from trailrank import cli\n"
        "room = sys.modules['pipeline.room'] = types.ModuleType('pipeline.room')\n"
        "exec('def run(argv): return int(\"seven\")', room.__dict__)\n"
        "cli.COMMANDS['own'] = ('pipeline.room', 'of this test')\n"
        "sys.argv[1:] = ['own']\n"
        "cli.console_main()\n"
    )
    done = _python(code, TRAILRANK_TRACE=trace)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "invalid literal for int() with base 10: 'seven'" in done.stderr
    assert "trailrank: " not in done.stderr


def test_a_full_disk_is_told_in_a_sentence():
    """/dev/full refuses every write, as a full disk does."""
    code = (
        "import sys\n"
        "def run(argv):\n"
        "    with open('/dev/full', 'w', buffering=1) as file:\n"
        "        file.write('x\\n' * 10000)\n"
        "from trailrank import cli\n"
        "cli.COMMANDS['own'] = ('__main__', 'of this test')\n"
        "sys.exit(cli.main(['trailrank', 'own']))\n"
    )
    done = _python(code)
    assert done.returncode == 1
    assert done.stderr == "trailrank: No space left on device.\n"


@pytest.mark.parametrize(
    "flags", [["--users", "x"], ["--spec", "kuairand", "--warm_start_partial"]]
)
def test_wrong_arguments_end_with_2(flags, capsys):
    argv = ["trailrank", "train", *flags, *_NO_EXAMPLES]
    try:
        status = cli.main(argv)
    except SystemExit as end:  # argparse's way
        status = end.code
    assert status == 2
    assert capsys.readouterr().err


def test_the_readme_has_the_same_table():
    text = (_ROOT / "README.md").read_text()
    table = text.split("| status | means |\n|---|---|\n")[1].split("\n\n")[0]
    shown = [int(line.split("|")[1]) for line in table.splitlines()]
    assert shown == list(cli.STATUSES)
