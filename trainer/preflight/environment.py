"""The small environment that holds the TPU compiler, made once a user.

The compiler (`libtpu`, driven through JAX) wants other versions of shared packages than
TensorFlow 2.16, and Python 3.12: it lives in an environment and a process of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from trainer.errors import PreflightError

VARIABLE = "TRAILRANK_PREFLIGHT_ENV"
PYTHON = "3.12"
_LOCK = pathlib.Path(__file__).with_name("requirements.txt")
_DONE = ".complete"  # written last: an environment without it is made again
_TAIL = 12  # lines of an installer's output that are shown


def find_or_make(
    directory: str | None = None, told: Callable[[str], None] = lambda text: None
) -> pathlib.Path:
    """The Python of the compiler's environment, which is made if there is none.

    Args:
        directory: An existing environment; by default that of the variable
            `TRAILRANK_PREFLIGHT_ENV`, else one of our own in the user's cache.
        told: Is told that one is made, which takes a minute.

    Raises:
        PreflightError: It has no Python, or cannot be made; says what to do.
    """
    given = directory or os.environ.get(VARIABLE)
    if given:
        return _given(pathlib.Path(given).expanduser(), bool(directory))
    place = own_place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with _locked(place.with_suffix(".lock")):
        if not (place / _DONE).exists():
            told(
                f"setting up the TPU compiler in {place} (about 1 GB, once; a minute "
                f"or so)"
            )
            _make(place)
    return place / "bin" / "python"


def own_place() -> pathlib.Path:
    """Where our own environment is: `XDG_CACHE_HOME/trailrank/preflight-<lock>`."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    digest = hashlib.sha256(_LOCK.read_bytes() + PYTHON.encode()).hexdigest()[:12]
    return pathlib.Path(cache) / "trailrank" / f"preflight-{digest}"


def _given(place: pathlib.Path, by_flag: bool) -> pathlib.Path:
    python = place / "bin" / "python"
    if not python.exists():
        name = "--environment" if by_flag else VARIABLE
        raise PreflightError(
            f"{name} {place}: must be a virtual environment with the packages of "
            f"requirements/preflight.txt. Got no {python}. Leave it out to have one "
            f"made."
        )
    return python


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """One process at a time; another waits until the environment is there."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(place: pathlib.Path) -> None:
    uv = _uv()
    shutil.rmtree(place, ignore_errors=True)
    _run([*uv, "venv", "--quiet", "--python", _python(), str(place)], place)
    install = [*uv, "pip", "sync", "--quiet", "--require-hashes"]
    python = str(place / "bin" / "python")
    _run([*install, "--python", python, str(_LOCK)], place)
    (place / _DONE).touch()


def _uv() -> list[str]:
    """How to call uv: beside this interpreter, on the PATH, or as its module."""
    beside = pathlib.Path(sys.executable).with_name("uv")
    if beside.exists():
        return [str(beside)]
    if found := shutil.which("uv"):
        return [found]
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    raise PreflightError(
        "uv is needed to set up the TPU compiler. Got none beside this "
        "Python or on the PATH. Run `pip install uv`, or make a Python "
        f"{PYTHON} environment with requirements/preflight.txt and name it in "
        f"{VARIABLE}."
    )


def _python() -> str:
    """What uv is asked for: a pyenv build it would not see, else just the version."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    builds = glob.glob(os.path.join(root, "versions", f"{PYTHON}.*", "bin", "python"))
    return max(builds, key=_patch) if builds else PYTHON


def _patch(python: str) -> list[int]:
    version = pathlib.Path(python).parents[1].name
    return [int(part) for part in version.split(".") if part.isdigit()]


def _run(command: Sequence[str], place: pathlib.Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise PreflightError(f"cannot run {command[0]} ({error}).") from error
    if done.returncode == 0:
        return
    shutil.rmtree(place, ignore_errors=True)
    told = "\n".join(f"  {x}" for x in done.stderr.strip().splitlines()[-_TAIL:])
    raise PreflightError(
        f"the TPU compiler's environment cannot be made. It needs Python "
        f"{PYTHON} (uv downloads one if it may) and a package index. uv said:\n"
        f"{told}\n"
        f"Mend that and run again, or name an environment with "
        f"requirements/preflight.txt in {VARIABLE}."
    )
