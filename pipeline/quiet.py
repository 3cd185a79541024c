"""Imports of heavy libraries without what they say to their developers."""

from __future__ import annotations

import logging
import warnings


def load_beam() -> None:
    """Imports Beam; from then on it logs warnings and errors only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import apache_beam  # noqa: F401
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
