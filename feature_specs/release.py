"""Which code of ours this is."""

from __future__ import annotations

import importlib.metadata
import pathlib
import subprocess


def code_version() -> str:
    """trailrank's version, and the commit if it runs from a checkout."""
    version = importlib.metadata.version("trailrank")
    here = pathlib.Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"]
    if not (here.parent / ".git").exists():
        return version
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return version
    commit = done.stdout.strip()
    return f"{version} ({commit})" if commit else version
