"""What a run's directory keeps that nothing needs any more, and its removal.

    found = plan_prune("run", keep=3)   # sizes first
    prune("run", keep=3)                # the same, removed

Needed is whatever the days that the next run goes on from, the last versions, the last
runs and the last checkpoint refer to. The ledger is written first, then TFX's metadata;
a directory is moved to `RUN/.pruned/` in one step before its files go: whoever is
stopped in between leaves nothing half, and the next prune does the rest.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal

from rich.table import Table

from feature_specs import views
from feature_specs.locks import owned
from feature_specs.places import Place, absolute
from pipeline.ledger import Ledger, MadeDay, Version, read_ledger, write_ledger
from pipeline.operations.errors import OperationError
from pipeline.operations.known import RECORDS, known_ledger, models_of, run_of
from pipeline.operations.lineage import day_end
from pipeline.operations.rollback import read_rollbacks
from pipeline.pushing import ROLLED_BACK
from pipeline.reporting.files import read_json
from pipeline.reporting.tables import new_table

TRASH = ".pruned"
_ARTIFACTS, _CHECKPOINTS, _DAYS, _METADATA = (
    "artifacts",
    "checkpoints",
    "days",
    "metadata.sqlite",
)
_SYSTEM = ".system"
_ASIDE = ("undone",)  # in checkpoints: what a rollback has put aside
_REMEDY = "Bring it back from a copy."

Kind = Literal["artifact", "dead execution", "model", "checkpoint", "leftover"]


@dataclasses.dataclass(frozen=True)
class Item:
    """A directory that nothing needs.

    Attributes:
        path: It.
        kind: What it is.
        size_bytes: Of its files.
    """

    path: str
    kind: Kind
    size_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrunePlan:
    """What can go.

    Attributes:
        keep: How many versions and runs are kept.
        items: What goes, the largest first.
        versions: Versions whose files go.
        days: Splits made for examples of another kind, which go; their making is
            forgotten.
        states: Splits whose `DayState` goes: to make a day after them again, logs are
            read.
        kept_bytes: Of what is left in artifacts, models and checkpoints.
    """

    keep: int
    items: tuple[Item, ...]
    versions: tuple[str, ...]
    days: tuple[MadeDay, ...]
    states: tuple[MadeDay, ...]
    kept_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of all that goes."""
        return sum(item.size_bytes for item in self.items)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        values = {**dataclasses.asdict(self), "size_bytes": self.size_bytes}
        for name in ("days", "states"):
            values[name] = [day.split for day in getattr(self, name)]
        return values


def plan_prune(root: Place, keep: int) -> PrunePlan:
    """What `prune` would remove; removes nothing.

    Args:
        root: A run's directory.
        keep: How many of the newest live versions, versions that were rolled back,
            ends of days and runs are kept, with all that they refer to; 1 at least.
            Examples of days are kept as long as another run may train on them.

    Raises:
        OperationError: Nothing was run there, or nothing would be kept.
    """
    if keep < 1:
        raise OperationError(f"--keep must be 1 or more, got {keep}.")
    ledger = known_ledger(root)
    base = absolute(root)
    gone = _versions_to_go(ledger, keep)
    days, states = _days_to_go(ledger, keep)
    kept = _without(ledger, gone, days, states)
    needed = _needed(base, kept, keep)
    items = [
        *_artifacts(base, needed),
        *_models(base, kept),
        *_checkpoints(base, kept, keep, needed),
        *_leftovers(base),
    ]
    items.sort(key=lambda item: (-item.size_bytes, item.path))
    places = (_ARTIFACTS, "models", _CHECKPOINTS)
    whole = _size([os.path.join(base, place) for place in places])
    dropped = sum(i.size_bytes for i in items if i.kind != "leftover")
    return PrunePlan(
        keep=keep,
        items=tuple(items),
        versions=tuple(version.version for version in gone),
        days=days,
        states=states,
        kept_bytes=max(0, whole - dropped),
    )


