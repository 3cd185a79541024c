"""`RUN/ledger.json`: what a run's directory knows of its days, versions and runs.

    ledger = read_ledger(root)
    ledger.made(key)          # days whose examples are there, in order
    ledger.serving            # the version that is to be served

A run of the pipeline goes on from it; `status`, `history`, `lineage`, `rollback` and
`prune` read it without TensorFlow. TFX's metadata has every step that ever ran; the
ledger says which of their results count. It is written in one step, by whoever holds
the directory's lock.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any, Literal

from feature_specs.places import Place
from pipeline.reporting.files import DamagedFileError, read_json, write_json

LEDGER = "ledger.json"
_FORMAT = 1
_REMEDY = "Bring it back from a copy; TFX's metadata beside it has every step."

Outcome = Literal["running", "pushed", "refused", "measured", "failed", "stopped"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeDay:
    """A split whose examples are made.

    Attributes:
        split: `day-20220408`.
        key: Of what its examples are made (`examples_key`): days of another key are not
            this run's any more.
        examples: Directory that holds `Split-<split>`.
        last: Its last day, `20220408`.
        state: Directory of the `DayState` at its end; empty if none was kept.
        run: Of which it came.
        passed: Whether the data gate let it pass; until then it is made, but no day of
            the run's yet.
        accepted: What the gate found and who let it pass, why and when; None if there
            was nothing to accept.
    """

    split: str
    key: str
    examples: str
    last: str = ""
    state: str = ""
    run: str = ""
    passed: bool = True
    accepted: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A model that was pushed.

    Attributes:
        version: Name of its directory in `models/<spec>/`, a number.
        model: Directory of the Trainer's export.
        run: That made it.
        trained: Splits in its weights, in order.
        judged: Splits that it was judged on.
        checkpoints: Directory of its training.
        encoding: Directory of its transform graph and `encoding.json`.
        evaluation: Directory of what was measured; empty if nothing was.
        pushed_at: ISO time, UTC.
        state: `live`, `rolled_back`, or `pruned` when its files are gone.
    """

    version: str
    model: str
    run: str
    trained: tuple[str, ...]
    judged: tuple[str, ...]
    checkpoints: str
    encoding: str
    evaluation: str = ""
    pushed_at: str = ""
    state: Literal["live", "rolled_back", "pruned"] = "live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunEntry:
    """One `pipeline run`, whatever became of it.

    Attributes:
        id: Time of its beginning, `20220415-031500`; grows.
        began: ISO time, UTC.
        ended: The same; empty while it runs or if it was killed.
        owner: `user@host, process 123`.
        spec: Name of the spec.
        spec_digest: Of all that it means.
        views: View of the spec -> its digest.
        preset: Name of the model preset.
        seed: Of shuffles and weights.
        logs: Directory of the raw logs.
        log_files: Path, size and digest of each file that was read.
        made: Splits whose examples it made.
        trained: Splits that it trained, the newest last.
        judged: Splits that its model was judged on.
        checkpoints: Directory of its training.
        encoding: Directory of its encoding.
        version: That it pushed; empty if none.
        outcome: What became of it.
        message: Why it was refused or failed.
        metrics: Task -> metric -> value, of its model.
        gates: What each gate said.
        code: trailrank's version, and the commit if it runs from a checkout.
        loss_weights: Task -> weight, of those that a step has selected.
        plan: What it set out to do (`run_plan.RunPlan`); the same again takes the same
            cached steps.
    """

    id: str
    began: str
    ended: str = ""
    owner: str = ""
    spec: str = ""
    spec_digest: str = ""
    views: dict[str, str] = dataclasses.field(default_factory=dict)
    preset: str = ""
    seed: int = 0
    logs: str = ""
    log_files: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    made: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    checkpoints: str = ""
    encoding: str = ""
    version: str = ""
    outcome: Outcome = "running"
    message: str = ""
    metrics: dict[str, dict[str, float | None]] = dataclasses.field(
        default_factory=dict
    )
    gates: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    code: str = ""
    loss_weights: dict[str, float] = dataclasses.field(default_factory=dict)
    plan: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ledger:
    """All of it, oldest first.

    Attributes:
        days: Made days; one a split and key, the newest making of it.
        versions: Pushed models.
        runs: Of the pipeline.
    """

    days: tuple[MadeDay, ...] = ()
    versions: tuple[Version, ...] = ()
    runs: tuple[RunEntry, ...] = ()

    def made(self, key: str) -> tuple[MadeDay, ...]:
        """The days of a key that passed, in the order of their splits."""
        found = [day for day in self.days if day.key == key and day.passed]
        return tuple(sorted(found, key=lambda day: day.split))

    def empty_days(self, key: str) -> tuple[str, ...]:
        """Days without logs that runs of a key have passed over, `20220416`."""
        plans = (run.plan for run in self.runs if run.plan.get("key") == key)
        return tuple(day for plan in plans for day in plan.get("empty_days", ()))

    def loss_weights(self, spec: str) -> dict[str, float]:
        """Task -> the weight that was selected last, by runs of a spec."""
        found: dict[str, float] = {}
        for run in self.runs:
            if run.spec == spec:
                found |= run.loss_weights
        return found

    def day(self, split: str, key: str) -> MadeDay | None:
        """A made day, passed or not; None if there is none."""
        found = [d for d in self.days if (d.split, d.key) == (split, key)]
        return found[0] if found else None

    def version(self, name: str) -> Version:
        """A pushed version; KeyError if there is none of this name."""
        for version in self.versions:
            if version.version == name:
                return version
        raise KeyError(name)

    @property
    def live(self) -> tuple[Version, ...]:
        """Versions that may be served, oldest first."""
        return tuple(version for version in self.versions if version.state == "live")

    @property
    def serving(self) -> Version | None:
        """The version that is to be served, and that the next run goes on from."""
        return self.live[-1] if self.live else None

    def with_day(self, day: MadeDay) -> Ledger:
        """With a day made, or made again."""
        others = [d for d in self.days if (d.split, d.key) != (day.split, day.key)]
        return dataclasses.replace(self, days=(*others, day))

    def without_days(self, key: str, first: str) -> Ledger:
        """Without the days of a key from a split on: they are to be made again."""
        kept = [d for d in self.days if d.key != key or d.split < first]
        return dataclasses.replace(self, days=tuple(kept))

    def with_run(self, run: RunEntry) -> Ledger:
        """With a run begun, or what became of it."""
        others = [entry for entry in self.runs if entry.id != run.id]
        runs = sorted([*others, run], key=lambda entry: entry.id)
        return dataclasses.replace(self, runs=tuple(runs))

    def with_version(self, version: Version) -> Ledger:
        """With a version pushed, or another state of it."""
        others = [v for v in self.versions if v.version != version.version]
        found = sorted([*others, version], key=lambda v: int(v.version))
        return dataclasses.replace(self, versions=tuple(found))


def read_ledger(root: Place) -> Ledger:
    """The ledger of a run's directory; an empty one where there is none yet.

    Raises:
        DamagedFileError: It cannot be read.
    """
    path = pathlib.Path(root) / LEDGER
    if not os.path.exists(path):
        return Ledger()
    values = read_json(path, _REMEDY)
    try:
        if values["format"] != _FORMAT:
            raise ValueError(f"format {values['format']} is not known here")
        return Ledger(
            days=tuple(MadeDay(**day) for day in values["days"]),
            versions=tuple(
                Version(**_with_tuples(v, "trained", "judged"))
                for v in values["versions"]
            ),
            runs=tuple(
                RunEntry(**_with_tuples(r, "made", "trained", "judged"))
                for r in values["runs"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{path}: is no ledger ({error}). {_REMEDY}") from None


def write_ledger(root: Place, ledger: Ledger) -> None:
    """Writes `root/ledger.json` in one step; the caller holds the directory's lock."""
    values = {"format": _FORMAT, **dataclasses.asdict(ledger)}
    write_json(pathlib.Path(root) / LEDGER, values)


def _with_tuples(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**values, **{name: tuple(values[name]) for name in names}}
