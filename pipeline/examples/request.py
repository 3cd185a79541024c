"""What one run of example generation is asked for."""

from __future__ import annotations

import dataclasses
import datetime

from feature_specs import Spec
from feature_specs.errors import UsageError
from pipeline.examples.days import DayRange, SplitPlan, plan_splits
from pipeline.examples.reading.readers import RANGE_BYTES


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

    @property
    def plan(self) -> SplitPlan:
        """The run's splits; ValueError if no day is left to train on."""
        return plan_splits(self.days, self.eval_days, self.spec.log.days_per_split)

    @property
    def first_day_read(self) -> datetime.date:
        """The first day of context, or of the examples if there is none."""
        if self.context_days is None:
            return datetime.date.min
        return self.days.first - datetime.timedelta(days=self.context_days)

    @property
    def written(self) -> tuple[str, ...]:
        """The splits that are written."""
        plan, only = self.plan, self.only
        if only is None:
            return plan.splits
        return tuple(dict.fromkeys(plan.split_of(day) for day in only))
