"""Imports of heavy libraries without what they say to their developers."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Imports inside say nothing; alone they print some hundred lines."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.INFO))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def load_beam() -> None:
    """Imports Beam; from then on it logs warnings and errors only."""
    with quiet_imports():
        import apache_beam  # noqa: F401
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
