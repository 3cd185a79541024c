"""A Beam worker process that notes what it does, and can be made to die of it.

    python noting_worker.py NOTES [make_examples | write_examples]

For each call of the two functions a file FUNCTION-NUMBER-PID appears in NOTES. The
second argument names the function in whose third call, of all workers together, the
process is killed.
"""

import itertools
import os
import pathlib
import signal
import sys

from apache_beam.runners.worker import sdk_worker_main

from pipeline.examples import outputs, steps

_FATAL_CALL = 2
# The functions, and the module whose steps call them.
_NOTED = {"make_examples": steps, "write_examples": outputs}


def _noting(function, folder: pathlib.Path, deadly: bool):
    name = function.__name__

    def noted(*args, **kwargs):
        call = _next_call(folder, name)
        (folder / f"{name}-{call}" / str(os.getpid())).touch()
        if deadly and call == _FATAL_CALL:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return noted


def _next_call(folder: pathlib.Path, name: str) -> int:
    """The first number that no worker has taken; making a directory takes it."""
    for number in itertools.count():
        try:
            (folder / f"{name}-{number}").mkdir()
        except FileExistsError:
            continue
        return number


if __name__ == "__main__":
    notes, victim = pathlib.Path(sys.argv[1]), "".join(sys.argv[2:])
    for name, module in _NOTED.items():
        noting = _noting(getattr(module, name), notes, deadly=name == victim)
        setattr(module, name, noting)
    sdk_worker_main.main(sys.argv)
