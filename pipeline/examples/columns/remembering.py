"""The end of a day: impressions become what later days need of them.

`carried + impressions -> carried`, of the users of a shard. What a later impression
would see of a user's past has the same bits whether it reads this or all his rows:
whole numbers are added in any order, and floats go on from a running sum.

Of a user, one row of `Carried.users`:

    user              his id
    rows              his impressions so far
    end_ms            the latest end of all of them, unix milliseconds
    history_<column>  of `history`: values of his newest events, the newest last
    trail_*, scope_*  of `trail`: the trail that he was on, see `columns.trails`
"""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.past import HISTORY, TRAIL_LAST, CounterSpec
from pipeline.arrays import Bools, Ints
from pipeline.examples.columns import trails
from pipeline.examples.columns.carried import (
    USER,
    VALUE,
    Carried,
    are_new,
    places,
    taken,
    users_of,
)
from pipeline.examples.columns.counters import (
    Runs,
    count_column,
    sum_column,
    values_of,
)
from pipeline.examples.columns.evaluate import holds, numbers
from pipeline.examples.columns.past import running_sums
from pipeline.examples.columns.requests import remember_sessions
from pipeline.examples.columns.stages import DatedStages, Versions
from pipeline.examples.columns.timeline import (
    TIME_MS,
    Timeline,
    known_from_ms,
    watched_ms,
)
from pipeline.examples.days import midnight_ms

USER_ROWS = "rows"
_A_DAY = datetime.timedelta(days=1)
_PLACE = "_place"


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Impressions at the end of a day.

    Attributes:
        frame: All of the users that are here [B], sorted by user, begin and item.
        timeline: The frame's.
        spec: Of the run.
        carried: What earlier days left.
        versions: Of the impressions that events change.
        folded: Which of them become part of what is carried, bool [B].
        order: The folded ones by user and by when they are known, int64 [F].
    """

    frame: pl.DataFrame
    timeline: Timeline
    spec: Spec
    carried: Carried | None
    versions: Versions
    folded: Bools
    order: Ints

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        spec: Spec,
        carried: Carried | None,
        versions: Versions,
        next_ms: int,
    ) -> _Rows:
        """The rows as they are known when the next day begins, at `next_ms`."""
        timeline, known_ms = Timeline.of(frame, spec), known_from_ms(frame, spec)
        folded = _are_over(frame, spec, timeline, next_ms)
        order = np.flatnonzero(folded)
        # By the clock: on the timeline, what ends after a user's last row has no order.
        order = order[np.lexsort((known_ms[order], timeline.users[order]))]
        return cls(frame, timeline, spec, carried, versions, folded, order)

    @property
    def users(self) -> pl.Series:
        """Each row's user [B]."""
        return self.frame[self.spec.log.user].alias(USER)


def _are_over(
    frame: pl.DataFrame, spec: Spec, timeline: Timeline, next_ms: int
) -> Bools:
    """Which impressions nothing changes any more from `next_ms` on, bool [B].

    Where events may come later, so do those that are known after one that waits for
    them: a history is in the order in which its impressions became known.
    """
    known_ms = known_from_ms(frame, spec)
    over: Bools = known_ms < next_ms
    windows = [section.window_ms for section in spec.events.values()]
    if windows:
        over &= frame[TIME_MS].to_numpy() + max(windows) < next_ms
        waiting = np.full(len(timeline.starts), np.iinfo(np.int64).max)
        np.minimum.at(waiting, timeline.users[~over], known_ms[~over])
        over &= known_ms < waiting[timeline.users]
    return over


def remember(
    frame: pl.DataFrame | None,
    spec: Spec,
    carried: Carried | None,
    day: datetime.date,
    versions: Versions | None = None,
) -> tuple[Carried, Bools | None]:
    """(what is carried beyond a day, which impressions are not in it [B]).

    Statistics and histories of other logs are not in it: their rows are elsewhere.

    Args:
        frame: Impressions with the columns that counters and the history read, sorted
            by user, begin and item; None if there are none.
        spec: Of the run.
        carried: What earlier days left of these users and of others.
        day: The last day of the run.
        versions: Of the impressions that events change; by default there are none.
    """
    if frame is None or not frame.height:
        found = carried or Carried(day=day)
        return dataclasses.replace(found, day=day), None
    next_ms = midnight_ms(day + _A_DAY, spec.log.timezone)
    rows = _Rows.of(frame, spec, carried, versions or Versions.none(), next_ms)
    matches = {counter.match for counter in spec.counters}
    found = Carried(
        day=day,
        users=_users(rows),
        counters={match: _counters(rows, match) for match in sorted(matches)},
        sessions=remember_sessions(frame, spec, carried, next_ms),
    )
    return found, ~rows.folded


