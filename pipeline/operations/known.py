"""A run's directory as operators ask about it: its ledger, with what is looked up."""

from __future__ import annotations

import os
from collections.abc import Sequence

from feature_specs.places import Place, check_directory
from pipeline.ledger import LEDGER, Ledger, RunEntry, Version, read_ledger
from pipeline.operations.errors import OperationError

_BEGIN = "Name the --root of a `trailrank pipeline run`."
MODELS = "models"
RECORDS = ("run.json", "refused.json")  # of what is served, of what was refused last
_RECORDS = "records"  # `run.json` of each version, by its number


def known_ledger(root: Place) -> Ledger:
    """The ledger of a directory in which something was run.

    Raises:
        PlaceError: There is no such directory.
        OperationError: Nothing was run there.
        DamagedFileError: The ledger cannot be read.
    """
    check_directory("--root", root, _BEGIN)
    if not os.path.exists(os.path.join(root, LEDGER)):
        raise OperationError(f"--root {root}: must hold {LEDGER}. Got none. {_BEGIN}")
    return read_ledger(root)


def version_of(ledger: Ledger, name: str) -> Version:
    """A version that was pushed; OperationError names those there are."""
    try:
        return ledger.version(name)
    except KeyError:
        known = shown([version.version for version in ledger.versions])
        raise OperationError(
            f"version {name}: must be one that was pushed: {known or 'none was'}."
        ) from None


def run_of(ledger: Ledger, name: str) -> RunEntry | None:
    """A run by its id; None if the ledger has none of this name."""
    return next((run for run in ledger.runs if run.id == name), None)


def models_of(root: Place, ledger: Ledger, version: Version) -> str:
    """The directory that a version is served from, `RUN/models/<spec>`."""
    run = run_of(ledger, version.run)
    if run is None or not run.spec:
        raise OperationError(
            f"version {version.version}: the ledger must tell the spec of the run that "
            f"made it ({version.run}). Got none. Bring {LEDGER} back from a copy."
        )
    return os.path.join(root, MODELS, run.spec)


def record_path(root: Place, version: str) -> str:
    """Where a run keeps the `run.json` of the version that it has pushed."""
    return os.path.join(root, _RECORDS, f"{version}.json")


def shown(names: Sequence[str], most: int = 10) -> str:
    """The newest of some names, for a message."""
    more = len(names) - most
    text = ", ".join(names[-most:])
    return f"... ({more} more), {text}" if more > 0 else text


def span(splits: Sequence[str]) -> str:
    """First and last of some splits, `20220408:20220414`, or one; a dash for none."""
    if not splits:
        return "-"
    first, last = (split.removeprefix("day-") for split in (splits[0], splits[-1]))
    return first if first == last else f"{first}:{last}"
