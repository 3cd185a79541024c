"""What a command says, and does not say, while it loads its libraries.

TensorFlow, Beam and TFX take ten seconds and more to import, and print hundreds of
lines for their own developers on the way.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import sys
import types
import warnings
from collections.abc import Iterator, Sequence

_NAMES = {
    "tensorflow": "TensorFlow",
    "tf_keras": "TensorFlow",
    "apache_beam": "Beam",
    "tfx": "TFX",
}
# Their warnings are of versions that the lock has chosen: no user can do a thing.
_LIBRARIES = r"(google|tensorflow|tf_keras|keras|tfx|apache_beam|pkg_resources|ml_meta)"


@contextlib.contextmanager
def told(command: str) -> Iterator[None]:
    """A line on stderr before the first heavy import inside; the imports are quiet.

    TensorFlow's C++ logs nothing below a fatal error, unless TF_CPP_MIN_LOG_LEVEL says
    so: what it finds missing on a machine without a GPU it calls errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request
    finder = _Teller(command)
    sys.meta_path.insert(0, finder)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning, UserWarning):
                warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
            yield
    finally:
        sys.meta_path.remove(finder)


class _Teller(importlib.abc.MetaPathFinder):
    """Finds no module; says once that a heavy one is looked for."""

    def __init__(self, command: str):
        self._command, self._is_told = command, False

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if name in _NAMES and not self._is_told:
            self._is_told = True
            print(
                f"trailrank {self._command}: loading {_NAMES[name]}, some seconds ...",
                file=sys.stderr,
                flush=True,
            )
        return None
