"""Watch trails: stretches of watching without a long silence (SFV sec. 4.1).

They are computed over all readable impressions, before any filter, and do not care for
midnight. Which columns there are, and which of them know the whole trail, is in
`feature_specs.past.TRAIL_COLUMNS`; the others know what was known when the impression
began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import TRAIL_COLUMNS, TRAIL_LAST
from pipeline.arrays import Bools, Ints, Numbers
from pipeline.examples.columns.carried import Carried, taken, users_of
from pipeline.examples.columns.past import Before, Past
from pipeline.examples.columns.stages import Stages, Versions
from pipeline.examples.columns.timeline import (
    TIME_MS,
    Timeline,
    milliseconds,
    watched_ms,
)

# Of the trail that a user was on at the end of a day, in `Carried.users`: when it
# began, its impressions, those of them that are carried as rows, and the watched and
# whole milliseconds of the others.
START, ROWS, OPEN_ROWS = "trail_start_ms", "trail_rows", "trail_open_rows"
WATCHED, LENGTHS = "trail_watched_ms", "trail_length_ms"
END = "end_ms"  # the latest end of all the user's impressions
HAS_LAST = "trail_has_last"  # whether the outcome of one of the trail is known


def scope_column(column: str) -> str:
    """The column of `Carried.users` with a scope's value in the user's last row."""
    return f"scope_{column}"


@dataclasses.dataclass(frozen=True)
class Trails:
    """T trails of impressions [B], sorted as these are.

    Attributes:
        of_rows: Each row's trail, int64 [B].
        firsts: First row of each trail, int64 [T].
        carried: Where what is carried of a trail stands in `Carried.users`; -1 for a
            trail that begins among the rows, int64 [T].
    """

    of_rows: Ints
    firsts: Ints
    carried: Ints

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        spec: Spec,
        timeline: Timeline,
        carried: Carried | None = None,
    ) -> Trails:
        """The trails of impressions.

        Those of carried rows that are over are one trail a user; nobody asks for it.
        """
        users = users_of(frame, timeline.users, spec, carried)
        begins = _begins_trail(frame, spec, timeline, carried, users)
        of_rows = np.cumsum(begins) - 1
        firsts = np.flatnonzero(begins)
        goes_on = np.full(len(firsts), -1)
        known = np.flatnonzero(users >= 0)
        if carried is not None and len(known):
            new = _first_new(frame, timeline, carried)[known]
            is_open = taken(_column(carried, OPEN_ROWS), users[known], 0) > 0
            # A trail with rows that are carried begins before the first new one.
            at = np.where(is_open, new - 1, np.minimum(new, frame.height - 1))
            goes = is_open | _continues(frame, spec, carried, users, known, new)
            goes_on[of_rows[at[goes]]] = users[known[goes]]
        return cls(of_rows, firsts, goes_on)

    @property
    def sizes(self) -> Ints:
        """Rows of each trail that are here, int64 [T]."""
        sizes: Ints = np.diff(self.firsts, append=len(self.of_rows))
        return sizes

    def known(self, carried: Carried | None, column: str) -> Ints:
        """What is carried of each trail, 0 where nothing is, int64 [T]."""
        return taken(_column(carried, column), self.carried, 0)


def add_trails(
    frame: pl.DataFrame,
    spec: Spec,
    timeline: Timeline,
    versions: Versions | None = None,
    carried: Carried | None = None,
) -> pl.DataFrame:
    """Adds the columns of the trail.

    They are those of `TRAIL_COLUMNS` whose needs the spec has, and
    `trail_last_<column>` (of the trail's last known impression, for each of
    `trail.last`).

    Args:
        frame: Impressions [B], sorted by user, begin and item, without duplicates.
        spec: Without a `trail` section the frame comes back as it is.
        timeline: The frame's.
        versions: Of the impressions that events change; by default there are none.
        carried: What earlier days left; its rows get values that mean nothing.
    """
    if spec.trail is None:
        return frame
    trails = Trails.of(frame, spec, timeline, carried)
    past = Past.of(timeline, trails.of_rows, np.ones(frame.height, bool))
    last = _last(frame, timeline, past, versions, trails, carried)
    found: dict[str, Numbers | pl.Series] = {
        **_positions(frame, trails, carried),
        **_watched_shares(frame, spec, past, trails, carried),
    }
    return frame.with_columns(
        *(
            pl.Series(name, found[name], column.dtype)
            for name, column in TRAIL_COLUMNS.items()
            if name in found
        ),
        *(last(name).alias(f"{TRAIL_LAST}{name}") for name in spec.trail.last),
    )


def _last(
    frame: pl.DataFrame,
    timeline: Timeline,
    past: Past,
    versions: Versions | None,
    trails: Trails,
    carried: Carried | None,
) -> Callable[[str], pl.Series]:
    """Gives a column's values in the last known impressions, as they are known."""
    rows = past.last
    exists = pl.Series(rows >= 0)
    places = pl.Series(rows).set(~exists, None)
    has_earlier = trails.known(carried, HAS_LAST)[trails.of_rows] > 0
    earlier = np.where((rows < 0) & has_earlier, trails.carried[trails.of_rows], -1)
    known: pl.Series | None = None
    if versions is not None and len(versions):
        stages = Stages.of(frame, timeline, versions)
        sources = stages.at(np.maximum(rows, 0), np.arange(len(rows)))
        known = pl.Series(sources).set(~exists, None)

    def values(name: str) -> pl.Series:
        if known is None or versions is None or name not in versions.values.columns:
            found = frame[name].gather(places)
        else:
            found = pl.concat([frame[name], versions.values[name]]).gather(known)
        return _filled(found, _column(carried, f"{TRAIL_LAST}{name}"), earlier)

    return values


