"""Back to an earlier version: a server takes it, and the next run goes on from there.

TensorFlow Serving serves the highest number, so the versions above are moved out of its
sight, to `models/<spec>/rolled_back/`: from the lowest on, so that no version between
is ever the highest. The other way, a copy under a new number, would take the room of a
model each time, and its number would say nothing of what it is.

What is to be done is written to `RUN/rollbacks.json` before anything is moved, and
every step of it may be done twice: whoever is killed in between leaves a note by which
the next command of this directory does the rest (`settle_rollbacks`). Training goes
back when the next run begins, which has TensorFlow at hand.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Callable
from typing import Any

from feature_specs.locks import owned
from feature_specs.places import Place
from pipeline.ledger import Ledger, Version, read_ledger, write_ledger
from pipeline.operations.errors import OperationError
from pipeline.operations.known import (
    known_ledger,
    models_of,
    record_path,
    run_of,
    shown,
    version_of,
)
from pipeline.operations.lineage import day_end
from pipeline.people import login_name
from pipeline.pushing import ROLLED_BACK, SAVED_MODEL
from pipeline.reporting.files import DamagedFileError, read_json, write_json

ROLLBACKS = "rollbacks.json"
_REMEDY = "Bring it back from a copy."
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Restore = Callable[[str, str], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rollback:
    """One return to an earlier version.

    Attributes:
        at: ISO time, UTC.
        who: Login name of whoever asked for it.
        why: In their words; may be empty.
        left: The version that was served.
        to: The version that is served again.
        models: Directory of the versions.
        away: Versions that were moved out of a server's sight, the lowest first.
        checkpoints: Directory of the training of `to`.
        day: Its last training day; empty if the end of that day is not kept: the next
            run trains from its first day on then.
        is_served: Whether the versions are in their places.
        is_trained: Whether the checkpoints are as they were at the end of `day`.
    """

    at: str
    who: str
    why: str
    left: str
    to: str
    models: str
    away: tuple[str, ...]
    checkpoints: str
    day: str
    is_served: bool = False
    is_trained: bool = False


def rollback(root: Place, version: str, *, why: str = "") -> Rollback:
    """Serves an earlier version again; the next run trains on from its last day.

    A version that was rolled back may be named, too: it comes back.

    >>> earlier = trailrank.history("run").versions[-2]
    >>> done = trailrank.rollback("run", earlier.version, why="AUC of like fell")
    >>> trailrank.status("run").serving == earlier.version
    True

    Args:
        root: A run's directory.
        version: To be served.
        why: Is kept with the note of it.

    Raises:
        OperationError: There is no such version, its files are gone, or it is served.
        LockedError: A run writes there.
    """
    known_ledger(root)
    with owned(root):
        _settle(root, None)
        ledger = read_ledger(root)
        planned = _planned(root, ledger, version, why)
        _write(root, [*read_rollbacks(root), planned])
        _settle(root, None)
    return read_rollbacks(root)[-1]


def settle_rollbacks(root: Place, restore: Restore) -> None:
    """Does what is left to do of rollbacks; a run calls it before it looks at anything.

    The caller holds the directory's lock.

    Args:
        root: A run's directory.
        restore: Makes a kept day's end the newest checkpoint of a directory,
            `trainer.days.day_ends.restore_day_end`.
    """
    _settle(root, restore)


def read_rollbacks(root: Place) -> list[Rollback]:
    """All that there were, oldest first.

    Raises:
        DamagedFileError: The note of them cannot be read.
    """
    path = os.path.join(root, ROLLBACKS)
    if not os.path.exists(path):
        return []
    values = read_json(path, _REMEDY)
    try:
        return [
            Rollback(**{**entry, "away": tuple(entry["away"])})
            for entry in values["rollbacks"]
        ]
    except (KeyError, TypeError) as error:
        raise DamagedFileError(
            f"{path}: is no note of rollbacks ({error}). {_REMEDY}"
        ) from None


def _write(root: Place, rollbacks: list[Rollback]) -> None:
    values = {"rollbacks": [dataclasses.asdict(entry) for entry in rollbacks]}
    write_json(os.path.join(root, ROLLBACKS), values)


# --- what is to be done ---------------------------------------------------------------


def _planned(root: Place, ledger: Ledger, name: str, why: str) -> Rollback:
    target = version_of(ledger, name)
    models = models_of(root, ledger, target)
    serving = _serving(root, ledger, models)
    if serving == target:
        raise OperationError(f"version {name}: is served already.")
    if target.state == "pruned" or not _place_of(models, name):
        there = [v.version for v in ledger.versions if _place_of(models, v.version)]
        raise OperationError(
            f"version {name}: its files are gone from {models}. There are: "
            f"{shown(there) or 'none'}."
        )
    away = [
        version.version
        for version in ledger.live
        if int(version.version) > int(name) and _place_of(models, version.version)
    ]
    is_kept = any(pathlib.Path(day_end(target)).glob("ckpt-*.index"))
    return Rollback(
        at=f"{datetime.datetime.now(datetime.timezone.utc):{_TIME}}",
        who=login_name(),
        why=why,
        left=serving.version if serving else "",
        to=name,
        models=models,
        away=tuple(away),
        checkpoints=target.checkpoints,
        day=target.trained[-1] if is_kept and target.trained else "",
    )


def _serving(root: Place, ledger: Ledger, models: str) -> Version | None:
    """The live version that a server of a directory takes."""
    live = [
        version
        for version in ledger.live
        if run_of(ledger, version.run) and models_of(root, ledger, version) == models
    ]
    return live[-1] if live else None


def _place_of(models: str, version: str) -> str:
    """Where a whole version lies, in a server's sight or not; empty if nowhere."""
    for place in (models, os.path.join(models, ROLLED_BACK)):
        path = os.path.join(place, version)
        if os.path.exists(os.path.join(path, SAVED_MODEL)):
            return path
    return ""