def prune(root: Place, keep: int) -> PrunePlan:
    """Removes what nothing needs; see `plan_prune`.

    >>> trailrank.prune("run", keep=3).size_bytes >= 0
    True

    Args:
        root: A run's directory.
        keep: How many versions, ends of days and runs stay.

    Returns:
        What was removed.

    Raises:
        OperationError: Nothing was run there, or nothing would be kept.
        LockedError: A run writes there.
    """
    known_ledger(root)
    with owned(root):
        plan = plan_prune(root, keep)
        base = absolute(root)
        ledger = read_ledger(base)
        gone = [ledger.version(name) for name in plan.versions]
        write_ledger(base, _without(ledger, gone, plan.days, plan.states))
        removed = [i.path for i in plan.items if i.kind == "artifact"]
        database = os.path.join(base, _METADATA)
        if removed and os.path.exists(database):
            from pipeline.run_metadata import mark_deleted

            mark_deleted(database, removed)
        for item in plan.items:
            _remove(base, item.path)
    return plan


def prune_table(plan: PrunePlan) -> Table:
    """For people: what goes, the largest first."""
    title = f"{shown_bytes(plan.size_bytes)} can go"
    caption = f"{shown_bytes(plan.kept_bytes)} stay."
    table = new_table(title, ["what", "size", "where"], texts=["where"])
    table.caption, table.caption_justify = caption, "left"
    for item in plan.items:
        table.add_row(item.kind, shown_bytes(item.size_bytes), item.path)
    return table


def shown_bytes(size: float) -> str:
    """`12.3 MB`."""
    if size < 1000:
        return f"{size:.0f} B"
    units = ("kB", "MB", "GB", "TB")
    power = min(len(units), int(math.log(size, 1000) + 1e-9))
    return f"{size / 1000**power:.1f} {units[power - 1]}"


# --- what is needed -------------------------------------------------------------------


def _versions_to_go(ledger: Ledger, keep: int) -> tuple[Version, ...]:
    """All but the last ones of each state, of each spec."""
    kinds: dict[tuple[str, str], list[Version]] = {}
    for version in ledger.versions:
        run = run_of(ledger, version.run)
        if version.state != "pruned" and run:
            kinds.setdefault((run.spec, version.state), []).append(version)
    return tuple(version for found in kinds.values() for version in found[:-keep])


def _days_to_go(
    ledger: Ledger, keep: int
) -> tuple[tuple[MadeDay, ...], tuple[MadeDay, ...]]:
    """Days of kinds that no late run has made; of others, all but the last states."""
    if not ledger.days:
        return (), ()
    late = {run.id for run in ledger.runs[-keep:]}
    newest = max(ledger.days, key=lambda day: day.run)
    keys = {newest.key, *(day.key for day in ledger.days if day.run in late)}
    days = tuple(day for day in ledger.days if day.key not in keys)
    states = tuple(
        day
        for key in sorted(keys)
        for day in [day for day in ledger.made(key) if day.state][:-keep]
    )
    return days, states


def _without(
    ledger: Ledger,
    versions: Iterable[Version],
    days: Collection[MadeDay],
    states: Iterable[MadeDay],
) -> Ledger:
    """The ledger as it is when they are gone."""
    kept = tuple(day for day in ledger.days if day not in days)
    ledger = dataclasses.replace(ledger, days=kept)
    for day in states:
        ledger = ledger.with_day(dataclasses.replace(day, state=""))
    for version in versions:
        ledger = ledger.with_version(dataclasses.replace(version, state="pruned"))
    return ledger


def _needed(base: str, kept: Ledger, keep: int) -> frozenset[str]:
    """Directories that something refers to which is kept."""
    paths = [place for day in kept.days for place in (day.examples, day.state)]
    for version in kept.versions:
        if version.state != "pruned":
            paths += [version.model, version.encoding, version.evaluation]
            paths += [version.checkpoints]
    for run in kept.runs[-keep:]:
        paths += [run.encoding, run.checkpoints]
    # The next run goes on from these, however many have failed since.
    for name in ("encoding", "checkpoints"):
        newest = {
            run.views.get(views.ENCODING, ""): place
            for run in kept.runs
            if (place := getattr(run, name))
        }
        paths += newest.values()
    for run in kept.runs[-1:]:
        paths += [str(run.plan.get(name, "")) for name in ("state_from", "encoding")]
    paths += [entry.checkpoints for entry in read_rollbacks(base)[-1:]]
    for name in RECORDS:
        record = os.path.join(base, name)
        if os.path.exists(record):
            paths += _places_in(read_json(record, _REMEDY))
    database = os.path.join(base, _METADATA)
    if os.path.exists(database):
        from pipeline.run_metadata import used_by_last_runs

        paths += used_by_last_runs(database, keep)
    return frozenset(absolute(path) for path in paths if path)


