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
import threading
import types
import warnings
from collections.abc import Iterator, Sequence

SILENT_S = 1.0  # a command that has not ended by then says that it has begun
_NAMES = {
    "tensorflow": "TensorFlow",
    "tf_keras": "TensorFlow",
    "apache_beam": "Beam",
    "tfx": "TFX",
}
# Their warnings are of versions that the lock has chosen: no user can do a thing.
_LIBRARIES = r"(google|tensorflow|tf_keras|keras|tfx|apache_beam|pkg_resources|ml_meta)"
# A line a request; and what a server inside another command does.
_TALKATIVE = ("httpx", "trailrank")


@contextlib.contextmanager
def told(command: str) -> Iterator[None]:
    """A line on stderr before a heavy import inside, and soon; the imports are quiet.

    TensorFlow's C++ logs nothing below a fatal error, unless TF_CPP_MIN_LOG_LEVEL says
    so: what it finds missing on a machine without a GPU it calls errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with _said(command), warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning, UserWarning):
                warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _said(command: str) -> Iterator[None]:
    """Says what takes so long: what is loaded, or else that it has begun."""
    finder = _Finder(command)
    timer = threading.Timer(SILENT_S, finder.begin)
    timer.daemon = True
    sys.meta_path.insert(0, finder)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        sys.meta_path.remove(finder)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds no module; sees that a heavy one is looked for, and says so once."""

    def __init__(self, command: str):
        self._command, self._is_told = command, False

    def begin(self) -> None:
        """Says that the command has begun, unless more is known already."""
        if not self._is_told:
            self._say("starting")

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if name in _NAMES and not self._is_told:
            self._is_told = True
            self._say(f"loading {_NAMES[name]}")
        return None

    def _say(self, what: str) -> None:
        text = f"trailrank {self._command}: {what}, some seconds ...\n"
        sys.stderr.write(text)  # at once: another thread may say something
        sys.stderr.flush()