# --- one row a user -------------------------------------------------------------------


def _users(rows: _Rows) -> pl.DataFrame:
    """`Carried.users` of those who are here, and of all others as they were."""
    firsts = np.flatnonzero(rows.timeline.starts)
    own = rows.users.gather(firsts)
    earlier = None if rows.carried is None else rows.carried.users
    at = users_of(rows.frame, rows.timeline.users, rows.spec, rows.carried)
    new = are_new(rows.frame, rows.carried)
    counts = np.bincount(rows.timeline.users, new, minlength=len(firsts))
    counts = counts.astype(np.int64) + taken(_of(earlier, USER_ROWS), at, 0)
    ends = rows.frame[TIME_MS].to_numpy() + watched_ms(rows.frame, rows.spec)
    latest = np.maximum.reduceat(ends, firsts)
    before = taken(_of(earlier, trails.END), at, np.iinfo(np.int64).min)
    columns = [
        own,
        pl.Series(USER_ROWS, counts, pl.Int64),
        pl.Series(trails.END, np.maximum(latest, before), pl.Int64),
    ]
    made = pl.DataFrame(columns).hstack(_histories(rows, own, at))
    made = made.hstack(_trails(rows, at))
    if earlier is None:
        return made
    others = earlier.join(own.to_frame(), on=USER, how="anti", maintain_order="left")
    return pl.concat([others.select(made.columns), made]).sort(USER)


def _of(table: pl.DataFrame | None, column: str) -> pl.Series | None:
    return None if table is None else table[column]


def _histories(rows: _Rows, own: pl.Series, at: Ints) -> list[pl.Series]:
    """The newest values of the history's columns, a list a user [U].

    Args:
        rows: Of the users.
        own: The users [U].
        at: Where each stands in what earlier days left, -1 for nowhere, int64 [U].
    """
    history, frame = rows.spec.history, rows.frame
    if history is None:
        return []
    chosen = rows.order[holds(frame, history.positive)[rows.order]]
    columns = [frame[column].gather(chosen) for column in history.columns]
    events = pl.DataFrame([pl.Series(_PLACE, rows.timeline.users[chosen]), *columns])
    known = np.flatnonzero(at >= 0)
    if rows.carried is not None and rows.carried.users is not None and len(known):
        names = {f"{HISTORY}{column}": column for column in history.columns}
        before = rows.carried.users.select(*names).rename(names)[at[known]]
        before = before.with_columns(pl.Series(_PLACE, known))
        first = pl.col(history.columns[0])
        before = before.filter(first.list.len().fill_null(0) > 0)
        before = before.explode(*names.values()).select(events.columns)
        before = before.cast(dict(events.schema))  # type: ignore[arg-type]
        events = pl.concat([before, events])
    lists = events.group_by(_PLACE, maintain_order=True).agg(
        pl.col(column).tail(history.length).alias(f"{HISTORY}{column}")
        for column in history.columns
    )
    numbered = pl.DataFrame({_PLACE: np.arange(len(own))})
    found = numbered.join(lists, on=_PLACE, how="left", maintain_order="left")
    return found.drop(_PLACE).get_columns()