# --- doing it, as often as it takes ---------------------------------------------------


def _settle(root: Place, restore: Restore | None) -> None:
    rollbacks = read_rollbacks(root)
    for place, entry in enumerate(rollbacks):
        is_last = place == len(rollbacks) - 1
        if not entry.is_served:
            _serve(root, entry)
            entry = dataclasses.replace(entry, is_served=True)
        if not entry.is_trained and (restore or not is_last):
            # Of two returns in a row only the last one says where training goes on.
            if restore and is_last:
                _go_back(entry, restore)
            entry = dataclasses.replace(entry, is_trained=True)
        if entry != rollbacks[place]:
            rollbacks[place] = entry
            _write(root, rollbacks)


def _serve(root: Place, entry: Rollback) -> None:
    """The version in a server's sight, those above out of it, and the ledger so."""
    hidden = os.path.join(entry.models, ROLLED_BACK)
    _move(os.path.join(hidden, entry.to), os.path.join(entry.models, entry.to))
    for version in entry.away:
        _move(os.path.join(entry.models, version), os.path.join(hidden, version))
    ledger = read_ledger(root)
    for version in entry.away:
        gone = dataclasses.replace(ledger.version(version), state="rolled_back")
        ledger = ledger.with_version(gone)
    record = record_path(root, entry.to)
    if os.path.exists(record):  # other commands read what is served from `run.json`
        write_json(os.path.join(root, "run.json"), read_json(record, _REMEDY))
    back = dataclasses.replace(ledger.version(entry.to), state="live")
    write_ledger(root, ledger.with_version(back))


def _move(source: str, target: str) -> None:
    if os.path.exists(source):
        pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)


def _go_back(entry: Rollback, restore: Restore) -> None:
    """The checkpoints as at the end of the day; aside where that is not kept."""
    if entry.day:
        restore(entry.checkpoints, entry.day)
        return
    aside = f"{entry.checkpoints.rstrip('/')}.before-{entry.to}"
    if not os.path.exists(aside):
        _move(entry.checkpoints, aside)
