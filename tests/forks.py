"""Processes that train and can be killed, without a start of TensorFlow each.

One Python loads TensorFlow, TFX and what is ours, and starts nothing; every process is
forked from it, which takes no time.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What a newcomer types, as `Forks.run` takes it; the first argument is the directory.
SCRIPT = """
import os, runpy, sys
folder, *sys.argv = sys.argv[1:]
os.chdir(folder)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
COMMAND = """
import os, sys
folder, *sys.argv = sys.argv[1:]
os.chdir(folder)
from trailrank.cli import console_main
console_main()
"""

# Each line of stdin starts a process, or asks how one ended.
_SERVER = """
import json, os, sys
import trainer.days.loop, trailrank.cli
import pipeline.examples.make, pipeline.launch, serving.export.export, serving.ranking.rank

# TFX loads IPython, which adds a directory that has a package `tests` too.
sys.path[:] = [folder for folder in sys.path if "IPython" not in folder]

def run(asked):
    os.environ.update(asked["environment"])
    for number, path in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    sys.argv = ["-c", *asked["arguments"]]
    try:
        exec(compile(asked["code"], "<forked>", "exec"), {"__name__": "__main__"})
        return 0
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

for line in sys.stdin:
    asked = json.loads(line)
    if "code" in asked:
        answer = os.fork()
        if answer == 0:
            os._exit(run(asked))
    else:
        answer = os.waitstatus_to_exitcode(os.waitpid(asked["pid"], 0)[1])
    print(answer, flush=True)
"""


def in_a_process(call: Callable[[], object], most_s: int = 120) -> int:
    """Calls a function in a process forked from this one; returns how that ended.

    What it patches, limits or kills is its own.

    Args:
        call: Ends the process with 1 if it raises, else with 0.
        most_s: After so long it is ended.

    Returns:
        Its exit status, below 0 for a signal.
    """
    pid = os.fork()
    if pid == 0:
        signal.alarm(most_s)
        status = 1
        try:
            call()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Process:
    """A forked process.

    Attributes:
        pid: Its number.
    """

    def __init__(self, forks: Forks, pid: int, out: pathlib.Path, err: pathlib.Path):
        self._forks, self.pid, self._out, self._err = forks, pid, out, err

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return self._err.read_text()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, or been killed."""
        with contextlib.suppress(OSError):
            stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] != "Z"
        return False

    def kill(self, number: int) -> None:
        """Sends a signal, to one that has ended too."""
        os.kill(self.pid, number)  # until `end` asks, the number stays its own

    def end(self) -> int:
        """Waits for its exit status, below 0 for a signal. To be asked once."""
        return self._forks.ask({"pid": self.pid})


class Forks:
    """Starts processes, all forked from one that is ready.

    Args:
        folder: Where their output goes.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        code: str,
        arguments: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """A process that runs `code`, with `arguments` in `sys.argv[1:]`."""
        self._count += 1
        files = [self._folder / f"{self._count}.{kind}" for kind in ("out", "err")]
        for file in files:
            file.touch()
        pid = self.ask(
            {
                "code": code,
                "arguments": [str(argument) for argument in arguments],
                "environment": dict(environment or {}),
                "out": str(files[0]),
                "err": str(files[1]),
            }
        )
        return Process(self, pid, *files)

    def run(
        self,
        code: str,
        arguments: Sequence[object] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """The same, ended; it must have ended well."""
        process = self.start(code, arguments, environment)
        assert process.end() == 0, process.err[-3000:]
        return process

    def ask(self, question: Mapping[str, object]) -> int:
        """What the server answers."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def close(self) -> None:
        """Ends the server; processes that run go on."""
        self._server.communicate()
