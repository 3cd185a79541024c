"""Ctrl-C and SIGTERM: a command ends soon, with "Stopped." and its status, whatever a
library makes of the interrupt."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from trailrank import stopping

_ROOT = pathlib.Path(__file__).parents[2]

# A command that imports nothing. It says "begun" where it can be interrupted.
_COMMAND = """
import os, signal, sys, time
from trailrank import cli, starting, stopping

def run(argv):
{body}
    return 0

starting.SILENT_S = 600  # says nothing of its own
cli.COMMANDS["{command}"] = ("__main__", "of this test")
sys.argv = ["trailrank", "{command}"]
cli.console_main()
"""

_WAITS = """
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        print("cleaned up", flush=True)
"""
# As a join of threads in C does.
_SWALLOWS = """
    number = 0
    while True:
        try:
            number += 1
            print("begun" if number == 1 else "went on", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            pass
"""
_ANSWERS_WITH_AN_ERROR = """
    try:
        print("begun", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        raise RuntimeError("the operation was cancelled") from None
"""
# As a step of the pipeline does, in whose Beam the interrupt came.
_FAILS_BY_IT = """
    from feature_specs.errors import TrailrankError
    try:
        print("begun", flush=True)
        time.sleep(600)
    except KeyboardInterrupt as stop:
        raise TrailrankError("Evaluator failed") from stop
"""
# As training does, which writes a checkpoint first.
_TAKES_OVER = """
    came = []
    for number in stopping.GRACE_S:
        stopping.GRACE_S[number] = 0.1
        signal.signal(number, lambda number, frame: came.append(number))
    print("begun", flush=True)
    while not came:
        time.sleep(0.02)
    time.sleep(1)
    print("in good order", flush=True)
"""
_STOPS_A_CHILD = """
    print("begun", flush=True)
    child = os.fork()
    if child == 0:
        time.sleep(600)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    stopping.GRACE_S[signal.SIGTERM] = 0.1
    time.sleep(1)
    print("in good order", flush=True)
"""


def _start(body: str, command: str = "own") -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(body=body, command=command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert started.stdout.readline() == "begun\n"
    return started


def _end(body: str, number: int, command: str = "own") -> tuple[int, str, str]:
    """Exit status, and what was printed, of a command that gets a signal."""
    with _start(body, command) as started:
        started.send_signal(number)
        out, err = started.communicate(timeout=60)
    return started.returncode, out, err


def test_the_time_to_clean_up_leaves_less_than_two_seconds():
    assert 0.5 < stopping.GRACE_S[signal.SIGINT] < 2


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)]
)
def test_a_command_cleans_up_and_ends(number, status):
    assert _end(_WAITS, number) == (status, "cleaned up\n", "\nStopped.\n")


def test_an_interrupt_that_a_library_swallows_ends_the_command():
    assert _end(_SWALLOWS, signal.SIGINT) == (130, "went on\n", "\nStopped.\n")


def test_an_error_that_answers_an_interrupt_is_no_fault():
    for body in (_ANSWERS_WITH_AN_ERROR, _FAILS_BY_IT):
        assert _end(body, signal.SIGINT) == (130, "", "trailrank: Stopped.\n")


def test_a_second_signal_ends_it_at_once():
    with _start(_SWALLOWS) as started:
        started.send_signal(signal.SIGINT)
        assert started.stdout.readline() == "went on\n"
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=60) == 130


def test_whoever_listens_takes_all_the_time_that_it_needs_after_sigterm():
    assert _end(_TAKES_OVER, signal.SIGTERM) == (0, "in good order\n", "")


def test_only_a_training_does_after_ctrl_c():
    assert _end(_TAKES_OVER, signal.SIGINT) == (130, "", "\nStopped.\n")
    ended = _end(_TAKES_OVER, signal.SIGINT, command="train")
    assert ended == (0, "in good order\n", "")


def test_a_signal_to_a_child_is_not_the_parents():
    with _start(_STOPS_A_CHILD) as started:
        assert started.communicate(timeout=60)[0] == "in good order\n"
    assert started.returncode == 0


@pytest.mark.slow
def test_examples_that_are_being_made_are_left_at_once(simulated_logs, tmp_path):
    flags = ["--spec", "kuairand", "--logs", simulated_logs / "data"]
    command = [sys.executable, "-m", "trailrank", "examples", *flags]
    with subprocess.Popen(
        [*command, "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    ) as started:
        assert started.stdout.readline().startswith("kuairand 20220408:20220414")
        started.send_signal(signal.SIGINT)
        _, told = started.communicate(timeout=60)
    assert started.returncode == 130
    assert told.endswith("\nStopped.\n")
    assert "Traceback" not in told
    assert "trailrank examples: loading Beam, some seconds ...\n" in told
