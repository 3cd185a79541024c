"""Which table is the log, which column its user and its item, what is joined to it, and
which tables hold events of its impressions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pipeline.proposing.columns import Column, columns_of, mean_of, named, words
from pipeline.proposing.errors import ProposalError
from pipeline.proposing.guess_outcomes import BAD, GOOD, is_outcome_name, is_total_name
from pipeline.proposing.guess_time import TimeGuess, guess_time, shifted_time
from pipeline.proposing.sampling import Sample

# Names of columns, the likeliest first; those that end in id before the bare words.
_USER = words(
    "user_id uid userid member_id viewer_id account_id profile_id visitor_id "
    "customer_id device_id person_id user member viewer account profile visitor "
    "customer person u"
)
_ITEM = words(
    "video_id item_id movie_id photo_id clip_id content_id vid post_id note_id iid "
    "media_id article_id product_id track_id song_id episode_id doc_id video item "
    "movie photo clip content post note article product track song episode i"
)
_IMPRESSION = words("impression_id imp_id exposure_id impression view_id show_id")
_REQUEST = words(
    "request_id req_id requestid session_id sessionid visit_id page_view_id "
    "pageview_id request session visit"
)
_ACTION = words(
    "action event event_type action_type event_name engagement type kind name "
    "activity interaction"
)
_EVENT_ID = words("event_id eventid event_uuid uuid id")
_RANDOM = words("is_rand is_random random is_explore explore is_exploration")
_UNIQUE, _MOSTLY_UNIQUE = 0.99, 0.9
_FEW_VALUES = 50  # what has no more is a surface or a place, and names nothing
_COVERED = 0.05  # of a side file that is sampled only; a whole one must cover half
_MOST_ACTIONS = 50
_MOSTLY = 0.4  # of a side file's columns count what users did: it is a summary


@dataclasses.dataclass(frozen=True)
class Look:
    """A table, a sample of it, and what its columns are."""

    sample: Sample
    columns: Mapping[str, Column]
    time: TimeGuess | None

    @classmethod
    def at(cls, sample: Sample) -> Look:
        columns = columns_of(sample)
        return cls(sample, columns, guess_time(columns.values()))

    @property
    def name(self) -> str:
        """Of the table."""
        return self.sample.table.name


@dataclasses.dataclass(frozen=True)
class JoinGuess:
    """A side file and its key.

    Attributes:
        look: The side file.
        key: Column in the log and in the file.
        totals: Its columns that count what users did, where most of them do.
        covered: Share of the log's sampled keys found in its sample.
    """

    look: Look
    key: str
    totals: tuple[str, ...]
    covered: float


@dataclasses.dataclass(frozen=True)
class EventsGuess:
    """Events apart from the log.

    Attributes:
        look: Their table.
        key: Columns that name the impression.
        action: The column that says what happened.
        actions: Its values, the commonest first.
        id: Column that names the event; "" if none does.
    """

    look: Look
    key: tuple[str, ...]
    action: str
    actions: tuple[str, ...]
    id: str


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which table and column plays which role.

    Attributes:
        log: The impressions.
        time: Of the log.
        user: Its column.
        item: The same.
        is_sure: Whether the names of user and item say so.
        impression: Column that names the impression; "" if none does.
        request: Column that names the request or the session; "" if none does.
        random: Column that says that the video was drawn at random; "" if none does.
        joins: Side files.
        events: Tables of events.
        others: Tables without a role -> why.
    """

    log: Look
    time: TimeGuess
    user: str
    item: str
    is_sure: bool
    impression: str
    request: str
    random: str
    joins: tuple[JoinGuess, ...]
    events: tuple[EventsGuess, ...]
    others: Mapping[str, str]


def guess_roles(samples: Sequence[Sample]) -> Roles:
    """The roles of some tables.

    Raises:
        ProposalError: No table has a user, an item and a time.
    """
    looks = [Look.at(sample) for sample in samples if sample.rows.height]
    found = [(look, ids) for look in looks if (ids := _ids(look))]
    if not found:
        found = [(look, ids) for look in looks if (ids := _made_up_ids(look))]
    if not found:
        raise ProposalError(_no_log(looks))
    found.sort(key=lambda one: (-_like_a_log(one[0]), -one[0].sample.row_count))
    log, (user, item, time, is_sure) = found[0]
    impression = named(log.columns.values(), *_IMPRESSION)
    request = named(log.columns.values(), *_REQUEST)
    random = named(log.columns.values(), *_RANDOM)
    joins, events, others = [], [], {}
    for look in looks:
        if look is log:
            continue
        event = _events(look, log, user, item, impression)
        join = None if event else _join(look, log)
        if event:
            events.append(event)
        elif join:
            joins.append(join)
        else:
            others[look.name] = _why_nothing(look, log)
    return Roles(
        log=dataclasses.replace(log, time=time),
        time=time,
        user=user,
        item=item,
        is_sure=is_sure,
        impression=impression.name if impression else "",
        request=request.name if request and _is_id(request) else "",
        random=random.name if random and random.is_flag else "",
        joins=tuple(joins),
        events=tuple(events),
        others=others,
    )


