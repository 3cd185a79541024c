"""How a run's directory stands: days, versions, owner, what the next run would do."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Any

from rich.table import Table

from feature_specs import read_spec
from feature_specs.locks import owner_of
from feature_specs.places import Place, is_bucket
from pipeline.ledger import Ledger, RunEntry
from pipeline.operations.known import RECORDS, known_ledger, shown, span
from pipeline.operations.rollback import read_rollbacks
from pipeline.reporting.files import read_json
from pipeline.reporting.tables import new_table

_REMEDY = "Bring it back from a copy."
_PART = re.compile(r"\{day(?::([^{}]*))?\}")
_DIGITS = {"%Y": r"(?P<Y>\d{4})", "%m": r"(?P<m>\d{2})", "%d": r"(?P<d>\d{2})"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunStatus:
    """Of a run's directory.

    Attributes:
        made: Days whose examples are there.
        trained: Days in the weights that the next run goes on from.
        judged: Days that the served version was judged on.
        accepted: Days that were let past the gate, with who, why and when.
        serving: The version that is served; empty if none is.
        pushed_at: When it was pushed.
        versions: Of each state: `live`, `rolled_back`, `pruned`.
        last_run: Id, outcome (`killed` if it never told) and message of the last run.
        owner: Who writes there now; empty if nobody does.
        next_run: What the next run would do, in words.
        new_days: Days in the logs that are not made; None where names do not tell.
        unsettled: What a killed command has left to do, in words; empty if nothing.
    """

    made: tuple[str, ...]
    trained: tuple[str, ...]
    judged: tuple[str, ...]
    accepted: dict[str, dict[str, Any]]
    serving: str
    pushed_at: str
    versions: dict[str, int]
    last_run: dict[str, str]
    owner: str
    next_run: str
    new_days: tuple[str, ...] | None
    unsettled: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)


def status(root: Place) -> RunStatus:
    """How a run's directory stands; logs are looked at by their files' names only.

    >>> found = trailrank.status("run")
    >>> found.made[0], found.next_run
    ('day-20220408', 'finds no new day')

    Args:
        root: A run's directory.

    Raises:
        OperationError: Nothing was run there.
    """
    ledger = known_ledger(root)
    last = ledger.runs[-1] if ledger.runs else None
    serving, owner = ledger.serving, owner_of(root)
    made = _made(ledger)
    new_days, next_run = _next_run(root, last, made)
    return RunStatus(
        made=made,
        trained=serving.trained if serving else _trained(ledger),
        judged=serving.judged if serving else (),
        accepted={d.split: d.accepted for d in ledger.days if d.accepted},
        serving=serving.version if serving else "",
        pushed_at=serving.pushed_at if serving else "",
        versions={
            state: sum(v.state == state for v in ledger.versions)
            for state in ("live", "rolled_back", "pruned")
        },
        last_run=_told(last, owner),
        owner=owner,
        next_run=next_run,
        new_days=new_days,
        unsettled=_unsettled(root),
    )


def status_table(found: RunStatus) -> Table:
    """For people."""
    table = new_table("", ["", "is"], texts=["is"], folded=["is"])
    table.show_header = False
    last = found.last_run
    counts = ", ".join(f"{n} {state}" for state, n in found.versions.items() if n)
    rows = {
        "days made": _days(found.made),
        "in the weights": _days(found.trained),
        "judged on": _days(found.judged),
        "let past the gate": ", ".join(
            f"{split} by {told.get('who', '?')}"
            for split, told in sorted(found.accepted.items())
        ),
        "served": f"{found.serving} (pushed {found.pushed_at})" * bool(found.serving),
        "versions": counts,
        "last run": f"{last['id']} {last['outcome']}" if last else "",
        "": last.get("message", ""),
        "owner now": found.owner,
        "left undone": found.unsettled,
        "next run": found.next_run,
    }
    for name, value in rows.items():
        if value or name:
            table.add_row(name, value or "-")
    return table


def _days(splits: tuple[str, ...]) -> str:
    return f"{span(splits)} ({len(splits)})" if splits else ""


def _told(run: RunEntry | None, owner: str) -> dict[str, str]:
    if run is None:
        return {}
    lines = run.message.splitlines()
    is_dead = run.outcome == "running" and not owner
    return {
        "id": run.id,
        "outcome": "killed" if is_dead else run.outcome,
        "message": lines[0] if lines else "",
    }


def _made(ledger: Ledger) -> tuple[str, ...]:
    """The days of the key that was made last."""
    if not ledger.days:
        return ()
    newest = max(ledger.days, key=lambda day: day.run)
    return tuple(day.split for day in ledger.made(newest.key))


def _trained(ledger: Ledger) -> tuple[str, ...]:
    """The days of the newest training, where no model was pushed."""
    return next((run.trained for run in reversed(ledger.runs) if run.trained), ())


def _unsettled(root: Place) -> str:
    for entry in read_rollbacks(root):
        if not entry.is_served:
            return f"the rollback to {entry.to}: give it again"
    return ""


# --- the next run ---------------------------------------------------------------------


def _next_run(
    root: Place, last: RunEntry | None, made: tuple[str, ...]
) -> tuple[tuple[str, ...] | None, str]:
    """Days that it would make, if names tell, and a sentence."""
    back = [entry for entry in read_rollbacks(root) if not entry.is_trained]
    begin = ""
    if back:
        day = back[-1].day.removeprefix("day-")
        begin = f"goes back to the end of {day}, " if day else "trains from the start, "
    if last is None or not last.logs or is_bucket(last.logs):
        return None, f"{begin}cannot be told: no directory of logs of this machine"
    if not os.path.isdir(last.logs):
        return None, f"{begin}cannot be told: {last.logs} is not there"
    pattern = _pattern(root, last)
    if pattern is None:
        return None, f"{begin}cannot be told: no record of a run of the last spec"
    days = _days_in(last.logs, pattern)
    if days is None:
        return None, begin + _changed_files(last, pattern)
    new = tuple(f"day-{day}" for day in days if made and f"day-{day}" > made[-1])
    what = f"makes {span(new)} ({len(new)})" if new else "finds no new day"
    return new, begin + what


def _pattern(root: Place, last: RunEntry) -> str | None:
    """The log files' pattern of the last run's spec, if a record is of that."""
    for name in RECORDS:
        path = os.path.join(root, name)
        record = read_json(path, _REMEDY) if os.path.exists(path) else {}
        if record.get("spec_digest") == last.spec_digest:
            return read_spec(record["spec_text"]).log.files
    return None


def _days_in(logs: str, pattern: str) -> list[str] | None:
    """Days by the names of files; None if the pattern has none."""
    if not _PART.search(pattern):
        return None
    parts = list[str]()
    for number, piece in enumerate(_PART.split(pattern)):
        if number % 2:
            form = re.split("(%[Ymd])", piece or "%Y%m%d")
            parts += [_DIGITS.get(part, re.escape(part)) for part in form]
        else:
            parts.append(_glob_as_regex(piece))
    regex = re.compile("".join(parts) + "$")
    found = set()
    for path in _paths(logs, pattern):
        if match := regex.search(path):
            found.add("".join(match[part] for part in ("Y", "m", "d")))
    return sorted(found)


def _glob_as_regex(text: str) -> str:
    marks = {"*": "[^/]*", "?": "[^/]"}
    return "".join(marks.get(letter) or re.escape(letter) for letter in text)


def _paths(logs: str, pattern: str) -> list[str]:
    glob = _PART.sub(lambda part: re.sub("%[Ymd]", "*", part[1] or "*"), pattern)
    return sorted(str(path) for path in pathlib.Path(logs).glob(glob))


def _changed_files(last: RunEntry, pattern: str) -> str:
    """By how many files the logs differ from what the last run has read."""
    read = {file["path"]: file["bytes"] for file in last.log_files}
    if not read:
        return "cannot be told: the names of log files hold no days"
    paths = _paths(last.logs, pattern)
    new = [p for p in paths if read.get(p) != os.path.getsize(p)]
    if not new:
        return "finds the log files as they were"
    return f"finds {len(new)} new or changed log files: {shown(new, 3)}"
