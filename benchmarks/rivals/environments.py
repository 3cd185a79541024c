"""Python environments of the rivals, which are no dependencies of the project."""

from __future__ import annotations

import pathlib
import subprocess
import sys

PACKAGES = {
    "deepctr": (
        "deepctr==0.9.4",
        "tensorflow==2.16.2",
        "tf_keras==2.16.0",  # DeepCTR is written for Keras 2
        "setuptools<81",
    ),
    "rechub": ("torch-rechub==0.9.0", "torch==2.13.0"),
}
_DONE = "installed.txt"


def python_of(name: str, folder: pathlib.Path, base: str) -> str:
    """The interpreter of a rival's environment, which is made if it is not there.

    pip's own settings (`PIP_FIND_LINKS`, `PIP_EXTRA_INDEX_URL`, ...) hold.

    Args:
        name: Key of `PACKAGES`.
        folder: Where environments are kept.
        base: Interpreter to make it with.
    """
    home = folder / name
    python, done = home / "bin" / "python", home / _DONE
    wanted = "\n".join(PACKAGES[name])
    if done.exists() and done.read_text() == wanted:
        return str(python)
    print(f"installing {' '.join(PACKAGES[name])} into {home} ...", flush=True)
    _run([base, "-m", "venv", "--clear", str(home)])
    _run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name]])
    done.write_text(wanted)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout.decode()[-2000:]}")
