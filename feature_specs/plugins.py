"""Modules of the user that register kinds, imported before a YAML is read.

`TRAILRANK_PLUGINS=my_switchers,my_team.kinds` names modules on the Python path; an
installed package names its own under the entry points `trailrank.plugins`. Both reach
every process that reads a spec or a preset: the command, a Trainer, a Beam worker. A
YAML names no module, so that reading one never runs code.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator

from feature_specs.errors import TrailrankError

PLUGINS = "TRAILRANK_PLUGINS"
GROUP = "trailrank.plugins"

_loaded: set[str] = set()  # begun, too: a plugin may read a spec as it is imported


class PluginError(TrailrankError, ValueError):
    """A plugin that cannot be imported."""


def load_plugins() -> None:
    """Imports every plugin once.

    Raises:
        PluginError: One cannot be imported; it is tried again the next time.
    """
    for source, module in _named():
        if module in _loaded:
            continue
        _loaded.add(module)
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a user's module raises
            _loaded.discard(module)
            raise PluginError(
                f"{source}: must name modules that can be imported. Got {module!r} "
                f"({type(error).__name__}: {error}). Mend it, put its directory on "
                "PYTHONPATH, or leave it out."
            ) from error


def _named() -> Iterator[tuple[str, str]]:
    """Where a module is named, and its name."""
    for module in os.environ.get(PLUGINS, "").split(","):
        if module.strip():
            yield PLUGINS, module.strip()
    for entry in _entry_points():
        yield f"Entry point {entry.name!r} of {GROUP}", entry.module


def _entry_points() -> importlib.metadata.EntryPoints:
    return _installed(tuple((path, _changed_ns(path)) for path in sys.path))


@functools.lru_cache(maxsize=1)
def _installed(path: tuple[tuple[str, int], ...]) -> importlib.metadata.EntryPoints:
    """Read again when a package came or went, which changes its directory's time: all
    that is installed is looked through, longer than it takes to read a spec."""
    return importlib.metadata.entry_points(group=GROUP)


def _changed_ns(path: str) -> int:
    with contextlib.suppress(OSError):  # an entry of sys.path need not be there
        return os.stat(path or ".").st_mtime_ns
    return 0
