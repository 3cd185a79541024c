"""Keeps the ledger of a run's directory while a run goes on.

    book = RunBook.opened(root)
    with book.run(begun, days, key) as writing:
        outputs = local.run(...)
        writing.end(outputs, record)

What a run has made counts from the moment that it is made: one that is stopped by a
gate, fails or is told to end has its finished steps in the ledger, and the next goes on
from them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feature_specs.errors import Status, TrailrankError
from pipeline.ledger import (
    Ledger,
    MadeDay,
    Outcome,
    RunEntry,
    Version,
    read_ledger,
    write_ledger,
)
from pipeline.people import login_name
from pipeline.run_plan import PlanError

Outputs = Mapping[str, Mapping[str, str]]  # of a run's steps: name -> URI

STATE_HEAD = "state.json"  # see `pipeline.day_state`
_ID = "%Y%m%d-%H%M%S"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_KILLED = "It was killed: the process ended without a word."
_OUTCOMES: dict[Status, Outcome] = {
    Status.REFUSED: "refused",
    Status.STOPPED: "stopped",
    Status.PREEMPTED: "stopped",
}


@dataclasses.dataclass
class RunBook:
    """The ledger of a directory that this process holds.

    Attributes:
        root: The run's directory.
        ledger: As it stands on the disk.
    """

    root: str
    ledger: Ledger

    @classmethod
    def opened(cls, root: str) -> RunBook:
        """The book; runs that were killed are told as such, as nobody else could."""
        book = cls(root, read_ledger(root))
        for run in book.ledger.runs:
            if run.outcome == "running":
                ended = dataclasses.replace(run, outcome="stopped", message=_KILLED)
                book.write(book.ledger.with_run(ended))
        return book

    def write(self, ledger: Ledger) -> None:
        """Puts another ledger in place."""
        write_ledger(self.root, ledger)
        self.ledger = ledger

    def next_id(self) -> str:
        """Name of a run that begins now, after those of all others."""
        time = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        if self.ledger.runs:
            last = max(run.id for run in self.ledger.runs)
            after = datetime.datetime.strptime(last, _ID) + datetime.timedelta(
                seconds=1
            )
            time = max(time, after)
        return f"{time:{_ID}}"

    def baselines(
        self, count: int, checkpoints: str, trained: tuple[str, ...]
    ) -> tuple[Version, ...]:
        """The last live versions that another model is compared with, newest first.

        Args:
            count: At most so many.
            checkpoints: Begin of the directory's path that the other is trained in.
            trained: Its splits; a version of the same training and days is the same
                model, and no baseline of its own.
        """
        others = [
            version
            for version in self.ledger.live
            if version.trained != trained
            or not version.checkpoints.startswith(checkpoints)
        ]
        return tuple(others[::-1][:count])

    def acceptances(self, key: str, splits: Iterable[str]) -> list[dict[str, Any]]:
        """What was accepted of days, passed or not."""
        found = (self.ledger.day(split, key) for split in splits)
        return [day.accepted for day in found if day and day.accepted]

    def accept(self, split: str, key: str, accepted: dict[str, Any]) -> None:
        """Notes that somebody lets a day pass that was made."""
        day = self.ledger.day(split, key)
        if day is None:
            raise PlanError(
                f"--accept_day {split.removeprefix('day-')}: has not been made by this "
                "run; what was not seen cannot be accepted. Run without it first."
            )
        accepted_day = dataclasses.replace(day, accepted=accepted)
        self.write(self.ledger.with_day(accepted_day))

    @contextlib.contextmanager
    def run(
        self, begun: RunEntry, splits: Mapping[str, str], key: str
    ) -> Iterator[Writing]:
        """Writes that a run begins, and what became of it, however it ends.

        Args:
            begun: What it sets out to do.
            splits: Split that it makes -> its last day.
            key: Of the examples.
        """
        self.write(self.ledger.with_run(begun))
        writing = Writing(self, begun, splits, key)
        try:
            yield writing
        except BaseException as error:
            with contextlib.suppress(OSError):  # a full disk: the next run notes it
                writing.fail(error)
            raise


@dataclasses.dataclass
class Writing:
    """A run that goes on.

    Attributes:
        book: Where it is written.
        entry: What is known of it.
        splits: Split that it makes -> its last day.
        key: Of the examples.
    """

    book: RunBook
    entry: RunEntry
    splits: Mapping[str, str]
    key: str

    def made(
        self,
        outputs: Outputs,
        passed: bool,
        loss_weights: Mapping[str, float] | None = None,
    ) -> None:
        """Its days are made, as the outputs of the steps say.

        Args:
            outputs: Of the steps that have ended.
            passed: Whether the data gate is among them.
            loss_weights: Task -> weight, of those that were selected.
        """
        found = outputs.get("DayExampleGen")
        if not found:
            return
        ledger, last = self.book.ledger, max(self.splits)
        state = found.get("state", "")
        if not os.path.exists(os.path.join(state, STATE_HEAD)):
            state = ""  # of a spec that cannot be carried from day to day
        for split, day in self.splits.items():
            before = ledger.day(split, self.key)
            ledger = ledger.with_day(
                MadeDay(
                    split=split,
                    key=self.key,
                    examples=found["examples"],
                    last=day,
                    state=state if split == last else "",
                    run=self._made_by(found["examples"]),
                    passed=passed,
                    accepted=before.accepted if before else None,
                )
            )
        self.entry = dataclasses.replace(
            self.entry,
            made=tuple(self.splits),
            loss_weights=dict(loss_weights or {}),
        )
        self.book.write(ledger.with_run(self.entry))

    def _made_by(self, examples: str) -> str:
        """The run that made them: an earlier one, if they were taken from the cache."""
        for day in self.book.ledger.days:
            if day.examples == examples and day.run:
                return day.run
        return self.entry.id

    def fail(self, error: BaseException) -> None:
        """It ended with an error."""
        status = Status.FAILED
        if isinstance(error, TrailrankError):
            status = Status(error.exit_status)
        if isinstance(error, KeyboardInterrupt):
            status = Status.STOPPED
        self._close(_OUTCOMES.get(status, "failed"), str(error))

    def end(self, outcome: Outcome, message: str, **known: Any) -> None:
        """It came to its end; `known` are fields of its entry."""
        self.entry = dataclasses.replace(self.entry, **known)
        self._close(outcome, message)

    def pushed(self, version: Version) -> None:
        """Its model is in its place."""
        self.entry = dataclasses.replace(self.entry, version=version.version)
        ledger = self.book.ledger.with_version(version)
        self.book.write(ledger.with_run(self.entry))

    def _close(self, outcome: Outcome, message: str) -> None:
        self.entry = dataclasses.replace(
            self.entry, ended=now(), outcome=outcome, message=message
        )
        self.book.write(self.book.ledger.with_run(self.entry))


def now() -> str:
    """ISO time, UTC."""
    return f"{datetime.datetime.now(datetime.timezone.utc):{_TIME}}"


def owner() -> str:
    """`user@host, process 123`."""
    return f"{login_name()}@{socket.gethostname()}, process {os.getpid()}"