def _trails(rows: _Rows, at: Ints) -> list[pl.Series]:
    """What is carried of the trail that each user was on [U]."""
    trail, frame, carried = rows.spec.trail, rows.frame, rows.carried
    if trail is None:
        return []
    found = trails.Trails.of(frame, rows.spec, rows.timeline, carried)
    firsts = np.flatnonzero(rows.timeline.starts)
    lasts = np.append(firsts[1:], frame.height) - 1
    own = found.of_rows[lasts]  # the trail of each user's last row [U]
    of_user = np.full(len(found.firsts), -1)
    of_user[own] = np.arange(len(firsts))
    inside = of_user[found.of_rows]  # each row's user if it is of such a trail [B]
    # A user who only has carried rows of trails that are over stays as he was.
    stays = ~are_new(frame, carried)[lasts] & (found.carried[own] < 0) & (at >= 0)
    earlier = None if carried is None else carried.users

    def kept(column: str, values: Ints) -> pl.Series:
        before = taken(_of(earlier, column), at, 0)
        return pl.Series(column, np.where(stays, before, values), pl.Int64)

    def total(values: Ints) -> Ints:
        added = np.zeros(len(firsts), np.int64)
        np.add.at(added, inside[inside >= 0], values[inside >= 0])
        return added

    open_rows = total((~rows.folded).astype(np.int64))
    size = found.sizes + found.known(carried, trails.ROWS)
    size -= found.known(carried, trails.OPEN_ROWS)
    begin = frame[TIME_MS].to_numpy()[found.firsts]
    begin = np.where(found.carried >= 0, found.known(carried, trails.START), begin)
    columns = [
        kept(trails.START, begin[own]),
        kept(trails.ROWS, size[own]),
        pl.Series(trails.OPEN_ROWS, np.where(stays, 0, open_rows), pl.Int64),
    ]
    lengths = trails.watched_and_length(frame, rows.spec)
    if lengths is not None:
        for column, values in zip(
            (trails.WATCHED, trails.LENGTHS), lengths, strict=True
        ):
            before = found.known(carried, column)[own]
            columns.append(kept(column, before + total(values * rows.folded)))
    columns += _scopes(rows, at, stays, lasts)
    return columns + _lasts(rows, at, stays, inside, found.carried[own])


def _scopes(rows: _Rows, at: Ints, stays: Bools, lasts: Ints) -> list[pl.Series]:
    """The scope's values of each user's last row [U]."""
    assert rows.spec.trail is not None
    found = []
    for column in rows.spec.trail.scope[1:]:
        name = trails.scope_column(column)
        values = rows.frame[column].gather(lasts)
        found.append(_where(stays, rows.carried, name, at, values).alias(name))
    return found


def _lasts(
    rows: _Rows, at: Ints, stays: Bools, inside: Ints, goes_on: Ints
) -> list[pl.Series]:
    """The values of the trail's last known impression, and whether there is one [U].

    Args:
        rows: Of the users.
        at: Where each stands in what earlier days left, int64 [U].
        stays: Whose trail has no row here, bool [U].
        inside: The user of each row that is of his trail, else -1, int64 [B].
        goes_on: Where the trail's earlier part stands in it, -1 for none, int64 [U].
    """
    assert rows.spec.trail is not None
    chosen = rows.order[inside[rows.order] >= 0]
    last = np.full(len(at), -1)
    last[inside[chosen]] = chosen  # the later ones win
    earlier = np.where(stays, at, np.where(last < 0, goes_on, -1))
    users = None if rows.carried is None else rows.carried.users
    had = taken(_of(users, trails.HAS_LAST), earlier, 0)
    has = np.where(earlier >= 0, had, last >= 0)
    found = [pl.Series(trails.HAS_LAST, has, pl.Int64)]
    for column in rows.spec.trail.last:
        name = f"{TRAIL_LAST}{column}"
        at_last = pl.Series(last).set(pl.Series(last < 0), None)
        values = rows.frame[column].gather(at_last)
        found.append(
            _where(earlier >= 0, rows.carried, name, earlier, values).alias(name)
        )
    return found


def _where(
    earlier: Bools, carried: Carried | None, name: str, at: Ints, values: pl.Series
) -> pl.Series:
    """Values [U], those of earlier days where that is so."""
    if carried is None or carried.users is None or not earlier.any():
        return values
    places_ = pl.Series(at).set(pl.Series(at < 0), None)
    before = carried.users[name].gather(places_).cast(values.dtype)
    chosen = pl.when(pl.Series(earlier)).then(before).otherwise(values)
    return pl.select(chosen).to_series()


# --- one row a user and a value -------------------------------------------------------


