"""All guesses about a directory of logs, before they are written as a spec."""

from __future__ import annotations

import dataclasses
import re
import zoneinfo
from collections.abc import Mapping, Sequence

import polars as pl

from pipeline.proposing.columns import Column, mean_of
from pipeline.proposing.errors import ProposalError
from pipeline.proposing.guess_features import (
    FeatureGuesses,
    guess_features,
    joined_names,
)
from pipeline.proposing.guess_keys import Roles, guess_roles
from pipeline.proposing.guess_outcomes import (
    guess_length,
    guess_watched,
    is_outcome_name,
    told_by_copies,
    told_by_idle_rows,
    unit_of,
)
from pipeline.proposing.guess_tasks import TaskGuess, guess_tasks, of_action
from pipeline.proposing.guess_time import guess_zone
from pipeline.proposing.pauses import GapGuess, guess_gap
from pipeline.proposing.sampling import FILE, STRETCH, Sample

_TIME, _WATCHED = "_begin_ms", "_watched_ms"
_ROWS_A_SPLIT = 5_000
_SPLIT_DAYS = (1, 7, 28, 91, 182)
_USUAL_DAYS = 28  # more only where splits would be empty
_DAY_MS = 86_400_000
_ON_ITS_DAY = 0.99  # of a file's rows: else its name is of the day of something else


@dataclasses.dataclass(frozen=True)
class Guesses:
    """What is proposed for a directory of logs.

    Attributes:
        roles: Which table and column plays which role.
        zone: (IANA name, why or what could not be known).
        pattern: Of the log's files.
        folder_zone: Whose days those in `pattern` are; "" for the log's.
        folder_why: What the days of the files rest on; "" without any.
        watched: Column with the time watched.
        length: Column with the video's length, of the log or a side file.
        zone_column: Column that names each row's zone; "" if none does.
        outcomes: Column of the log -> why it is one.
        features: See `guess_features`.
        tasks: In order.
        no_tasks: Outcome -> why it is no task.
        event_columns: (table, action) of events -> the column that counts it.
        gap: When a trail ends.
        days_per_split: Days that share a split.
        rows_a_day: About how many.
    """

    roles: Roles
    zone: tuple[str, str]
    pattern: str
    folder_zone: str
    folder_why: str
    watched: Column | None
    length: Column | None
    zone_column: str
    outcomes: Mapping[str, str]
    features: FeatureGuesses
    tasks: Sequence[TaskGuess]
    no_tasks: Mapping[str, str]
    event_columns: Mapping[tuple[str, str], str]
    gap: GapGuess
    days_per_split: int
    rows_a_day: float


def guess(samples: Sequence[Sample]) -> Guesses:
    """Everything that can be guessed of samples of all tables.

    Raises:
        ProposalError: There is no log, or nothing in it to predict.
    """
    roles = guess_roles(samples)
    columns = dict(roles.log.columns)
    joined = {column.name: column for _, _, column in joined_names(roles)}
    watched = guess_watched(columns)
    length = guess_length(columns | joined, watched)
    outcomes = _outcomes(roles, columns, watched)
    event_columns = _event_columns(roles, set(columns) | set(joined))
    tasks, no_tasks = guess_tasks(columns, list(outcomes), watched, length)
    tasks += _event_tasks(roles, event_columns)
    if not tasks:
        raise ProposalError(
            f"{roles.log.name}: no column looks like what a user did with a video "
            f"(like, play_time, rating...), so there is nothing to predict. It has "
            f"{', '.join(columns)}. Name one in a spec of your own: docs/examples.md."
        )
    zone = guess_zone(roles.time, columns)
    rows = _timed(roles, watched)
    pattern, folder_zone, folder_why = _folders(roles, zone[0], rows)
    rows_a_day = _rows_a_day(roles, rows)
    return Guesses(
        roles=roles,
        zone=zone,
        pattern=pattern,
        folder_zone=folder_zone,
        folder_why=folder_why,
        watched=watched,
        length=length,
        zone_column=_zone_column(columns) if roles.time.is_local else "",
        outcomes=outcomes,
        features=guess_features(roles, set(outcomes), length.name if length else None),
        tasks=tasks,
        no_tasks=no_tasks,
        event_columns=event_columns,
        gap=guess_gap(rows, roles.user, _TIME, _WATCHED if watched else None),
        days_per_split=_days_per_split(rows_a_day, roles, rows),
        rows_a_day=rows_a_day,
    )


def _event_tasks(
    roles: Roles, columns: Mapping[tuple[str, str], str]
) -> list[TaskGuess]:
    """A task for each kind of event, with about so many positives as events."""
    tasks = []
    for events in roles.events:
        seen = events.look.columns[events.action].values.drop_nulls()
        scale = events.look.sample.row_count / max(1, roles.log.sample.row_count)
        for action in events.actions:
            if column := columns.get((events.look.name, action)):
                share = mean_of(seen.cast(pl.String) == action)
                tasks.append(of_action(action, column, min(1.0, share * scale)))
    return tasks


