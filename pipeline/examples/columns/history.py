"""The last events that a user engaged with before an impression began."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from feature_specs import Spec
from feature_specs.past import HISTORY, HistorySpec
from pipeline.arrays import Bools, Ints
from pipeline.examples.columns.carried import Carried, users_of
from pipeline.examples.columns.evaluate import holds
from pipeline.examples.columns.past import Past
from pipeline.examples.columns.stages import Stages, Versions, add_ranges
from pipeline.examples.columns.timeline import Timeline
from pipeline.examples.columns.vector_means import mean_vectors

_AT_ONCE = 20_000  # rows whose histories are mended together


def add_history(
    frame: pl.DataFrame,
    spec: Spec,
    timeline: Timeline,
    versions: Versions | None = None,
    carried: Carried | None = None,
) -> pl.DataFrame:
    """Adds `history_<column>` (lists, the newest end last) for `history.columns`.

    Of a column of vectors it is their mean, one vector a row.

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `history` section the frame comes back as it is.
        timeline: The frame's.
        versions: Of the impressions that events change; by default there are none.
        carried: What earlier days left: lists that go before those of the rows.
    """
    history = spec.history
    if history is None:
        return frame
    past = Past.of(timeline, timeline.users, holds(frame, history.positive))
    start = np.maximum(past.start, past.stop - history.length)
    known = _Stretches(past.events, start, past.stop)
    if versions is None or not len(versions):
        versions = Versions.none()
    else:
        known = _of_versions(frame, history, timeline, versions, past, start)
    earlier = None
    if carried is not None and carried.users is not None and carried.users.height:
        users = users_of(frame, timeline.users, spec, carried)[timeline.users]
        earlier = _Earlier(carried.users, users)
    return frame.with_columns(
        _column(frame, versions, column, known, earlier, history)
        for column in history.columns
    )


class _Stretches(NamedTuple):
    """What the history of each impression [B] is, the newest end last.

    Attributes:
        events: Impressions [B] or versions [B + M], int [E].
        start: Position of each history's first event, int64 [B].
        stop: Position after its last one, int64 [B].
    """

    events: npt.NDArray[Any]
    start: Ints
    stop: Ints


class _Earlier(NamedTuple):
    """The histories that earlier days left.

    Attributes:
        lists: `Carried.users`.
        users: Where each impression's user stands in it, -1 for nowhere, int64 [B].
    """

    lists: pl.DataFrame
    users: Ints


def _column(
    frame: pl.DataFrame,
    versions: Versions,
    column: str,
    known: _Stretches,
    earlier: _Earlier | None,
    history: HistorySpec,
) -> pl.Series:
    """The history of one column [B]."""
    values = _gathered(frame, versions, column, pl.Series(known.events))
    start, stop = known.start, known.stop
    if earlier is not None:
        values, start, stop = _after(values, start, stop, column, earlier, history)
    if isinstance(values.dtype, pl.Array):
        made = mean_vectors(values, start, stop)
    else:
        offsets = np.concatenate([[0], np.cumsum(stop - start)])
        made = lists_of(values[pl.Series(ranges(start, stop))], offsets)
    return made.alias(f"{HISTORY}{column}")


def _after(
    values: pl.Series,
    start: Ints,
    stop: Ints,
    column: str,
    earlier: _Earlier,
    history: HistorySpec,
) -> tuple[pl.Series, Ints, Ints]:
    """The values and stretches that begin with what earlier days left."""
    lists = earlier.lists[f"{HISTORY}{column}"]
    sizes = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    ends, users = np.cumsum(sizes), earlier.users
    size = np.where(users >= 0, sizes[users], 0)
    end = np.where(users >= 0, ends[users], 0)
    begin = end - np.minimum(size, history.length - (stop - start))
    # Each row takes some of the earlier lists' values, then some of the frame's.
    lengths = np.stack([end - begin, stop - start], axis=1).ravel()
    firsts = np.stack([begin, ends[-1] + start], axis=1).ravel()
    places = pl.Series(ranges(firsts, firsts + lengths))
    flat = lists.filter(pl.Series(sizes > 0)).explode().cast(values.dtype)
    both = pl.concat([flat.alias(column), values.alias(column)])
    edges = np.concatenate([[0], np.cumsum(lengths)[1::2]])
    return both.gather(places), edges[:-1], edges[1:]


def _of_versions(
    frame: pl.DataFrame,
    history: HistorySpec,
    timeline: Timeline,
    versions: Versions,
    past: Past,
    start: Ints,
) -> _Stretches:
    """The histories where events change what is known of impressions."""
    changed = _Changed.of(frame, history, timeline, versions, past)
    lengths = past.stop - start
    lengths[changed.questions] = changed.lengths
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return _Stretches(_filled(changed, past, start, lengths), edges[:-1], edges[1:])


@dataclasses.dataclass(frozen=True)
class _Changed:
    """The histories that know of an impression what is not the last word on it.

    Attributes:
        questions: The rows that have them, ascending, int64 [Q].
        lengths: Of their histories, int64 [Q].
        sources: What is in these, one after the other, the newest end last: an
            impression [B] or a version [B + M], uint32 [sum of the lengths].
    """

    questions: Ints
    lengths: Ints
    sources: npt.NDArray[np.uint32]

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
        positive = versions.evaluate(frame, history.positive, holds)
        stages = Stages.of(frame, timeline, versions)
        shown = any(c in versions.values.columns for c in history.columns)
        asked, stage = _known_before_the_last(stages, positive, shown)
        order = np.argsort(asked, kind="stable")
        asked, stage = asked[order], stage[order]
        other = _Other(
            stages.rows[stage], stages.source[stage], positive[stages.source[stage]]
        )
        edges = np.searchsorted(asked, np.arange(0, frame.height + _AT_ONCE, _AT_ONCE))
        parts = [
            _changed(asked[some], other.of(some), timeline.ranks, past, history.length)
            for some in map(slice, edges[:-1], edges[1:])
        ]
        return cls(*(np.concatenate(found) for found in zip(*parts, strict=True)))


class _Other(NamedTuple):
    """Stages [?] that histories know instead of their impressions' last ones.

    Attributes:
        rows: The impression, int64 [?].
        sources: As `_Changed.sources`, int64 [?].
        positive: Whether the stage is in the history, bool [?].
    """

    rows: Ints
    sources: Ints
    positive: Bools

    def of(self, some: slice) -> _Other:
        """Some of them."""
        return _Other(self.rows[some], self.sources[some], self.positive[some])


def _changed(
    asked: Ints, other: _Other, ranks: Ints, past: Past, longest: int
) -> tuple[Ints, Ints, npt.NDArray[np.uint32]]:
    """`_Changed` of the rows that ask for other stages, which are ascending [?]."""
    height = len(ranks)
    questions, number = np.unique(asked, return_inverse=True)
    more = np.bincount(number, minlength=len(questions))
    start, stop = past.start[questions], past.stop[questions]
    owner, place = add_ranges(np.maximum(start, stop - longest - more), stop)
    sources = past.events[place]
    keys = owner * height + ranks[sources]  # ascending
    ranked = number * height + ranks[other.rows]
    at = np.searchsorted(keys, ranked)
    found = at < len(keys)
    found[found] = keys[at[found]] == ranked[found]
    stay = np.ones(len(keys), bool)
    stay[at[found]] = False
    keys, owner, sources = keys[stay], owner[stay], sources[stay]
    chosen = np.flatnonzero(other.positive)
    chosen = chosen[np.argsort(ranked[chosen], kind="stable")]
    at = np.searchsorted(keys, ranked[chosen])
    sources = np.insert(sources, at, other.sources[chosen])
    owner = np.insert(owner, at, number[chosen])
    lengths = np.bincount(owner, minlength=len(questions))
    after = np.cumsum(lengths)[owner] - np.arange(len(owner))  # 1 for the last
    kept = sources[after <= longest].astype(np.uint32)
    return questions, np.minimum(lengths, longest), kept


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


def _filled(
    changed: _Changed, past: Past, start: Ints, lengths: Ints
) -> npt.NDArray[np.uint32]:
    """What is in all histories, one after the other, as `_Changed.sources`."""
    ends = np.cumsum(lengths)
    plain = np.ones(len(lengths), bool)
    plain[changed.questions] = False
    found = np.empty(ends[-1] if len(ends) else 0, np.uint32)
    places = ranges((ends - lengths)[plain], ends[plain])
    found[places] = past.events[ranges(start[plain], past.stop[plain])]
    others = changed.questions
    found[ranges((ends - lengths)[others], ends[others])] = changed.sources
    return found


def _gathered(
    frame: pl.DataFrame, versions: Versions, column: str, sources: pl.Series
) -> pl.Series:
    """A column's values of impressions and versions."""
    values = frame[column]
    if not len(versions):
        return values.gather(sources)
    if column in versions.values.columns:
        later = versions.values[column]
    else:
        later = values.gather(versions.rows)
    return pl.concat([values, later]).gather(sources)


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