def _filled(found: pl.Series, earlier: pl.Series | None, places: Ints) -> pl.Series:
    """Values [B], those of earlier days at places that are not -1."""
    if earlier is None or not (places >= 0).any():
        return found
    from_earlier = pl.Series(places).set(pl.Series(places < 0), None)
    other = earlier.gather(from_earlier).cast(found.dtype)
    is_earlier = pl.Series(places >= 0)
    return pl.select(pl.when(is_earlier).then(other).otherwise(found)).to_series()


def _begins_trail(
    frame: pl.DataFrame,
    spec: Spec,
    timeline: Timeline,
    carried: Carried | None,
    users: Ints,
) -> Bools:
    """Where a new trail begins, bool [B]: a new user, a new scope, or a long silence.

    Silence is measured from the latest end of all the user's earlier impressions: a
    long video that still runs is no silence.
    """
    assert spec.trail is not None
    # What ends on the frame's days is carried as a row: no sum needs to tell of it.
    latest_end = np.maximum.accumulate(timeline.ends)
    silence_ms = timeline.begins[1:] - latest_end[:-1]
    begins_trail = timeline.starts
    begins_trail[1:] |= silence_ms > _gap_ms(spec)
    for column in spec.trail.scope[1:]:
        value = pl.col(column)
        changed = frame.select(value.ne_missing(value.shift())).to_series().to_numpy()
        begins_trail[1:] |= changed[1:]
    known = np.flatnonzero(users >= 0)
    if carried is None or not len(known):
        return begins_trail
    new = _first_new(frame, timeline, carried)[known]
    is_open = taken(_column(carried, OPEN_ROWS), users[known], 0)
    goes_on = _continues(frame, spec, carried, users, known, new)
    begins_trail[~carried.are_new(frame)] = False
    begins_trail[timeline.starts] = True
    begins_trail[(new - is_open)[is_open > 0]] = True
    there = new < _ends_of_users(timeline)[known]
    begins_trail[new[there]] = ~(goes_on & (is_open > 0))[there]
    return begins_trail


def _gap_ms(spec: Spec) -> float:
    assert spec.trail is not None
    return spec.trail.gap_minutes * 60_000


def _first_new(frame: pl.DataFrame, timeline: Timeline, carried: Carried) -> Ints:
    """Each user's first row that is not carried, or the one after his last, [U]."""
    firsts = np.flatnonzero(timeline.starts)
    old = np.bincount(
        timeline.users, ~carried.are_new(frame), minlength=len(firsts)
    ).astype(np.int64)
    return firsts + old


