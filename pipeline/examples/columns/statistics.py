"""What all users did with a video, an author, a tab... on the days before.

    statistics:
      - {name: video_like_rate, by: video_id, value: is_like, days: 7, strength: 50}

An impression counts on the day on which its outcome is known, and is seen from the next
day on, with what was known of its events before that day. Values are added as whole
millionths, so that sums are the same whatever the order, and a shard's sums can be
added to the others'.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import StatisticSpec
from pipeline.arrays import Floats, Ints, Numbers
from pipeline.examples.columns.evaluate import number_values, numbers
from pipeline.examples.columns.stages import DatedStages, Versions
from pipeline.examples.columns.timeline import TIME_MS, known_from_ms
from pipeline.examples.days import DAY, local_time
from pipeline.examples.errors import LogsError

_MILLIONTHS = 1_000_000
_LARGEST = 2.0**62  # millionths; leaves room for the rounding of a float sum
_ALL_DAYS = 1_000_000  # more than a log can have
OWN_DAY = "_own_day"  # of the impression, where `DAY` is that of an event
_SUM, _COUNT = "_sum_", "_count_"


def daily_sums(
    frame: pl.DataFrame,
    spec: Spec,
    by: str,
    versions: Versions | None = None,
    after: datetime.date | None = None,
) -> pl.DataFrame:
    """Sums of a shard's impressions for the statistics by one column.

    Args:
        frame: Log columns and `TIME_MS`, each impression once.
        spec: See `feature_specs`.
        by: The column; rows without it count nowhere.
        versions: Of the impressions that events change; by default there are none.
        after: What was known up to this day is left out: it is in sums that are
            carried.

    Returns:
        One row a value of `by` and days, in no order: `by`, `OWN_DAY` (of the
        impression: of its `known_from`), `DAY` (from whose end on it is known: the
        same, or that of an event), and of each statistic by how much the sum changes,
        in millionths, and the number of rows with a value, both int64.

    Raises:
        ValueError: A sum may leave int64.
    """
    versions = versions or Versions.none()
    known_ms = known_from_ms(frame, spec)
    stages = DatedStages.of(known_ms, versions)
    own, days = (_days(ms, spec) for ms in (known_ms[stages.rows], stages.known_ms))
    keys = frame[by] if stages.are_final else frame[by].gather(stages.rows)
    columns = [keys, own.alias(OWN_DAY), days.alias(DAY)]
    for statistic in _statistics(spec, by):
        values = versions.evaluate(frame, statistic.value, numbers)
        exists = np.isfinite(values)  # x / 0 is no value
        values = np.rint(np.where(exists, values, 0) * _MILLIONTHS)
        _check_fits(statistic.name, keys, pl.Series(values[stages.source]))
        changes = stages.changes(values.astype(np.int64))
        columns += [
            pl.Series(_SUM + statistic.name, changes),
            pl.Series(_COUNT + statistic.name, stages.changes(exists.astype(np.int64))),
        ]
    found = pl.DataFrame(columns)
    if after is not None:
        found = found.filter(pl.col(DAY) > after)
    return _added(found)


def add_up(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The `daily_sums` of one or more shards in one.

    Raises:
        ValueError: A sum may leave int64.
    """
    sums = pl.concat(parts)
    for name in sums.columns:
        if name.startswith(_SUM):
            _check_fits(name.removeprefix(_SUM), sums[sums.columns[0]], sums[name])
    return _added(sums)


def remembered(
    sums: pl.DataFrame, spec: Spec, by: str, last: datetime.date
) -> pl.DataFrame:
    """The sums as later days need them: what no window reaches any more is one row.

    So they grow with the values of `by`, not with the days.

    Args:
        sums: `daily_sums`, added up.
        spec: Of the run.
        by: The column.
        last: The newest day that is over.
    """
    entries = _statistics(spec, by)
    widest = max((statistic.days for statistic in entries), default=0)
    oldest = last - datetime.timedelta(days=widest - 1)  # of the next day's windows
    known = sums.filter(pl.col(DAY) <= last)
    is_old = pl.col(OWN_DAY) < oldest
    windowed = [s.name for s in entries if s.days]
    zeroed = [
        pl.when(is_old)
        .then(0)
        .otherwise(pl.col(f"{kind}{name}"))
        .alias(f"{kind}{name}")
        for name in windowed
        for kind in (_SUM, _COUNT)
    ]
    before = pl.lit(oldest - datetime.timedelta(days=1))
    moved = known.with_columns(zeroed).with_columns(
        pl.when(is_old).then(before).otherwise(pl.col(day)).alias(day)
        for day in (OWN_DAY, DAY)
    )
    values = [c for c in moved.columns if c.startswith((_SUM, _COUNT))]
    is_something = pl.any_horizontal(pl.col(values) != 0)
    return _added(moved).filter(is_something).sort(by, OWN_DAY, DAY)


