"""What a version is made of: checkpoint, encoding, days, log files, spec, code."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from rich.table import Table

from feature_specs.places import Place
from pipeline.ledger import Ledger, MadeDay, Version
from pipeline.operations.known import known_ledger, run_of, span, version_of
from pipeline.pushing import PUSHED_FILE
from pipeline.reporting.files import read_json
from pipeline.reporting.tables import new_table

_REMEDY = "Export the model again, or delete the encoding and run the pipeline."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lineage:
    """Of one version.

    Attributes:
        version: Its ledger entry.
        run: The run that made it: when, by whom, with which code, preset and seed.
        views: View of the spec -> its digest, by which steps are run again.
        days: Of the days that it was trained and judged on: examples, the run that made
            them, who let them pass.
        log_files: That these runs have read: path, size, time, digest.
        encoding: `base`, `digest` and `learned_through`; empty if they are gone.
        checkpoint: Directory from which the next day would be trained.
        served: Content digest of what was pushed; empty if its files are gone.
    """

    version: Version
    run: dict[str, Any]
    views: dict[str, str]
    days: list[dict[str, Any]]
    log_files: list[dict[str, Any]]
    encoding: dict[str, Any]
    checkpoint: str
    served: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def lineage(root: Place, version: str) -> Lineage:
    """What a version is made of, as far as the run's directory knows.

    >>> served = trailrank.status("run").serving
    >>> found = trailrank.lineage("run", served)
    >>> found.days[0]["split"], found.run["preset"]
    ('day-20220408', 'mmoe')

    Args:
        root: A run's directory.
        version: A version that was pushed, live or not.

    Raises:
        OperationError: There is no such version.
    """
    ledger = known_ledger(root)
    found = version_of(ledger, version)
    days = _days(ledger, found)
    made_by = {found.run, *(day["run"] for day in days)}
    runs = [run for run in ledger.runs if run.id in made_by]
    files = {file["path"]: file for run in runs for file in run.log_files}
    run = run_of(ledger, found.run)
    about: dict[str, Any] = dataclasses.asdict(run) if run else {}
    for name in ("log_files", "metrics", "gates", "made", "trained", "judged", "plan"):
        about.pop(name, None)
    return Lineage(
        version=found,
        run=about,
        views=about.pop("views", {}),
        days=days,
        log_files=[files[path] for path in sorted(files)],
        encoding=_encoding(found.encoding),
        checkpoint=day_end(found),
        served=_served(root, found, run.spec if run else ""),
    )


def day_end(version: Version) -> str:
    """Directory of the checkpoint at the end of a version's last training day."""
    if not version.trained:
        return ""
    return os.path.join(version.checkpoints, "days", version.trained[-1])


def lineage_tables(found: Lineage) -> list[Table]:
    """For people: one table of the version, one of days, one of log files."""
    about = new_table(
        f"Version {found.version.version}", ["", "is"], texts=["is"], folded=["is"]
    )
    for name, value in _told(found).items():
        about.add_row(name, str(value))
    heads = ["split", "for", "run", "examples"]
    days = new_table("Days", heads, texts=heads[1:], folded=["examples"])
    for day in found.days:
        days.add_row(day["split"], day["for"], day["run"], day["examples"])
    heads = ["log file", "bytes", "changed", "ends_sha256"]
    files = new_table("Log files", heads, texts=heads[2:], folded=["log file"])
    for file in found.log_files:
        size, digest = f"{file['bytes']:,}", str(file["ends_sha256"])[:12]
        files.add_row(file["path"], size, str(file["changed"]), digest)
    return [about, days, files]


def _told(found: Lineage) -> dict[str, Any]:
    version, run = found.version, found.run
    return {
        "state": version.state,
        "pushed at": version.pushed_at,
        "content (sha256)": found.served or "its files are gone",
        "trained on": span(version.trained),
        "judged on": span(version.judged),
        "checkpoint": found.checkpoint,
        "encoding": version.encoding,
        **{f"encoding's {name}": value for name, value in found.encoding.items()},
        "run": f"{version.run} by {run.get('owner', 'nobody known')}",
        "preset, seed": f"{run.get('preset', '')}, {run.get('seed', '')}",
        "code": run.get("code", ""),
        "logs": run.get("logs", ""),
        "spec": f"{run.get('spec', '')} {run.get('spec_digest', '')}",
        **{f"view {name}": digest for name, digest in found.views.items()},
    }


def _days(ledger: Ledger, version: Version) -> list[dict[str, Any]]:
    """Of each split: what it was used for, and the newest making before the push."""
    used = dict.fromkeys(version.judged, "evaluation")
    used |= dict.fromkeys(version.trained, "training")
    made: dict[str, MadeDay] = {}
    for day in sorted(ledger.days, key=lambda day: day.run):
        if day.run <= version.run:
            made[day.split] = day
    found = []
    for split in sorted(used):
        day = made.get(split) or MadeDay(split=split, key="", examples="")
        found.append({**dataclasses.asdict(day), "for": used[split]})
    return found


def _encoding(directory: str) -> dict[str, Any]:
    path = os.path.join(directory, "encoding.json")
    if not directory or not os.path.exists(path):
        return {}
    values = read_json(path, _REMEDY)
    return {k: values[k] for k in ("base", "digest", "learned_through") if k in values}


def _served(root: Place, version: Version, spec: str) -> str:
    for place in (spec, os.path.join(spec, "rolled_back")):
        path = os.path.join(root, "models", place, version.version, PUSHED_FILE)
        if os.path.exists(path):
            return str(read_json(path, _REMEDY).get("digest", ""))
    return ""