def _outcomes(
    roles: Roles, columns: Mapping[str, Column], watched: Column | None
) -> dict[str, str]:
    """Outcome -> why, in the order of the log's columns."""
    roles_of_log = {roles.user, roles.item, roles.time.column.name, roles.impression}
    key = [roles.user, roles.time.column.name, roles.item]
    by_copies = told_by_copies(roles.log.sample.rows, key, dict(columns))
    by_idle = told_by_idle_rows(dict(columns), watched)
    found: dict[str, str] = {}
    for name, column in columns.items():
        if name in roles_of_log or name == roles.random:
            continue
        if watched is not None and name == watched.name:
            found[name] = "how long was watched"
        elif is_outcome_name(column):
            found[name] = ""
        elif name in by_copies:
            found[name] = "it differs between rows of one impression"
        elif name in by_idle:
            found[name] = "it is 0 wherever nothing was watched"
    if not found and not roles.is_sure:
        flags = [name for name, column in columns.items() if column.is_flag]
        found = dict.fromkeys(flags, "could not know: taken for one as it is 0 or 1")
    return found


def _event_columns(roles: Roles, taken: set[str]) -> dict[tuple[str, str], str]:
    """(table, action) -> the column that it becomes."""
    found: dict[tuple[str, str], str] = {}
    for events in roles.events:
        for action in events.actions:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", action):
                continue
            if action.startswith("un") and action[2:] in events.actions:
                continue  # taken back: counted against the action
            name = re.sub(r"[^a-z0-9_]", "_", action.lower())
            name = name if name not in taken else f"{events.look.name}_{name}"
            taken.add(name)
            found[events.look.name, action] = name
    return found


def _zone_column(columns: Mapping[str, Column]) -> str:
    """A text column all of whose values name zones."""
    known = zoneinfo.available_timezones()
    for name, column in columns.items():
        if column.is_text and 1 <= column.distinct <= len(known):
            values = set(column.values.drop_nulls().unique().to_list())
            if values <= known:
                return name
    return ""


def _timed(roles: Roles, watched: Column | None) -> pl.DataFrame:
    """The log's rows with begins and milliseconds watched."""
    rows = roles.log.sample.rows.with_columns(roles.time.ms.alias(_TIME))
    if roles.log.sample.is_whole:  # no row lies between two pieces
        rows = rows.with_columns(pl.lit(0).alias(STRETCH))
    if watched is None:
        return rows
    scale = 1 if unit_of(watched) == "ms" else 1000
    return rows.with_columns((watched.values * scale).alias(_WATCHED))


def _rows_a_day(roles: Roles, rows: pl.DataFrame) -> float:
    least, most = rows[_TIME].quantile(0.001), rows[_TIME].quantile(0.999)
    days = max(1.0, (float(most or 0) - float(least or 0)) / _DAY_MS)
    return roles.log.sample.row_count / days


def _days_per_split(rows_a_day: float, roles: Roles, rows: pl.DataFrame) -> int:
    """So many days that a split has enough rows, and, where all were looked at, that
    none is empty."""
    days = rows[_TIME].drop_nulls() // _DAY_MS
    known = (days - days.min()).unique() if roles.log.sample.is_whole else None
    for count in _SPLIT_DAYS:
        enough = count * rows_a_day >= _ROWS_A_SPLIT or count >= _USUAL_DAYS
        if enough and (known is None or not _has_gap(known, count)):
            return count
    return _SPLIT_DAYS[-1]


def _has_gap(days: pl.Series, count: int) -> bool:
    """Whether a split of so many days, from the first on, would be empty."""
    splits = (days // count).unique().sort()
    return bool((splits.diff().drop_nulls() > 1).any())


def _folders(roles: Roles, zone: str, rows: pl.DataFrame) -> tuple[str, str, str]:
    """(pattern, zone of the days in it, why): the zone in which the rows of a file lie
    on its day; without one the days are left out of the pattern."""
    table = roles.log.sample.table
    if not table.has_days:
        return table.pattern, "", ""
    names = {place: file.day for place, file in enumerate(table.files)}
    days = rows[FILE].replace_strict(names, return_dtype=pl.Date)
    zones = list(dict.fromkeys((zone, "UTC")))
    fitting = [z for z in zones if _on_its_day(rows[_TIME], days, z) >= _ON_ITS_DAY]
    if fitting:
        found = fitting[-1]
        why = f"the rows of a file lie on its day of {found}"
        if len(fitting) > 1:
            why = f"could not know: its rows lie on its day of {' and of '.join(zones)}"
        return table.pattern, found if found != zone else "", why
    return (
        without_day(table.pattern),
        "",
        "the names hold days, but the rows lie on others: all files are read",
    )


def _on_its_day(ms: pl.Series, days: pl.Series, zone: str) -> float:
    utc = pl.from_epoch(pl.lit(ms), "ms").dt.replace_time_zone("UTC")
    there = utc.dt.convert_time_zone(zone).dt.date()
    return float(pl.select((there == pl.lit(days)).mean()).item() or 0.0)


def without_day(pattern: str) -> str:
    """A pattern with globs in the place of its days."""

    def star(match: re.Match[str]) -> str:
        return re.sub(r"(%[Ymd])+", "*", (match.group(1) or "%Y%m%d"))

    return re.sub(r"\{day(?::([^{}]*))?\}", star, pattern)
