"""Days of a run, and how they become splits.

A day is a calendar day in the spec's time zone. Training reads the splits in order, and
evaluation takes the last days (DESIGN sec. 3).
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterator

import polars as pl

from feature_specs import Spec
from feature_specs.durations import seconds_of
from feature_specs.errors import UsageError
from pipeline.examples.columns.timeline import TIME_MS

DAY = "_day"  # an impression's calendar day in the spec's time zone

_FORM = re.compile(r"^(\d{8})(?::(\d{8}))?$")


@dataclasses.dataclass(frozen=True)
class DayRange:
    """The days `first` to `last`, both included."""

    first: datetime.date
    last: datetime.date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise UsageError(
                f"Days {self}: the first day comes after the last. Swap them."
            )

    @classmethod
    def parse(cls, text: str) -> DayRange:
        """The range of `20220408:20220414`, or of one day `20220408`."""
        match = _FORM.match(text.strip())
        if match is None:
            raise UsageError(
                f"--days {text!r}: must be FIRST:LAST, each as YYYYMMDD, for example "
                "20220408:20220414."
            )
        first, last = match.group(1), match.group(2) or match.group(1)
        return cls(_parse_day(first, text), _parse_day(last, text))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[datetime.date]:
        for offset in range(len(self)):
            yield self.first + datetime.timedelta(days=offset)

    def __str__(self) -> str:
        return f"{self.first:%Y%m%d}:{self.last:%Y%m%d}"


def parse_one(text: str) -> datetime.date:
    """The day of `20220408`; UsageError for anything else."""
    days = DayRange.parse(text)
    if len(days) > 1:
        raise UsageError(f"Day {text!r}: must be one day, YYYYMMDD.")
    return days.first


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """Which split each day of a run belongs to.

    Attributes:
        days: The run's days.
        eval_days: The last days, kept for evaluation.
        days_per_split: Days that share a split; a new split begins with evaluation.
        learned_through: The last day that is learned from before anything is trained:
            quantiles, and the counts that training-only filters look ahead with; by
            default the last training day.
        continues: Whether earlier days are there already: then all of these may be
            trained on, or none.
    """

    days: DayRange
    eval_days: int
    days_per_split: int
    learned_through: datetime.date | None = None
    continues: bool = False

    def __post_init__(self) -> None:
        if self.days_per_split < 1:
            raise UsageError(
                f"days_per_split must be at least 1, got {self.days_per_split}."
            )
        if self.continues and 0 <= self.eval_days <= len(self.days):
            return
        if not 1 <= self.eval_days < len(self.days):
            raise UsageError(
                f"Days {self.days} ({len(self.days)}): eval_days must be at least 1 "
                "and leave one day to train on, "
                f"got {self.eval_days}. Change eval_days or ask for more days."
            )

    @property
    def splits(self) -> tuple[str, ...]:
        """All splits of a run in the order of their days."""
        return (*self.train, *self.evaluation)

    @property
    def first_evaluation_day(self) -> datetime.date:
        """Training ends the day before."""
        return self.days.last - datetime.timedelta(days=self.eval_days - 1)

    @property
    def last_learned(self) -> datetime.date:
        """The last day that is learned from before anything is trained."""
        if self.learned_through is not None:
            return self.learned_through
        return self.first_evaluation_day - datetime.timedelta(days=1)

    @property
    def counted_from(self) -> pl.Expr:
        """The day from which on an impression counts for training-only filters.

        A row of a day counts those of all days up to its own, and up to the last one
        that is learned from: so it does not depend on how days were cut into runs.
        """
        return pl.max_horizontal(DAY, pl.lit(self.last_learned))

    @property
    def train(self) -> tuple[str, ...]:
        """Names of the training splits, in the order of their days."""
        return self._names(evaluation=False)

    @property
    def evaluation(self) -> tuple[str, ...]:
        """Names of the evaluation splits, in the order of their days."""
        return self._names(evaluation=True)

    def is_evaluation(self, day: datetime.date) -> bool:
        """Whether a day is kept for evaluation."""
        return day >= self.first_evaluation_day

    def split_of(self, day: datetime.date) -> str:
        """`day-YYYYMMDD` of the split's first day; ValueError for a day outside."""
        if not self.days.first <= day <= self.days.last:
            raise ValueError(f"Day {day:%Y%m%d} is not in {self.days}.")
        start = self.days.first
        if self.is_evaluation(day):
            start = self.first_evaluation_day
        offset = (day - start).days // self.days_per_split * self.days_per_split
        return f"day-{start + datetime.timedelta(days=offset):%Y%m%d}"

    def _names(self, evaluation: bool) -> tuple[str, ...]:
        days = [day for day in self.days if self.is_evaluation(day) == evaluation]
        return tuple(dict.fromkeys(self.split_of(day) for day in days))


