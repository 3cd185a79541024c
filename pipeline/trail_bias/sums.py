"""All rows of some users -> sums; nothing else leaves a worker.

The sums do not grow with users or rows, and they are whole numbers, so that they come
out the same in whatever order they are added.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import math
import zoneinfo
from collections.abc import Iterable

import numpy as np
import polars as pl

from feature_specs import Spec, TaskSpec
from pipeline.arrays import Numbers
from pipeline.examples.columns.evaluate import evaluate, holds, numbers
from pipeline.examples.columns.timeline import TIME_MS, Timeline, watched_ms
from pipeline.examples.columns.trails import add_trails
from pipeline.examples.hashing import bucket_of, hash_columns
from pipeline.examples.shard import settle
from pipeline.trail_bias.study import SLICES, Study

WEIGHT_UNIT = 1_000_000  # weights are whole millionths

# What is added up in each cell.
COUNT, POSITIVES, WEIGHT, POSITIVE_WEIGHT = range(4)

_GROUP_SEED = 20_220_408  # another hash than that of the shards
_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class Sums:
    """What is known of a set of users.

    Attributes:
        cells: Sums over rows by task, slice, bin, group of users and measure (`COUNT`,
            `POSITIVES`, `WEIGHT`, `POSITIVE_WEIGHT`); int64 [T, 2, B, G, 4].
        lengths: Impressions of a whole trail -> how many such trails.
        cut: Trails that may go on before or after the days.
    """

    cells: Numbers
    lengths: dict[int, int]
    cut: int

    @classmethod
    def none(cls, study: Study) -> Sums:
        """Of no users."""
        shape = (len(study.tasks), len(SLICES), study.bins, study.groups, 4)
        return cls(np.zeros(shape, np.int64), {}, 0)


def add_up(many: Iterable[Sums], study: Study) -> Sums:
    """The sums of disjoint sets of users together."""
    cells, lengths, cut = Sums.none(study).cells, collections.Counter[int](), 0
    for sums in many:
        cells = cells + sums.cells
        lengths.update(sums.lengths)
        cut += sums.cut
    return Sums(cells, dict(lengths), cut)


def sum_rows(rows: pl.DataFrame, study: Study) -> Sums:
    """The sums of some users.

    Args:
        rows: All their rows: log columns and `TIME_MS`, in any order.
        study: What is asked.
    """
    frame, _ = settle(rows, study.spec, study.days.first)
    frame = add_trails(frame, study.spec, Timeline.of(frame, study.spec))
    whole = _is_whole(frame, study)
    begins = (frame["trail_position"] == 1).to_numpy()
    lengths, trails = np.unique(
        frame["trail_length"].to_numpy()[begins & whole], return_counts=True
    )
    used = frame.filter(whole & (frame["trail_length"] >= study.min_length).to_numpy())
    return Sums(
        _sum_cells(_finish(used, study), study),
        dict(zip(lengths.tolist(), trails.tolist(), strict=True)),
        int((begins & ~whole).sum()),
    )


def place(position: Numbers, length: Numbers, bins: int) -> tuple[Numbers, Numbers]:
    """(bin from 0, weight in `WEIGHT_UNIT`) of impressions, both int64 [B].

    An impression lies in the bin of its middle, and a trail weighs length / bins in
    each bin.

    Args:
        position: Place in the trail, from 1, int64 [B].
        length: Impressions of the trail, at least `bins`, int64 [B].
        bins: Parts of a trail.
    """
    found = bins * (2 * position - 1) // (2 * length)
    inside = _first_of(found + 1, length, bins) - _first_of(found, length, bins)
    weight = np.rint(WEIGHT_UNIT * length / (bins * inside))
    return found, weight.astype(np.int64)


def _first_of(number: Numbers, length: Numbers, bins: int) -> Numbers:
    """The first position whose middle is not before a bin: a division rounded up."""
    return -(-(2 * length * number + bins) // (2 * bins))


def _is_whole(frame: pl.DataFrame, study: Study) -> Numbers:
    """Where an impression's trail begins and ends inside the days, bool [B].

    Of both there is the silence that ends a trail; before the first day and after the
    last one nobody has looked.
    """
    spec, days = study.spec, study.days
    assert spec.trail is not None
    gap_ms = spec.trail.gap_minutes * 60_000
    trail = (frame["trail_position"] == 1).cum_sum().alias("trail")
    ends = pl.Series("end", frame[TIME_MS].to_numpy() + watched_ms(frame, spec))
    spans = pl.DataFrame([trail, frame[TIME_MS].alias("begin"), ends]).select(
        pl.col("begin").min().over("trail"), pl.col("end").max().over("trail")
    )
    after_first = spans["begin"] >= _midnight_ms(days.first, spec) + gap_ms
    before_last = spans["end"] <= _midnight_ms(days.last + _DAY, spec) - gap_ms
    return (after_first & before_last).to_numpy()


def _midnight_ms(day: datetime.date, spec: Spec) -> int:
    zone = zoneinfo.ZoneInfo(spec.log.timezone)
    return int(
        datetime.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000
    )


def _finish(frame: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Adds the derived columns, then drops what the filters drop."""
    for name in study.derived:
        value = evaluate(frame, study.spec.derived[name])
        frame = frame.with_columns(value.alias(name))
    kept = np.ones(frame.height, bool)
    for rule in study.keep:
        kept &= holds(frame, study.spec.filters.keep[rule])
    return frame.filter(kept)


def _sum_cells(frame: pl.DataFrame, study: Study) -> Numbers:
    """`Sums.cells` of the rows of long, whole trails."""
    bins, weights = place(
        frame["trail_position"].to_numpy(), frame["trail_length"].to_numpy(), study.bins
    )
    random = study.spec.log.random
    is_random = holds(frame, random) if random else np.zeros(frame.height, bool)
    slices = np.where(is_random, SLICES.index("random"), SLICES.index("feed"))
    groups = _groups(frame[study.spec.log.user], study.groups)
    shape = (len(SLICES), study.bins, study.groups)
    cells = np.ravel_multi_index((slices, bins, groups), shape)
    tasks = [_sum_task(cells, weights, *_outcome(frame, t), shape) for t in study.tasks]
    return np.stack(tasks)


def _sum_task(
    cells: Numbers,
    weights: Numbers,
    known: Numbers,
    positive: Numbers,
    shape: tuple[int, ...],
) -> Numbers:
    """The measures of one task [*shape, 4]; cells, weights, known, positive are [B]."""
    size = math.prod(shape)
    sums = [
        np.bincount(cells[known], minlength=size),
        np.bincount(cells[positive], minlength=size),
        np.bincount(cells[known], weights[known], minlength=size),
        np.bincount(cells[positive], weights[positive], minlength=size),
    ]  # exact: below 2**53
    return np.stack(sums, axis=-1).astype(np.int64).reshape(*shape, len(sums))


def _outcome(frame: pl.DataFrame, task: TaskSpec) -> tuple[Numbers, Numbers]:
    """(rows of the sample space with a label, those of label 1), bool [B] each."""
    label = numbers(frame, task.label)
    known = np.isfinite(label)
    if task.sample_space:
        known &= holds(frame, task.sample_space)
    return known, known & (label > 0.5)


def _groups(users: pl.Series, groups: int) -> Numbers:
    """Each row's group of users, int64 [B]."""
    users = users.fill_null("" if users.dtype == pl.String else -1)
    return bucket_of(hash_columns([users], _GROUP_SEED), groups)
