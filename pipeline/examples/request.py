"""What one run of example generation is asked for."""

from __future__ import annotations

import dataclasses
import datetime
import functools

from feature_specs import Spec, views
from feature_specs.errors import UsageError
from pipeline.day_state.state import DayState, read_state
from pipeline.examples.days import DayRange, SplitPlan, plan_splits
from pipeline.examples.reading.readers import RANGE_BYTES
from pipeline.examples.state_tables import check_can_be_carried


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExamplesRequest:
    """One run of example generation.

    Attributes:
        spec: What the logs hold and what becomes of them.
        logs_dir: Directory of the log and its side files, on any Beam file system.
        examples_dir: Gets `Split-<name>/data_tfrecord-*.gz`; holds no split yet,
            unless `only` is given.
        rejects_dir: Gets the unreadable lines as `*.jsonl`; older ones are removed.
        report_path: JSON file to write.
        days: Days that become examples.
        eval_days: The last days, kept for evaluation.
        context_days: Days before them that are read for trails, history, statistics
            and counts; None reads all earlier ones.
        only: Days whose splits are written anew (late data), the others stay as they
            are; None writes all.
        allow_small_days: Whether a day with unusually few rows passes.
        seed: Of the order inside a split.
        shards: Parts that users are hashed into; chosen from the log's size if None.
        range_bytes: Most bytes of a file that one step reads.
        file_rows: Readable rows for each file of a split; see `steps.SplitFiles`.
        state_from: Directory of the state at the end of the day before `days`: then of
            the logs only files with rows of `days` are read, and `eval_days` may be 0
            or all.
        state_to: Directory that gets the state at the end of `days`.
        learned_through: See `SplitPlan`; by default that of the state, or the last
            training day.
        empty_days: Days before `days` that the state does not know and that have no
            logs.
    """

    spec: Spec
    logs_dir: str
    examples_dir: str
    rejects_dir: str
    report_path: str
    days: DayRange
    eval_days: int = 1
    context_days: int | None = None
    only: DayRange | None = None
    allow_small_days: bool = False
    seed: int = 0
    shards: int | None = None
    range_bytes: int = RANGE_BYTES
    file_rows: int | None = None
    state_from: str | None = None
    state_to: str | None = None
    learned_through: datetime.date | None = None
    empty_days: tuple[datetime.date, ...] = ()

    def __post_init__(self) -> None:
        for name in ("range_bytes", "file_rows", "shards"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        if self.context_days is not None and self.context_days < 0:
            raise UsageError(
                f"context_days must be 0 or more, got {self.context_days}. Leave it "
                "out to read all earlier days."
            )
        only = self.only
        if only and not (self.days.first <= only.first and only.last <= self.days.last):
            raise UsageError(f"Days {only} to replace must lie in {self.days}.")
        self._check_state()

    def _check_state(self) -> None:
        """UsageError, or StateError, for what does not go with states."""
        if self.state_to is not None:
            check_can_be_carried(self.spec)
        if self.only and (self.state_from or self.state_to):
            raise UsageError(
                "Days that are replaced have no state: it is of their last day. Make "
                "the days from the first one to replace on anew."
            )
        if self.state_from and self.context_days:
            raise UsageError(
                f"context_days {self.context_days}: with state_from no earlier day is "
                "read. Leave one of the two out."
            )
        learned = self.learned_through
        if learned and learned > self.days.last:
            raise UsageError(
                f"learned_through {learned:%Y%m%d} must not come after the days "
                f"{self.days}: nothing is known of later ones."
            )

    @functools.cached_property
    def state(self) -> DayState | None:
        """The state that the run goes on from; StateError if it cannot."""
        if self.state_from is None:
            return None
        found = read_state(self.state_from)
        digest = views.digest(self.spec, views.EXAMPLES)
        found.check_continues(digest, self.days.first, self.empty_days)
        found.check_learned(self.learned_through)
        return found

    @functools.cached_property
    def plan(self) -> SplitPlan:
        """The run's splits; ValueError if no day is left to train on."""
        state = self.state
        return plan_splits(
            self.days,
            self.eval_days,
            self.spec.log.days_per_split,
            state.learned_through if state else self.learned_through,
            # Where no state can be kept, earlier days are trained all the same.
            continues=state is not None or self.learned_through is not None,
        )

    @property
    def context(self) -> int | None:
        """Days of logs before `days` that are read; None for all."""
        return self.context_days if self.state_from is None else 0

    @property
    def first_day_read(self) -> datetime.date:
        """The first day of context, or of the examples if there is none."""
        if self.context is None:
            return datetime.date.min
        return self.days.first - datetime.timedelta(days=self.context)

    @property
    def written(self) -> tuple[str, ...]:
        """The splits that are written."""
        plan, only = self.plan, self.only
        if only is None:
            return plan.splits
        return tuple(dict.fromkeys(plan.split_of(day) for day in only))