def local_time(spec: Spec) -> pl.Expr:
    """`TIME_MS` as a time in the spec's zone, which days and hours are taken from."""
    return time_in(spec.log.timezone)


def time_in(zone: str) -> pl.Expr:
    """`TIME_MS` as a time in a zone."""
    utc = pl.from_epoch(pl.col(TIME_MS), "ms").dt.replace_time_zone("UTC")
    return utc.dt.convert_time_zone(zone)


def without_newest(days: DayRange, delay: str) -> DayRange:
    """The days without the newest ones, whose labels wait for events.

    Args:
        days: All days.
        delay: How long labels wait, `1d`; a part of a day is a day.

    Raises:
        UsageError: That is no length of time, or leaves no day.
    """
    try:
        out = -(-seconds_of(delay) // 86_400)
    except ValueError as error:
        raise UsageError(f"--label_delay {delay!r}: {error}") from None
    if out >= len(days):
        raise UsageError(
            f"--label_delay {delay} moves out {out} of the {len(days)} days {days}; "
            "none is left. Ask for more days, or for a shorter delay."
        )
    return DayRange(days.first, days.last - datetime.timedelta(days=out))


def days_after(days: DayRange, known: datetime.date) -> DayRange:
    """The days that come after one; UsageError if none does."""
    if days.last <= known:
        raise UsageError(
            f"The logs have days up to {days.last:%Y%m%d}, and these are known up to "
            f"{known:%Y%m%d} already. Bring the logs of a new day."
        )
    return DayRange(max(days.first, known + datetime.timedelta(days=1)), days.last)


def midnight_ms(day: datetime.date, zone: str) -> int:
    """When a day of a zone begins, unix milliseconds."""
    midnight = datetime.time(tzinfo=zoneinfo.ZoneInfo(zone))
    return round(datetime.datetime.combine(day, midnight).timestamp() * 1_000)


def days_elsewhere(days: DayRange, zone: str, other: str) -> DayRange:
    """The days of another zone that some days of a zone lie on."""
    midnight = datetime.time(tzinfo=zoneinfo.ZoneInfo(zone))
    begin = datetime.datetime.combine(days.first, midnight)
    after = days.last + datetime.timedelta(days=1)
    end = datetime.datetime.combine(after, midnight).astimezone(datetime.timezone.utc)
    last = end - datetime.timedelta(microseconds=1)
    there = zoneinfo.ZoneInfo(other)
    return DayRange(begin.astimezone(there).date(), last.astimezone(there).date())


def plan_splits(
    days: DayRange,
    eval_days: int,
    days_per_split: int,
    learned_through: datetime.date | None = None,
    continues: bool = False,
) -> SplitPlan:
    """The splits of a run; see `SplitPlan`.

    Raises:
        UsageError: No day would be left to train on, and there is none already.
    """
    return SplitPlan(days, eval_days, days_per_split, learned_through, continues)


def _parse_day(text: str, whole: str) -> datetime.date:
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        raise UsageError(
            f"--days {whole!r}: {text!r} is no day of the calendar."
        ) from None
