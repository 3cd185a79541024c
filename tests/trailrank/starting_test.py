"""A command says soon that it has begun, and libraries say nothing on the way."""

import logging
import os
import pathlib
import subprocess
import sys

from trailrank import starting

_ROOT = pathlib.Path(__file__).parents[2]

_COMMAND = """
import sys, time
from trailrank import cli, starting

def run(argv):
{body}
    return 0

starting.SILENT_S = {silent_s}
cli.COMMANDS["own"] = ("__main__", "of this test")
sys.argv = ["trailrank", "own"]
cli.console_main()
"""


def _run(
    body: str, silent_s: float = 600, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _COMMAND.format(body=body, silent_s=silent_s)],
        capture_output=True,
        text=True,
        check=True,
        cwd=_ROOT,
        env={**os.environ, **environment},
    )


def test_the_first_line_comes_within_two_seconds():
    assert starting.SILENT_S < 2


def test_a_command_that_takes_long_says_that_it_has_begun():
    done = _run("    time.sleep(1); print('done')", silent_s=0.2)
    assert done.stdout == "done\n"
    assert done.stderr == "trailrank own: starting, some seconds ...\n"


def test_a_command_that_is_done_before_says_nothing():
    assert _run("    print('done')").stderr == ""


def test_a_heavy_import_is_told_before_it_begins_and_once(tmp_path):
    """Two empty modules of these names tell when they are imported."""
    for name in ("apache_beam", "tensorflow"):
        text = f"import sys; print('imports {name}', file=sys.stderr)"
        (tmp_path / f"{name}.py").write_text(text)
    body = f"""
    sys.path.insert(0, {str(tmp_path)!r})
    import apache_beam, tensorflow
"""
    assert _run(body).stderr.splitlines() == [
        "trailrank own: loading Beam, some seconds ...",
        "imports apache_beam",
        "imports tensorflow",
    ]


def test_warnings_of_libraries_are_left_out_and_others_stay():
    body = """
    import warnings
    for module in ("google.api_core._python", "tfx.utils", "mine"):
        warnings.warn_explicit(f"from {module}", FutureWarning, "x.py", 1, module)
"""
    told = _run(body).stderr
    assert "FutureWarning: from mine" in told
    assert "google" not in told and "tfx" not in told


def test_the_level_of_tensorflows_own_log_is_a_users_to_choose():
    body = "    import os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert _run(body, TF_CPP_MIN_LOG_LEVEL="0").stdout == "0\n"


def test_other_loggers_are_as_they_were_afterwards():
    log = logging.getLogger("httpx")
    before = log.level
    with starting.told("own"):
        assert not log.isEnabledFor(logging.INFO)
        assert log.isEnabledFor(logging.WARNING)
    assert log.level == before