def _ends_of_users(timeline: Timeline) -> Ints:
    """The row after each user's last one, int64 [U]."""
    firsts = np.flatnonzero(timeline.starts)
    return np.append(firsts[1:], len(timeline.users))


def _continues(
    frame: pl.DataFrame,
    spec: Spec,
    carried: Carried,
    users: Ints,
    known: Ints,
    new: Ints,
) -> Bools:
    """Whether the trail of known users goes on with their first new row, bool [K].

    Args:
        frame: Impressions [B].
        spec: Of the run.
        carried: Of the users.
        users: Where each stands in it, int64 [U].
        known: Those that do, int64 [K].
        new: Their first new row, or the one after their last, int64 [K].
    """
    assert spec.trail is not None and carried.users is not None
    numbers = frame[spec.log.user].rle_id().to_numpy()
    row = np.minimum(new, frame.height - 1)
    goes_on: Bools = (new < frame.height) & (numbers[row] == known)
    end_ms = taken(_column(carried, END), users[known], 0)
    begin_ms = frame[TIME_MS].to_numpy()[row]
    goes_on &= begin_ms - end_ms <= _gap_ms(spec)
    for column in spec.trail.scope[1:]:
        before = carried.users[scope_column(column)].gather(users[known])
        same = before.eq_missing(frame[column].gather(row)).to_numpy()
        goes_on &= same
    return goes_on


def _column(carried: Carried | None, name: str) -> pl.Series | None:
    if carried is None or carried.users is None:
        return None
    return carried.users[name]


def _positions(
    frame: pl.DataFrame, trails: Trails, carried: Carried | None
) -> dict[str, Numbers]:
    """Where each impression stands in its trail; seconds are since its first begin."""
    before = trails.known(carried, ROWS) - trails.known(carried, OPEN_ROWS)  # [T]
    begins = frame[TIME_MS].to_numpy()
    starts = begins[trails.firsts]
    earlier = trails.known(carried, START)
    starts = np.where(trails.carried >= 0, earlier, starts)
    first = trails.firsts[trails.of_rows]  # [B]
    position = np.arange(len(first)) - first + 1 + before[trails.of_rows]
    length = (trails.sizes + before)[trails.of_rows]
    return {
        "trail_position": position,
        "trail_seconds": (begins - starts[trails.of_rows]) / 1000,
        "trail_length": length,
        "trail_relative": position / length,
    }


def _watched_shares(
    frame: pl.DataFrame,
    spec: Spec,
    past: Past,
    trails: Trails,
    carried: Carried | None,
) -> dict[str, pl.Series]:
    """Of the lengths of the trail's known impressions the share watched.

    One of which the watch or the length is missing counts in neither sum. Null if there
    are no others; no column without both lengths.
    """
    found = watched_and_length(frame, spec)
    if found is None:
        return {}
    sums = []
    for values, column in zip(found, (WATCHED, LENGTHS), strict=True):
        before = None
        if carried is not None:
            earlier = trails.known(carried, column)
            goes_on = (trails.carried >= 0)[trails.of_rows]
            before = Before(goes_on, earlier[trails.of_rows])
        sums.append(past.sums(values, before))
    share = pl.Series(sums[0] / np.maximum(sums[1], 1))
    return {"trail_watched_share": share.set(pl.Series(sums[1] == 0), None)}


def watched_and_length(frame: pl.DataFrame, spec: Spec) -> tuple[Ints, Ints] | None:
    """Milliseconds watched, and of the video, 0 where one of them is missing [B].

    None where the spec names one of the two only.
    """
    time = spec.log.time
    if time.watched is None or time.length is None:
        return None
    told = [frame[duration.column] for duration in (time.watched, time.length)]
    known = ~(told[0].is_null() | told[1].is_null()).to_numpy()
    length = np.where(known, milliseconds(frame, time.length, spec), 0)
    return np.minimum(watched_ms(frame, spec), length), length