def windows(
    sums: pl.DataFrame, wanted: pl.DataFrame, spec: Spec, by: str
) -> pl.DataFrame:
    """The statistics by one column, as they stood before a day began.

    Args:
        sums: Added-up `daily_sums`, each value of `by` and day once.
        wanted: Values of `by` and days in `DAY` [W] that are asked for.
        spec: See `feature_specs`.
        by: The column.

    Returns:
        The rows of `wanted`, in no order, with a column a statistic: of the `days`
        before the day, or of all before it. It is null where `by` is.
    """
    keys = number_values(pl.concat([sums[by], wanted[by]]))
    axis = _Axis.of(sums[DAY], sums[OWN_DAY])
    order = np.argsort(axis.place(keys[: sums.height], _numbers(sums[DAY])))
    sums, of_sums = sums[order], keys[: sums.height][order]
    days, own = _numbers(sums[DAY]), _numbers(sums[OWN_DAY])
    known = axis.place(of_sums, days)
    asked, today = keys[sums.height :], _numbers(wanted[DAY])
    order = np.argsort(axis.place(asked, today))  # what is near is found fast
    wanted, asked, today = wanted[order], asked[order], today[order]
    stop = np.searchsorted(known, axis.place(asked, today))
    columns = []
    for statistic in _statistics(spec, by):
        window = statistic.days or _ALL_DAYS
        # What an event changes is in no window that the impression has left.
        leaves = axis.place(of_sums, np.maximum(own, days - window))
        left = np.argsort(leaves, kind="stable")
        start = np.searchsorted(leaves[left], axis.place(asked, today - window))
        reach = _Reach(start, stop, left)
        total = reach.between(sums[_SUM + statistic.name]) / _MILLIONTHS
        count = reach.between(sums[_COUNT + statistic.name])
        column = _measured(statistic, total, count)
        columns.append(column.set(pl.Series(asked < 0), None))
    return wanted.select(by, DAY).with_columns(columns)


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Days of many keys on one axis, each key on a stretch of its own.

    Attributes:
        first: The first known day, as days since 1970.
        stride: Places of a key: its known days, and one for all later ones.
    """

    first: int
    stride: int

    @classmethod
    def of(cls, days: pl.Series, own: pl.Series) -> _Axis:
        """The axis of the known days, and of days that are no later than these."""
        known, earlier = _numbers(days), _numbers(own)
        first, last = (earlier.min(), known.max()) if len(known) else (0, 0)
        return cls(int(first), int(last - first) + 2)

    def place(self, keys: Ints, days: Ints) -> Ints:
        """Where (key, day) lies, int64; days before the first are put on it."""
        return keys * self.stride + np.clip(days - self.first, 0, self.stride - 1)


def smoothed(total: Numbers, count: Numbers, prior: float, strength: float) -> Floats:
    """Mean of `count` values and `strength` more that are `prior`; NaN for 0/0."""
    weight = count + strength
    total = total + prior * strength
    return np.divide(total, weight, out=np.full(len(total), np.nan), where=weight != 0)


def _statistics(spec: Spec, by: str) -> list[StatisticSpec]:
    return [statistic for statistic in spec.statistics if statistic.by == by]


def _added(sums: pl.DataFrame) -> pl.DataFrame:
    """One row a value of the first column and day; rows without it are left out."""
    by = sums.columns[0]
    known = sums.filter(pl.col(by).is_not_null())
    return known.group_by(by, OWN_DAY, DAY).agg(pl.all().sum())


def _days(times_ms: Ints, spec: Spec) -> pl.Series:
    """The local day of each unix millisecond."""
    times = pl.select(pl.Series(TIME_MS, times_ms))
    return times.select(local_time(spec).dt.date()).to_series()


def _numbers(days: pl.Series) -> Ints:
    """Days since 1970, int64."""
    return days.to_physical().to_numpy().astype(np.int64)


@dataclasses.dataclass(frozen=True)
class _Reach:
    """What is in the windows [W] of rows [N] that are sorted by the day they are known.

    Attributes:
        start: How many rows, in the order of `left`, a window has left behind, int64
            [W].
        stop: How many rows are known, int64 [W].
        left: The rows in the order in which windows leave them, int64 [N].
    """

    start: Ints
    stop: Ints
    left: Ints

    def between(self, values: pl.Series) -> Ints:
        """Sums of the values in each window, int64 [W].

        Running sums over all keys may wrap around; their differences do not.
        """
        known = values.to_numpy()
        running: Ints = np.concatenate([[0], np.cumsum(known)])
        leaving: Ints = np.concatenate([[0], np.cumsum(known[self.left])])
        return running[self.stop] - leaving[self.start]


def _measured(statistic: StatisticSpec, total: Numbers, count: Ints) -> pl.Series:
    """The statistic of sums and counts [W]."""
    if statistic.measure == "count":
        return pl.Series(statistic.name, count)
    if statistic.measure == "sum":
        return pl.Series(statistic.name, total)
    mean = smoothed(total, count, statistic.prior, statistic.strength)
    return pl.Series(statistic.name, mean, nan_to_null=True)


def _check_fits(name: str, keys: pl.Series, millionths: pl.Series) -> None:
    """ValueError if the values of one key may add up to more than an int64 holds."""
    sizes = millionths.cast(pl.Float64).abs()
    if sizes.sum() < _LARGEST:
        return  # even all keys together
    by_key = pl.DataFrame([keys, sizes.alias("_size")]).drop_nulls()
    by_key = by_key.group_by(keys.name).agg(pl.col("_size").sum())
    worst = by_key.sort("_size", keys.name, descending=True).head(1)
    if worst.height and worst["_size"][0] >= _LARGEST:
        raise LogsError(
            f"Statistic {name!r}: its values where {keys.name} is {worst.item(0, 0)!r} "
            f"add up to {worst['_size'][0] / _MILLIONTHS:.3g}; at most "
            f"{_LARGEST / _MILLIONTHS:.3g} can be added exactly, in whole millionths. "
            "Give its value in a larger unit (seconds for milliseconds), or leave out "
            "damaged rows: CASE WHEN ... THEN ... END."
        )