def action_words(action: str) -> set[str]:
    """The words of an event's name."""
    return set(action.lower().replace("-", "_").split("_"))


def _ids(look: Look) -> tuple[str, str, TimeGuess, bool] | None:
    """(user, item, time, True) of a table that has all three by name."""
    user = named(look.columns.values(), *_USER)
    item = named(look.columns.values(), *_ITEM)
    if user is None or item is None or look.time is None:
        return None
    return user.name, item.name, look.time, True


def _made_up_ids(look: Look) -> tuple[str, str, TimeGuess, bool] | None:
    """(user, item, time, False) of a table whose names say nothing: the first two
    columns with many different whole numbers or texts."""
    time = look.time or shifted_time(look.columns.values())
    if time is None:
        return None
    least = min(100, max(10, len(time.ms) // 20))
    ids = [
        name
        for name, column in look.columns.items()
        if name != time.column.name
        and (column.is_whole or column.is_text)
        and column.distinct >= least
        and not is_outcome_name(column)
    ]
    by_values = sorted(ids, key=lambda name: -look.columns[name].distinct)[:4]
    chosen = [name for name in ids if name in by_values][:2]
    return (chosen[0], chosen[1], time, False) if len(chosen) == 2 else None


def _like_a_log(look: Look) -> int:
    """How much a table with all three ids looks like impressions, not like events."""
    outcomes = sum(is_outcome_name(column) for column in look.columns.values())
    return min(outcomes, 3) - (4 if _action(look) and outcomes < 2 else 0)


def _action(look: Look) -> Column | None:
    """A text column with few values, some of which are called like outcomes."""
    column = named(look.columns.values(), *_ACTION)
    if (
        column is None
        or not column.is_text
        or not 1 <= column.distinct <= _MOST_ACTIONS
    ):
        return None
    values = column.values.drop_nulls().unique().to_list()
    known = [v for v in values if action_words(v) & (GOOD | BAD | {"play", "watch"})]
    return column if known else None


def _events(
    look: Look, log: Look, user: str, item: str, impression: Column | None
) -> EventsGuess | None:
    action = _action(look)
    if action is None or look.time is None:
        return None
    if impression and impression.name in look.columns:
        key: tuple[str, ...] = (impression.name,)
    elif user in look.columns and item in look.columns:
        key = (user, item)
    else:
        return None
    counts = action.values.drop_nulls().value_counts(sort=True)
    event = named(look.columns.values(), *_EVENT_ID)
    return EventsGuess(
        look,
        key,
        action.name,
        tuple(counts[action.name].to_list()),
        event.name if event and _is_unique(event) else "",
    )


def _is_unique(column: Column) -> bool:
    """Whether nearly each row has a value of its own: some events come twice."""
    return column.distinct > _MOSTLY_UNIQUE * len(column.values)


def _is_id(column: Column) -> bool:
    """Whether it may name something: whole numbers or text of many values."""
    return (column.is_whole or column.is_text) and column.distinct > _FEW_VALUES


def _join(look: Look, log: Look) -> JoinGuess | None:
    """By the column of the log whose values are unique in the other table."""
    for name, column in look.columns.items():
        mine = log.columns.get(name)
        if mine is None or column.is_list or mine.is_flag or mine.distinct < 2:
            continue
        known = column.values.drop_nulls()
        if not len(known) or column.distinct < _UNIQUE * len(known):
            continue
        covered = _covered(mine, column)
        if covered >= (0.5 if look.sample.is_whole else _COVERED):
            totals = [c.name for c in look.columns.values() if is_total_name(c)]
            mostly = len(totals) > _MOSTLY * len(look.columns)
            return JoinGuess(look, name, tuple(totals) if mostly else (), covered)
    return None


def _covered(mine: Column, other: Column) -> float:
    """The share of the log's different values that are in the other table's sample."""
    wanted = mine.values.drop_nulls().unique()
    if wanted.dtype != other.values.dtype:
        wanted, found = wanted.cast(str), other.values.cast(str)
    else:
        found = other.values
    return mean_of(wanted.is_in(found.drop_nulls().unique().to_list()))


def _why_nothing(look: Look, log: Look) -> str:
    shared = [name for name in look.columns if name in log.columns]
    if not shared:
        return "it has no column of the log's by which it could be joined"
    return (
        f"of the columns that it shares with the log ({', '.join(shared)}) none is "
        "unique in it and covers the log's values"
    )


def _no_log(looks: Sequence[Look]) -> str:
    seen = "; ".join(
        f"{look.name}: {', '.join(list(look.columns)[:12])}" for look in looks[:8]
    )
    return (
        "No table has a user, an item and a time of impressions. A column must be "
        "called like user_id, one like video_id or item_id, and one must hold "
        "plausible times. "
        f"Found {seen or 'no rows'}. Rename the columns in a header, or write the spec "
        "by hand: docs/examples.md."
    )
