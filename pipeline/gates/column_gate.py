"""Compares one column of a day with the same column of the days before."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from feature_specs.gates import DataGatesSpec
from pipeline.gates import causes, levels, mixes
from pipeline.gates.columns import Column, Form
from pipeline.gates.findings import Finding
from pipeline.gates.levels import MEASURES
from pipeline.gates.noise import (
    Level,
    expect,
    independent_rows,
    never,
    typical_spread,
)
from pipeline.gates.units import unit_change
from pipeline.summaries.exact import Moments
from pipeline.summaries.summary import ColumnSummary

GAP, DIVERGENCE = "quantiles", "mix of values"
EMPTY, CONSTANT, UNIT, FLIPPED = "no values", "one value", "unit", "exchanged labels"
_FLIP = 1.5  # logarithm of odds: a label of 82 % or 18 % or further from even
_FLIP_NEAR = 1.0  # and how near to the mirrored mean a flipped one is
_NUMBERS = (Form.NUMBERS, Form.AMOUNTS)


@dataclasses.dataclass(frozen=True)
class Seen:
    """One column on one day.

    Attributes:
        summary: Of the column.
        users: Of the day.
    """

    summary: ColumnSummary
    users: int


@dataclasses.dataclass(frozen=True)
class ColumnGate:
    """One column of a day, and of the days before it that have it.

    Attributes:
        column: Which one.
        gates: Limits of the column.
        now: Of the day.
        before: Of the days before, in order, one at least.
        long_before: Summaries of the days before those, whose values are known as well.
        others: Measure -> places in `before` of days that the day may be like instead
            of all of them.
        may_drift: Whether there are days enough to judge by more than what is
            impossible.
    """

    column: Column
    gates: DataGatesSpec
    now: Seen
    before: tuple[Seen, ...]
    long_before: tuple[ColumnSummary, ...]
    others: Callable[[str], Sequence[int]]
    may_drift: bool

    def judge(self) -> tuple[int, list[Finding]]:
        """(measures that were compared, what stands out).

        What is impossible says it all: then nothing else of the column is told.
        """
        checks = (self._empty, self._constant, self._unit, self._flipped)
        for check in checks:
            finding = check()
            if finding is not None:
                return len(checks), [finding]
        if not self.may_drift:
            return len(checks), []
        found = [*self._levels(), *self._mix()]
        compared = len(checks) + len(found)
        return compared, [finding for finding in found if finding is not None]

    @property
    def _n(self) -> float:
        """Independent values of the day."""
        rows = self.now.summary.rows - self.now.summary.missing
        return independent_rows(rows, self.now.users, self.column.alike)

    # --- what is impossible -----------------------------------------------------------

    def _empty(self) -> Finding | None:
        """No value in any row, where days before have some."""
        now = self.now.summary
        if not now.rows or now.missing < now.rows:
            return None
        rows = sum(one.summary.rows for one in self.before)
        there = [one.summary.rows - one.summary.missing for one in self.before]
        n = independent_rows(now.rows, self.now.users, self.column.alike)
        if not all(there) or not never(sum(there) / rows, n):
            return None
        share = 1 - sum(there) / rows
        return self._impossible(EMPTY, 1.0, share, causes.empty(share))

    def _constant(self) -> Finding | None:
        """One value in all rows, where every day before has several."""
        if self.column.form is Form.SPACE:
            return None  # an empty one leaves the label without a value, which is told
        if self.column.form is Form.LABELS:
            return self._always()
        value = _only_value(self.now.summary)
        if value is None or any(
            _only_value(one.summary) is not None for one in self.before
        ):
            return None
        shares = [_most_frequent(one.summary) for one in self.before]
        if math.nan in shares or not never(1 - max(shares), self._n):
            return None
        return self._impossible(CONSTANT, 1.0, max(shares), causes.constant(value))

    def _always(self) -> Finding | None:
        """A label that never, or always, happens."""
        share = _mean(self.now.summary.moments)
        usual = _mean_of(self.before)
        if share not in (0.0, 1.0) or math.isnan(usual) or usual == share:
            return None
        if not never(usual if share == 0.0 else 1.0 - usual, self._n_of_label):
            return None
        return self._impossible(CONSTANT, share, usual, causes.always(share))

    @property
    def _n_of_label(self) -> float:
        moments = self.now.summary.moments
        rows = moments.count if moments else 0
        return independent_rows(rows, self.now.users, self.column.alike)

    def _unit(self) -> Finding | None:
        if self.column.form not in _NUMBERS:
            return None
        now, usual = mixes.quantiles(self.now.summary), self._usual_quantiles
        change = unit_change(now, usual)
        if change is None:
            return None
        middle = len(now) // 2
        return self._impossible(UNIT, now[middle], usual[middle], f"{change}")

    @property
    def _usual_quantiles(self) -> list[float]:
        """The medians of the quantiles of the days before; NaN without a value."""
        found = [one.summary for one in self.before if one.summary.values]
        days = [mixes.quantiles(summary) for summary in found]
        if not days:
            return [math.nan] * len(mixes.QUANTILES)
        return [statistics.median(each) for each in zip(*days, strict=True)]

    def _flipped(self) -> Finding | None:
        """A label whose mean is one minus that of the days before."""
        if self.column.form is not Form.LABELS:
            return None
        level = self._level(levels.LABEL_MEAN, self.now)
        before = self._days(levels.LABEL_MEAN)
        if level is None or not before:
            return None
        usual = statistics.median(one.value for one in before)
        mirrored = abs(level.value + usual) < max(
            _FLIP_NEAR, self.gates.z * level.spread / math.sqrt(max(level.n, 1.0))
        )
        if level.value * usual >= 0 or min(abs(level.value), abs(usual)) < _FLIP:
            return None
        if not mirrored:
            return None
        share = levels.share_of(usual)
        return self._impossible(
            FLIPPED, levels.share_of(level.value), share, causes.flipped(share)
        )

    def _impossible(
        self, measure: str, value: float, expected: float, cause: str
    ) -> Finding:
        return Finding(
            column=self.column.key,
            measure=measure,
            value=value,
            low=None,
            high=None,
            expected=expected,
            times=math.inf,
            cause=cause,
            impossible=True,
        )

    # --- what moved -------------------------------------------------------------------

    def _levels(self) -> Iterator[Finding | None]:
        """Each number of the column against those of the days before."""
        for measure in self._measures():
            level, before = self._level(measure, self.now), self._days(measure)
            if level is None or len(before) < self.gates.min_days:
                continue
            others = [
                self._level(measure, self.before[p]) for p in self.others(measure)
            ]
            yield compared(
                self.column.key,
                measure,
                level,
                before,
                [one for one in others if one is not None],
                self.gates,
            )

    def _measures(self) -> list[str]:
        form = self.column.form
        if form is Form.LABELS:
            return [levels.LABEL_MEAN]
        if form is Form.SPACE:
            return [levels.SPACE]
        if form is Form.AMOUNTS:
            return [levels.MEAN]
        own = {Form.LISTS: [levels.LENGTH], Form.VECTORS: [levels.NORM]}.get(form, [])
        if form is Form.NUMBERS:
            own = [levels.LOG_MEAN if self._by_logarithm else levels.MEAN]
        return [levels.MISSING_SHARE, *own]

    @property
    def _by_logarithm(self) -> bool:
        """Whether numbers are compared by log(1 + x): where none was ever negative."""
        return all(
            one.summary.log1p is not None
            and one.summary.moments is not None
            and (one.summary.moments.smallest or 0.0) >= 0
            for one in self.before
        )

    def _days(self, measure: str) -> list[Level]:
        found = [self._level(measure, one) for one in self.before]
        return [level for level in found if level is not None]

    def _level(self, measure: str, seen: Seen) -> Level | None:
        column, users, alike = seen.summary, seen.users, self.column.alike
        if measure in (levels.LABEL_MEAN, levels.SPACE):
            return levels.of_share(column.moments, users, alike)
        if measure == levels.MISSING_SHARE:
            return levels.of_part(column.missing, column.rows, users, alike)
        if measure == levels.LENGTH:
            lengths = column.lengths or column.words  # of a list, or of a text
            return levels.of_counts(lengths, users, alike)
        moments = {
            levels.MEAN: column.moments,
            levels.LOG_MEAN: column.log1p,
            levels.NORM: column.norms,
        }[measure]
        return levels.of_mean(moments, users, alike)

    def _mix(self) -> Iterator[Finding | None]:
        """The distribution of the values, and values that no earlier day had."""
        columns = [one.summary for one in (*self.before, self.now)]
        filled = sum(bool(column.values) for column in columns[:-1])
        if filled < self.gates.min_days or not self.now.summary.values:
            return
        if self.column.form is Form.VALUES:
            yield self._divergence(columns)
            yield self._unseen()
        if self.column.form in _NUMBERS:
            yield self._gap(columns)

    def _divergence(self, columns: Sequence[ColumnSummary]) -> Finding | None:
        mix = mixes.mix_of_values(columns)
        limit = self.gates.jensen_shannon
        found = mixes.distance(
            mix,
            self.others(DIVERGENCE),
            limit,
            self._n,
            self.gates.z,
            measure=mixes.divergence,
            by_chance=mixes.divergence_by_chance,
        )
        if found is None or found.value <= found.noise:
            return None
        pair = mixes.exchanged(mix)
        if pair is None and found.value <= found.most:
            return None
        finding = self._far(DIVERGENCE, found, causes.mix(mixes.moved_most(mix), pair))
        # Nothing but a mistake exchanges two names, however small their shares are.
        times = max(finding.times, found.value / found.noise if pair else 0.0)
        return dataclasses.replace(finding, times=times)

    def _unseen(self) -> Finding | None:
        """Values that no earlier day had, beside what each day before had of them."""
        known: set[Any] = set()
        for summary in self.long_before:
            known.update(summary.top)
        before = []
        for one in self.before:
            if known:
                level = self._unseen_share(one, known)
                before += [] if level is None else [level]
            known.update(one.summary.top)
        now = self._unseen_share(self.now, known)
        if now is None or len(before) < self.gates.min_days - 1 or not before:
            return None
        found = compared(self.column.key, levels.UNSEEN, now, before, [], self.gates)
        if found is None:
            return None
        new = [v for v in self.now.summary.top if v not in known]
        return dataclasses.replace(found, cause=causes.unseen(new))

    def _unseen_share(self, seen: Seen, known: set[Any]) -> Level | None:
        unseen = mixes.count_not_in(seen.summary, known)
        return levels.of_part(
            unseen, seen.summary.values, seen.users, self.column.alike
        )

    def _gap(self, columns: Sequence[ColumnSummary]) -> Finding | None:
        found = mixes.distance(
            mixes.mix_of_numbers(columns),
            self.others(GAP),
            self.gates.distance,
            self._n,
            self.gates.z,
            measure=mixes.largest_gap,
            by_chance=mixes.gap_by_chance,
        )
        if found is None or found.value <= found.most:
            return None
        now = mixes.quantiles(columns[-1])
        return self._far(GAP, found, causes.gap(now, self._usual_quantiles))

    def _far(self, measure: str, found: mixes.Distance, cause: str) -> Finding:
        return Finding(
            column=self.column.key,
            measure=measure,
            value=found.value,
            low=None,
            high=found.most,
            expected=found.typical,
            times=found.value / found.most if found.most else math.inf,
            cause=cause,
        )


def compared(
    column: str,
    measure: str,
    level: Level,
    before: Sequence[Level],
    others: Sequence[Level],
    gates: DataGatesSpec,
) -> Finding | None:
    """What a level further away than allowed is told as; None if it is not."""
    told = MEASURES[measure]
    limits = told.limits(gates, typical_spread(level, before))
    found = expect(level, before, others, limits, gates.z)
    if found.times <= 1:
        return None
    value = told.shown(level.value) if level.told is None else level.told
    expected = told.shown(found.centre)
    return Finding(
        column=column,
        measure=measure,
        value=value,
        low=told.shown(found.low) if math.isfinite(found.low) else None,
        high=told.shown(found.high),
        expected=expected,
        times=found.times,
        cause=causes.moved(measure, value, expected),
    )


def _only_value(column: ColumnSummary) -> Any:
    """The value that all rows with one share; None if there are several, or none."""
    if column.distinct == 1 and column.top:
        return next(iter(column.top))
    moments = column.moments
    if column.histogram is None or moments is None or not moments.count:
        return None
    return moments.smallest if moments.smallest == moments.largest else None


def _most_frequent(column: ColumnSummary) -> float:
    """The share of the most frequent value, or bin; NaN without a value."""
    counts = column.histogram.bins if column.histogram else column.top
    total = column.values
    return max(counts.values()) / total if counts and total else math.nan


def _mean(moments: Moments | None) -> float:
    return moments.mean if moments is not None else math.nan


def _mean_of(days: Sequence[Seen]) -> float:
    """The mean over all rows of some days; NaN without one."""
    found = [one.summary.moments for one in days if one.summary.moments is not None]
    count = sum(moments.count for moments in found)
    total = sum(moments.mean * moments.count for moments in found if moments.count)
    return total / count if count else math.nan