def _counters(rows: _Rows, match: str) -> pl.DataFrame:
    """What the counters with one `match` have come to, by `USER` and `VALUE`."""
    counters = [c for c in rows.spec.counters if c.match == match]
    table = None if rows.carried is None else rows.carried.counters.get(match)
    pairs, key = _pairs(rows, match)
    groups = pairs.select(key).unique(maintain_order=True)
    owner = places(pairs, groups, key)
    at = places(groups, table, key)
    values = [
        column
        for counter in counters
        for column in _counted(rows, counter, pairs["row"].to_numpy(), owner, table, at)
    ]
    made = groups.hstack(values)
    is_something = pl.any_horizontal(pl.col([v.name for v in values]).is_not_null())
    made = made.filter(is_something)
    if table is not None:
        others = table.join(made.select(key), on=key, how="anti", maintain_order="left")
        made = pl.concat([others.select(made.columns), made])
    return made.sort(key)


def _pairs(rows: _Rows, match: str) -> tuple[pl.DataFrame, list[str]]:
    """(each folded row with each of its values, in order; the columns of the key)."""
    if not match:
        pairs = pl.DataFrame({"row": rows.order})
        return pairs.with_columns(rows.users.gather(rows.order)), [USER]
    order = pl.DataFrame({"row": rows.order})
    values = values_of(rows.frame, match).unique(maintain_order=True)
    pairs = order.join(values, on="row", how="inner", maintain_order="left_right")
    users = rows.users.gather(pairs["row"])
    return pairs.with_columns(users), [USER, VALUE]


def _counted(
    rows: _Rows,
    counter: CounterSpec,
    of_pair: Ints,
    owner: Ints,
    table: pl.DataFrame | None,
    at: Ints,
) -> list[pl.Series]:
    """The columns of one counter, null where nothing counts [G].

    Args:
        rows: The impressions [B].
        counter: Of the spec.
        of_pair: The row of each pair, in the order in which rows are known, int64 [P].
        owner: The group of each pair, int64 [P].
        table: What earlier days left.
        at: Where each group stands in it, -1 for nowhere, int64 [G].
    """
    counts = holds(rows.frame, counter.where)
    values = np.zeros(rows.frame.height)
    if counter.measure == "mean":
        values = numbers(rows.frame, counter.value)
        counts = counts & np.isfinite(values)
    kept = counts[of_pair]
    of_pair, owner = of_pair[kept], owner[kept]
    if counter.measure == "seconds_since":
        latest = taken(_of(table, counter.name), at, _NEVER)
        np.maximum.at(latest, owner, _holds_since(rows, counter.where)[of_pair])
        return [_known(counter.name, latest, latest > _NEVER)]
    name = count_column(counter) if counter.measure == "mean" else counter.name
    number = np.bincount(owner, minlength=len(at))
    before = taken(_of(table, name), at, 0)
    found = [_known(name, number + before, number + before > 0)]
    if counter.measure == "mean":
        sums = taken(_of(table, sum_column(counter)), at, 0.0)
        total = _added(values[of_pair], owner, sums, before > 0)
        found.append(_known(sum_column(counter), total, number + before > 0))
    return found


_NEVER = np.iinfo(np.int64).min


def _holds_since(rows: _Rows, condition: str) -> Ints:
    """From when on a condition is known to hold for good, unix milliseconds [B].

    That is an impression's end, or the event that made it so; `_NEVER` where it does
    not hold in the end.
    """
    stages = DatedStages.of(known_from_ms(rows.frame, rows.spec), rows.versions)
    held = rows.versions.evaluate(rows.frame, condition, holds)
    runs = Runs.of(stages, held)
    lasting = np.flatnonzero(runs.begins & (runs.ends < 0))
    since = np.full(rows.frame.height, _NEVER)
    since[stages.rows[lasting]] = stages.known_ms[lasting]
    return since


def _known(name: str, values: np.ndarray, known: Bools) -> pl.Series:
    return pl.Series(name, values).set(pl.Series(~known), None)


def _added(
    values: np.ndarray, owner: Ints, before: np.ndarray, had: Bools
) -> np.ndarray:
    """Sums of groups [G], each value after the other, onto what they were before."""
    found = before.copy()
    if not len(values):
        return found
    order = np.argsort(owner, kind="stable")
    values, owner = values[order], owner[order]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    goes_on = starts[had[owner[starts]]]
    values[goes_on] += before[owner[goes_on]]
    lasts = np.append(starts[1:], len(owner)) - 1
    found[owner[lasts]] = running_sums(values, starts)[lasts]
    return found
