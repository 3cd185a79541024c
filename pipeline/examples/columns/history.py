"""The last events that a user engaged with before an impression began."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from feature_specs import Spec
from feature_specs.past import HistorySpec
from pipeline.arrays import Bools, Ints
from pipeline.examples.columns.evaluate import holds
from pipeline.examples.columns.past import Past
from pipeline.examples.columns.stages import Stages, Versions, add_ranges
from pipeline.examples.columns.timeline import Timeline
from pipeline.examples.columns.vector_means import mean_vectors


def add_history(
    frame: pl.DataFrame,
    spec: Spec,
    timeline: Timeline,
    versions: Versions | None = None,
) -> pl.DataFrame:
    """Adds `history_<column>` (lists, the newest end last) for `history.columns`.

    Of a column of vectors it is their mean, one vector a row.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `history` section the frame comes back as it is.
        timeline: The frame's.
        versions: Of the impressions that events change; by default there are none.
    """
    history = spec.history
    if history is None:
        return frame
    past = Past.of(timeline, timeline.users, holds(frame, history.positive))
    start = np.maximum(past.start, past.stop - history.length)
    if versions is None or not len(versions):
        made = _of_rows(frame, history, past, start)
    else:
        made = _of_versions(frame, history, timeline, versions, past, start)
    return frame.with_columns(made)


def _of_rows(
    frame: pl.DataFrame, history: HistorySpec, past: Past, start: Ints
) -> list[pl.Series]:
    """The history's columns where what is positive stays so."""
    places = pl.Series(ranges(start, past.stop))
    offsets = np.concatenate([[0], np.cumsum(past.stop - start)])
    found = []
    for column in history.columns:
        events = frame[column][past.events]
        if isinstance(events.dtype, pl.Array):
            made = mean_vectors(events, start, past.stop)
        else:
            made = lists_of(events[places], offsets)
        found.append(made.alias(f"history_{column}"))
    return found


def _of_versions(
    frame: pl.DataFrame,
    history: HistorySpec,
    timeline: Timeline,
    versions: Versions,
    past: Past,
    start: Ints,
) -> list[pl.Series]:
    """The same where events change what is known of impressions."""
    changed = _Changed.of(frame, history, timeline, versions, past)
    lengths = past.stop - start
    lengths[changed.questions] = changed.lengths
    places = _filled(changed, past, start, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    found = []
    for column in history.columns:
        values = _gathered(frame, versions, column, places)
        if isinstance(values.dtype, pl.Array):
            made = mean_vectors(values, offsets[:-1], offsets[1:])
        else:
            made = lists_of(values, offsets)
        found.append(made.alias(f"history_{column}"))
    return found


@dataclasses.dataclass(frozen=True)
class _Changed:
    """The histories that know of an impression what is not the last word on it.

    Attributes:
        questions: The rows that have them, ascending, int64 [Q].
        lengths: Of their histories, int64 [Q].
        sources: What is in these, one after the other, the newest end last: an
            impression [B] or a version [B + M], int64 [sum of the lengths].
    """

    questions: Ints
    lengths: Ints
    sources: Ints

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        history: HistorySpec,
        timeline: Timeline,
        versions: Versions,
        past: Past,
    ) -> _Changed:
        """Those of all rows; `past` is of what is positive by the last word."""
        positive = versions.evaluate(frame, lambda f: holds(f, history.positive))
        stages = Stages.of(frame, timeline, versions)
        shown = any(c in versions.values.columns for c in history.columns)
        asked, stage = _known_before_the_last(stages, positive, shown)
        questions, number = np.unique(asked, return_inverse=True)
        without = number * frame.height + stages.rows[stage]
        more = np.bincount(number, minlength=len(questions))
        start, stop = past.start[questions], past.stop[questions]
        owner, place = add_ranges(np.maximum(start, stop - history.length - more), stop)
        rows = past.events[place]
        stay = ~np.isin(owner * frame.height + rows, without)
        added = positive[stages.source[stage]]
        owner = np.concatenate([owner[stay], number[added]])
        sources = np.concatenate([rows[stay], stages.source[stage[added]]])
        rows = np.concatenate([rows[stay], stages.rows[stage[added]]])
        order = np.argsort(owner * frame.height + timeline.ranks[rows], kind="stable")
        owner, sources = owner[order], sources[order]
        lengths = np.bincount(owner, minlength=len(questions))
        after = np.cumsum(lengths)[owner] - np.arange(len(owner))  # 1 for the last
        return cls(
            questions,
            np.minimum(lengths, history.length),
            sources[after <= history.length],
        )


def _known_before_the_last(
    stages: Stages, positive: Bools, shown: bool
) -> tuple[Ints, Ints]:
    """(rows, stages) wherever a row knows a stage that is not its impression's last,
    and that changes a history: one is positive and the other not, or both are and what
    is made of events is `shown`.
    """
    inner = np.flatnonzero(~stages.is_first) - 1
    last = positive[stages.source[stages.firsts[stages.rows[inner] + 1] - 1]]
    now = positive[stages.source[inner]]
    inner = inner[(last | now) if shown else (last != now)]
    stage, asked = add_ranges(stages.seen_by[inner], stages.seen_by[inner + 1])
    return asked, inner[stage]


def _filled(changed: _Changed, past: Past, start: Ints, lengths: Ints) -> Ints:
    """What is in all histories, one after the other, as `_Changed.sources`."""
    ends = np.cumsum(lengths)
    plain = np.ones(len(lengths), bool)
    plain[changed.questions] = False
    found = np.empty(ends[-1] if len(ends) else 0, np.int64)
    places = ranges((ends - lengths)[plain], ends[plain])
    found[places] = past.events[ranges(start[plain], past.stop[plain])]
    others = changed.questions
    found[ranges((ends - lengths)[others], ends[others])] = changed.sources
    return found


def _gathered(
    frame: pl.DataFrame, versions: Versions, column: str, sources: Ints
) -> pl.Series:
    """A column's values of impressions and versions."""
    if column in versions.values.columns:
        values = pl.concat([frame[column], versions.values[column]])
        return values.gather(sources)
    later = sources >= frame.height
    rows = sources.copy()
    rows[later] = versions.rows[sources[later] - frame.height]
    return frame[column].gather(rows)


def ranges(start: Ints, stop: Ints) -> npt.NDArray[np.uint32]:
    """start[0]..stop[0]-1, start[1]..stop[1]-1, ... in one array, uint32.

    That is the type Polars gathers by; what is negative in between wraps back.
    """
    lengths = stop - start
    before = np.cumsum(lengths) - lengths
    shifts = np.repeat((start - before).astype(np.uint32), lengths)
    places: npt.NDArray[np.uint32] = np.arange(len(shifts), dtype=np.uint32) + shifts
    return places


def lists_of(values: pl.Series, offsets: Ints) -> pl.Series:
    """Lists [B] of flat values, list i from offsets[i] to offsets[i + 1]."""
    flat = values.to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat)
    return pl.Series(pl.from_arrow(lists))