def _places_in(record: dict[str, Any]) -> list[str]:
    """Every absolute path among a record's values."""
    values = list(record.values()) + list(record.get("example_dirs", {}).values())
    return [v for v in values if isinstance(v, str) and os.path.isabs(v)]


def _is_needed(path: str, needed: Iterable[str]) -> bool:
    """Whether it, something inside it or something around it is."""
    return any(
        place == path
        or place.startswith(f"{path}{os.sep}")
        or path.startswith(f"{place}{os.sep}")
        for place in needed
    )


# --- what is there --------------------------------------------------------------------


def _artifacts(base: str, needed: frozenset[str]) -> Iterator[Item]:
    """Outputs of steps; what the metadata does not know is of dead executions."""
    database = os.path.join(base, _METADATA)
    known: set[str] = set()
    if os.path.exists(database):
        from pipeline.run_metadata import live_artifacts

        known = live_artifacts(database)
    for path in sorted(pathlib.Path(base, _ARTIFACTS).glob("*/*/*")):
        place = str(path)
        if _SYSTEM in path.parts or not path.is_dir() or _is_needed(place, needed):
            continue
        is_known = _is_needed(place, known)
        yield Item(place, "artifact" if is_known else "dead execution", _size([place]))


def _models(base: str, kept: Ledger) -> Iterator[Item]:
    """What versions that are pruned have there, if an earlier prune was stopped too."""
    for version in (v for v in kept.versions if v.state == "pruned"):
        models = models_of(base, kept, version)
        for place in (models, os.path.join(models, ROLLED_BACK)):
            path = os.path.join(place, version.version)
            if os.path.isdir(path):
                yield Item(path, "model", _size([path]))


def _checkpoints(
    base: str, kept: Ledger, keep: int, needed: frozenset[str]
) -> Iterator[Item]:
    """Whole trainings; ends of days that no kept version has; what was put aside."""
    ends = {absolute(day_end(v)) for v in kept.versions if v.state != "pruned"}
    for training in sorted(pathlib.Path(base, _CHECKPOINTS).glob("*")):
        if not training.is_dir():
            continue
        if not _is_needed(str(training), needed):
            yield Item(str(training), "checkpoint", _size([str(training)]))
            continue
        days = sorted(path for path in training.glob(f"{_DAYS}/*") if path.is_dir())
        for path in days[:-keep]:
            if str(path) not in ends:
                yield Item(str(path), "checkpoint", _size([str(path)]))
        for name in _ASIDE:
            path = training / name
            if path.is_dir():
                yield Item(str(path), "checkpoint", _size([str(path)]))


def _leftovers(base: str) -> Iterator[Item]:
    """What an earlier prune was stopped in."""
    for path in sorted(pathlib.Path(base, TRASH).glob("*")):
        yield Item(str(path), "leftover", _size([str(path)]))


def _size(places: Iterable[str]) -> int:
    """Bytes of all files below; one with several names counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                state = os.lstat(os.path.join(folder, name))
                sizes[state.st_dev, state.st_ino] = state.st_size
    return sum(sizes.values())


# --- removing -------------------------------------------------------------------------


def _remove(base: str, path: str) -> None:
    trash = pathlib.Path(base, TRASH)
    if pathlib.Path(path).parent != trash:
        trash.mkdir(exist_ok=True)
        moved = trash / uuid.uuid4().hex
        os.rename(path, moved)
        path = str(moved)
    shutil.rmtree(path)
    if not os.listdir(trash):
        trash.rmdir()
