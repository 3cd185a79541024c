"""Events of files of their own -> what impressions are known for, and from when.

An event belongs to the last impression of its key that began no later than it did. It
is *joined* if it happened within the window, else *late*; *unmatched* if there is no
such impression, *repeated* if it came before. Every event is one of these, or a reject.

Events meet impressions among the user's rows. Those that do not tell their user are
first taken to their key's shard, where all impressions of it are: `find_owners`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import polars as pl

from feature_specs import Spec
from feature_specs.column_types import parse_types
from feature_specs.events import SINCE, EventsSpec
from pipeline.arrays import Ints
from pipeline.examples.columns.event_columns import (
    MS,
    ROW,
    columns_of_none,
    columns_over_time,
)
from pipeline.examples.columns.stages import Versions
from pipeline.examples.columns.timeline import TIME_MS, known_from_ms
from pipeline.examples.days import DAY
from pipeline.examples.duplicates import identity

Counts = dict[tuple[object, ...], float]

OWNER = "_owner"  # an event's user
JOINED, LATE, UNMATCHED, REPEATED = "joined", "late", "unmatched", "repeated"
# Of the unmatched: those of an impression that began later, and those of times at
# which no impression is read.
EARLY, OUTSIDE = "before_impression", "outside_days"
# Of the joined: those of several impressions of one key that began together.
SHARED = "shared_key"
_BEGIN, _TOGETHER, _NUMBER = "_begin", "_together", "_number"


@dataclasses.dataclass(frozen=True)
class Attached:
    """Impressions with what their events make of them.

    Attributes:
        frame: The impressions [B] with the columns of all events, as they are in the
            end: with every event of the window.
        versions: What these columns were before.
        counts: Where the events went.
        joined: Section -> its events that count, with their `ROW`.
    """

    frame: pl.DataFrame
    versions: Versions
    counts: Counts
    joined: Mapping[str, pl.DataFrame] = dataclasses.field(default_factory=dict)


def attach(
    frame: pl.DataFrame,
    rows: pl.DataFrame,
    events: Mapping[str, pl.DataFrame | None],
    spec: Spec,
    since_ms: int | None = None,
) -> Attached:
    """The impressions of some users with the columns made of their events.

    Args:
        frame: Impressions [B] as `shard.settle` gives them.
        rows: The rows that they were made of: copies of an impression may have keys of
            their own.
        events: Of each section the events of these users: its columns, `MS` and
            `OWNER`; None if there are none.
        spec: See `feature_specs`.
        since_ms: Earlier events are carried ones, which are not counted again.
    """
    counts: Counts = {}
    every: dict[str, pl.DataFrame] = {}
    changes = []
    for name, section in spec.events.items():
        found = events.get(name)
        if found is None:
            user = frame.schema[spec.log.user]
            found = no_events(section, user, spec.log.timezone)
        every[name], told = _joined(frame, rows, found, section, spec, since_ms)
        counts |= told
        changes.append(_Changes.of(every[name], section))
    if not changes:
        return Attached(frame, Versions.none(), counts)
    frame, versions = _added(frame, changes, known_from_ms(frame, spec))
    return Attached(frame, versions, counts, every)


def no_events(section: EventsSpec, user: pl.DataType, zone: str) -> pl.DataFrame:
    """No events, with the columns that they have on their way.

    Args:
        section: Of the spec.
        user: The type of users.
        zone: Of the log.
    """
    types = parse_types(section.types, zone)
    schema = {column: kind.polars for column, kind in types.items()}
    return pl.DataFrame(schema={**schema, MS: pl.Int64(), OWNER: user})


def count_alone(events: pl.DataFrame, section: EventsSpec) -> Counts:
    """What becomes of the events of users without any impression."""
    once, repeated = _once(events, section)
    return _told(section, {REPEATED: repeated, UNMATCHED: once.height})


def find_owners(
    events: pl.DataFrame, impressions: pl.DataFrame | None, section: EventsSpec
) -> tuple[pl.DataFrame, Counts]:
    """(the events of a key's shard with their `OWNER`, counts of those without one).

    Args:
        events: With `MS`.
        impressions: `impression_keys` of the same shard; None if there are none.
        section: Of the spec.
    """
    once, repeated = _once(events, section)
    key = list(section.key)
    if impressions is None:
        counts = {REPEATED: repeated, UNMATCHED: once.height}
        return once.clear(), _told(section, counts)
    begins = impressions.group_by(*key, TIME_MS).agg(pl.col(OWNER).min())
    begins = begins.rename({TIME_MS: _BEGIN})
    before = _last_before(once, begins, key)
    # One that began later takes the event too, so that its user counts it as early.
    later = _match(once, begins, key, "forward")[OWNER]
    found = before.with_columns(pl.coalesce(OWNER, later.alias("_later")))
    found = found.select(*once.columns, OWNER)
    lost = found[OWNER].is_null()
    counts = {REPEATED: repeated, UNMATCHED: int(lost.sum())}
    return found.filter(~lost), _told(section, counts)


def impression_keys(
    rows: pl.DataFrame, section: EventsSpec, spec: Spec
) -> pl.DataFrame:
    """What `find_owners` needs of rows of the log: key, `TIME_MS` and `OWNER`."""
    owner = pl.col(spec.log.user).alias(OWNER)
    return rows.select(*section.key, TIME_MS, owner).drop_nulls().unique()


# --- which impression an event is of --------------------------------------------------


def _joined(
    frame: pl.DataFrame,
    rows: pl.DataFrame,
    events: pl.DataFrame,
    section: EventsSpec,
    spec: Spec,
    since_ms: int | None,
) -> tuple[pl.DataFrame, Counts]:
    """(the events that count, with `ROW`, in order; where all went)."""
    once, _ = _once(events, section)
    key = [*section.key, OWNER]
    begins = _begins(frame, rows, once, section, spec)
    found = _last_before(once, begins, key)
    since = pl.col(MS) - pl.col(_BEGIN)
    in_time = pl.col(ROW).is_not_null() & (since <= section.window_ms)
    joined = found.filter(in_time)
    is_read = pl.lit(True) if since_ms is None else pl.col(MS) >= since_ms
    read = found.filter(is_read)
    lost = read.filter(pl.col(ROW).is_null())
    known = begins.select(key).unique()
    counted = joined.filter(is_read)
    counts = _told(
        section,
        {
            REPEATED: events.filter(is_read).height - read.height,
            UNMATCHED: lost.height,
            EARLY: lost.join(known, on=key, how="semi").height,
            LATE: read.height - lost.height - counted.height,
            JOINED: counted.height,
            SHARED: counted.filter(pl.col(_TOGETHER) > 1).height,
        },
    )
    days = frame[DAY].gather(counted[ROW]).value_counts()
    for day, number in days.iter_rows():
        counts["event_day", section.name, f"{day:%Y%m%d}"] = number
    joined = joined.with_columns((since / 1_000).alias(SINCE))
    return joined.sort(ROW, MS, *sorted(section.types), nulls_last=True), counts


def _once(events: pl.DataFrame, section: EventsSpec) -> tuple[pl.DataFrame, int]:
    """(each event once, how many rows told of it again).

    Of several with one id the first by time stays, and among these the smallest by its
    columns: what is known early does not change later.
    """
    columns = [MS, *sorted(section.types)]
    ordered = events.sort(columns, nulls_last=True)
    again = ordered.select(pl.struct(columns).is_duplicated()).to_series()
    if again.any():
        ordered = ordered.unique(columns, keep="first", maintain_order=True)
    if section.id:
        of_one = pl.struct(_identity(ordered, section)).is_first_distinct()
        ordered = ordered.filter(of_one | pl.col(section.id).is_null())
    return ordered, events.height - ordered.height


def _identity(events: pl.DataFrame, section: EventsSpec) -> list[str]:
    """Columns in which events that are told again agree; of one shard."""
    owner = [OWNER] if OWNER in events.columns else []
    return list(dict.fromkeys([section.id, *section.key, *owner]))


def _begins(
    frame: pl.DataFrame,
    rows: pl.DataFrame,
    events: pl.DataFrame,
    section: EventsSpec,
    spec: Spec,
) -> pl.DataFrame:
    """Key, `OWNER` and `_BEGIN` of the impressions that events may be of, each once,
    with their `ROW`, and how many of them there are `_TOGETHER`."""
    asked = events.select(section.key).drop_nulls().unique()
    owner = pl.col(spec.log.user).alias(OWNER)
    own = list(dict.fromkeys([*section.key, *identity(spec)]))
    found = rows.join(asked, on=list(section.key), how="semi").select(own).unique()
    impressions = frame.select(*identity(spec), pl.int_range(pl.len()).alias(ROW))
    found = found.join(impressions, on=identity(spec), how="inner")
    found = found.with_columns(owner)
    return found.group_by([*section.key, OWNER, pl.col(TIME_MS).alias(_BEGIN)]).agg(
        pl.col(ROW).min().cast(pl.Int64), pl.col(ROW).n_unique().alias(_TOGETHER)
    )


def _last_before(
    events: pl.DataFrame, begins: pl.DataFrame, key: list[str]
) -> pl.DataFrame:
    """The events in their order, with the columns of their impression, or nulls."""
    return _match(events, begins, key, "backward")


def _match(
    events: pl.DataFrame, begins: pl.DataFrame, key: list[str], strategy: str
) -> pl.DataFrame:
    """The events, in order, each with the nearest impression of its key.

    Args:
        events: With the key's columns and `MS`.
        begins: With the key's columns and `_BEGIN`.
        key: The columns.
        strategy: `backward` looks for begins up to the event, `forward` from it on.
    """
    numbered = events.with_columns(pl.int_range(pl.len()).alias(_NUMBER))
    whole = numbered.drop_nulls(key).sort(MS)
    kept = begins.sort(_BEGIN).with_columns(pl.col(_BEGIN).alias("_at"))
    found = whole.join_asof(
        kept,
        left_on=MS,
        right_on="_at",
        by=key,
        strategy=strategy,  # type: ignore[arg-type]
        check_sortedness=False,
    )
    made = [name for name in begins.columns if name not in key]
    return numbered.join(
        found.select(_NUMBER, *made), on=_NUMBER, how="left", maintain_order="left"
    ).drop(_NUMBER)


def _told(section: EventsSpec, counts: Mapping[str, int]) -> Counts:
    return {("event", section.name, what): n for what, n in counts.items() if n}


# --- what impressions are known for ---------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Changes:
    """What the events of one section make of impressions.

    Attributes:
        moments: `ROW`, `MS` and the section's columns, in order.
        none: The columns of an impression without events, one row.
    """

    moments: pl.DataFrame
    none: pl.DataFrame

    @classmethod
    def of(cls, events: pl.DataFrame, section: EventsSpec) -> _Changes:
        """The changes by events that count, in order."""
        columns = section.aggregated
        return cls(columns_over_time(events, columns), columns_of_none(events, columns))


def _added(
    frame: pl.DataFrame, changes: list[_Changes], known_from: Ints
) -> tuple[pl.DataFrame, Versions]:
    """(the impressions with all columns, what these were before the last event)."""
    moments = pl.concat([c.moments.select(ROW, MS) for c in changes]).unique()
    # Nothing of an impression is known before its end.
    rows = moments[ROW].unique().to_numpy()
    first = pl.DataFrame({ROW: rows, MS: known_from[rows]})
    floor = pl.Series("_from", known_from[moments[ROW].to_numpy()])
    moments = moments.with_columns(pl.max_horizontal(MS, floor))
    moments = pl.concat([moments, first]).unique().sort(ROW, MS)
    of_row, at = (moments[name].to_numpy() for name in (ROW, MS))
    values = pl.DataFrame(
        column for c in changes for column in _as_of(c, of_row, at).iter_columns()
    )
    is_last = np.append(np.diff(of_row) != 0, True)[: len(of_row)]
    frame = frame.with_columns(
        _in_the_end(changes, frame.height, values, of_row, is_last)
    )
    lasting = is_last & (np.diff(of_row, prepend=-1) != 0)
    kept = pl.Series(~lasting)
    return frame, Versions(of_row[~lasting], at[~lasting], values.filter(kept))


def _as_of(changes: _Changes, rows: Ints, at: Ints) -> pl.DataFrame:
    """A section's columns of impressions at moments [?]."""
    known = changes.moments
    owners, times = known[ROW].to_numpy(), known[MS].to_numpy()
    first = min(times.min(initial=at.max(initial=0)), at.min(initial=0))
    span = max(times.max(initial=0), at.max(initial=0)) - first + 1
    axis = owners * span + times - first
    place = np.searchsorted(axis, rows * span + at - first, side="right") - 1
    owners = np.append(owners, -1)
    place = np.where(owners[place] == rows, place, known.height)  # none so far
    columns = pl.concat([known.drop(ROW, MS), changes.none])
    return columns[place]


def _in_the_end(
    changes: list[_Changes],
    height: int,
    values: pl.DataFrame,
    rows: Ints,
    is_last: np.ndarray,
) -> list[pl.Series]:
    """The columns of all impressions [B], with every event."""
    none = pl.DataFrame(column for c in changes for column in c.none.iter_columns())
    places = np.full(height, values.height)
    places[rows[is_last]] = np.flatnonzero(is_last)
    return pl.concat([values, none])[places].get_columns()
