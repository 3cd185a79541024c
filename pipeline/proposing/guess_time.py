"""Which column is the time, in which unit, and whose clock showed it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping

import polars as pl

from pipeline.examples.reading.times import PER_SECOND, has_offset, iso_clock, iso_ms
from pipeline.proposing.columns import Column, mean_of

# A log of today lies between these, whatever its unit.
EARLIEST = int(datetime.datetime(1995, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
LATEST = int(datetime.datetime(2060, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
_SHIFTED_TO = int(
    datetime.datetime(2022, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
)
_TEN_YEARS_S = 10 * 365 * 86_400
_FITTING = 0.95
_TIME_WORDS = {"time", "timestamp", "ts", "at", "begin", "start", "datetime", "when"}
_LATE_WORDS = {"end", "upload", "publish", "published", "register", "signup", "birth"}
_DAY_WORDS = {"date", "day", "dt", "hour", "hourmin", "month", "week", "weekday"}
# Zones without daylight saving that many logs are of: what an offset may mean.
_ZONES = {
    0: "UTC",
    180: "Europe/Istanbul",
    330: "Asia/Kolkata",
    420: "Asia/Bangkok",
    480: "Asia/Shanghai",
    540: "Asia/Tokyo",
}


@dataclasses.dataclass(frozen=True)
class TimeGuess:
    """The time of a table.

    Attributes:
        column: Its column.
        unit: `s`, `ms`, `us`, `ns` or `iso`; "" for timestamps.
        ms: The sampled times, unix milliseconds [B].
        is_local: Whether some have no zone: what a wall clock showed.
        offset_minutes: The commonest offset from UTC in ISO texts; None if there is
            none.
        offsets: How many different ones there are.
        shift_s: What must be added to make it plausible at all; 0 as a rule.
    """

    column: Column
    unit: str
    ms: pl.Series = dataclasses.field(repr=False)
    is_local: bool = False
    offset_minutes: int | None = None
    offsets: int = 0
    shift_s: int = 0


def guess_time(columns: Iterable[Column]) -> TimeGuess | None:
    """The column that most looks like the begin of an event; None if none does."""
    found = [guess for column in columns if (guess := _as_time(column))]
    found.sort(key=lambda guess: -_likelihood(guess))
    return found[0] if found and _likelihood(found[0]) > 0 else None


def shifted_time(columns: Iterable[Column]) -> TimeGuess | None:
    """A column that counts seconds from an unknown begin; None if none does.

    Its values are all different, large, and close together: ten years apart at most.
    """
    for column in columns:
        if not column.is_whole or column.distinct < 0.5 * len(column.values):
            continue
        least, most = float(column.quantile(0)), column.most
        if (
            most > 1e8
            and 3600 < most - least < _TEN_YEARS_S
            and most - least < 0.1 * most
        ):
            shift = _SHIFTED_TO - int(least) // 86_400 * 86_400
            ms = (column.values + shift) * 1000
            return TimeGuess(column, "s", ms, shift_s=shift)
    return None


def guess_zone(time: TimeGuess, columns: Mapping[str, Column]) -> tuple[str, str]:
    """(IANA name, why, or what could not be known)."""
    if time.offset_minutes is not None and time.unit == "iso":
        zone = zone_of(time.offset_minutes)
        offset = _offset(time.offset_minutes)
        why = f"{offset} is the commonest offset of {time.column.name}"
        if time.offsets > 1:
            why += f", which has {time.offsets}"
        return zone, f"could not know: {why}, but an offset names no zone. Check it"
    clock = _clock_offset(time, columns)
    if clock is not None:
        name, minutes = clock
        return zone_of(minutes), (
            f"could not know: {name} tell {_offset(minutes)}, but an offset names no "
            "zone. Check it"
        )
    if time.is_local:
        return "UTC", (
            f"could not know: {time.column.name} has no zone. Name the zone of the "
            "clock that showed it"
        )
    return "UTC", "could not know: whose calendar days are. Name your users' zone"


def zone_of(minutes: int) -> str:
    """A zone with a fixed offset from UTC."""
    if minutes in _ZONES:
        return _ZONES[minutes]
    if minutes % 60 == 0 and -12 <= minutes // 60 <= 14:
        return f"Etc/GMT{-minutes // 60:+d}"
    return "UTC"


def day_columns(time: TimeGuess, columns: Mapping[str, Column]) -> set[str]:
    """Columns that only tell the day or the hour of the time again, by their names and
    values."""
    return {
        name
        for name, column in columns.items()
        if name != time.column.name
        and set(column.words) & _DAY_WORDS
        and (column.type == "date" or _is_day(column) or _is_hour(column))
    }


def _as_time(column: Column) -> TimeGuess | None:
    values = column.values
    if isinstance(values.dtype, pl.Datetime):
        is_local = values.dtype.time_zone is None
        ms = values.dt.epoch("ms")
        return TimeGuess(column, "", ms, is_local=is_local)
    if column.is_text:
        return _iso(column)
    if not column.is_whole and column.type != "float64":
        return None
    for unit, per_second in PER_SECOND.items():
        low, high = EARLIEST * per_second, LATEST * per_second
        if mean_of(values.drop_nulls().is_between(low, high)) >= _FITTING:
            ms = (values.cast(pl.Float64) * (1000 / per_second)).cast(
                pl.Int64, strict=False
            )
            return TimeGuess(column, unit, ms)
    return None


def _iso(column: Column) -> TimeGuess | None:
    text = pl.lit(column.values)
    known = len(column.values.drop_nulls())
    read = int(pl.select(iso_clock(text).is_not_null().sum()).item())
    if not known or read < _FITTING * known:
        return None
    zoned = int(pl.select(has_offset(text).sum()).item())
    ms = pl.select(iso_ms(text, "UTC")).to_series()
    ahead = pl.select((iso_clock(text).dt.epoch("ms") - iso_ms(text, "UTC")) // 60_000)
    offsets = ahead.to_series().drop_nulls().value_counts(sort=True)
    commonest = int(offsets.row(0)[0]) if offsets.height and zoned else None
    return TimeGuess(
        column,
        "iso",
        ms,
        is_local=zoned < known,
        offset_minutes=commonest,
        offsets=offsets.height,
    )


def _likelihood(guess: TimeGuess) -> float:
    """By name, by type, and by how many values there are."""
    column, words = guess.column, set(guess.column.words)
    points = 2.0 if guess.unit in ("", "iso", "ms", "us", "ns") else 0.0
    points += 2.0 if words & _TIME_WORDS else 0.0
    points -= 1.5 if words & _LATE_WORDS else 0.0
    points -= 2.0 if words & {"id"} else 0.0
    points += min(column.distinct / max(len(column.values), 1), 1.0)
    return points - column.missing


def _clock_offset(
    time: TimeGuess, columns: Mapping[str, Column]
) -> tuple[str, int] | None:
    """(columns, minutes ahead of UTC) of a day as YYYYMMDD with a clock as HHMM."""
    others = [columns[name] for name in sorted(day_columns(time, columns))]
    days = [column for column in others if _is_day(column) and column.is_whole]
    clocks = [column for column in others if not _is_day(column) and column.most > 24]
    if time.unit == "iso" or not days or not clocks:
        return None
    day, clock = days[0].values, clocks[0].values
    local = pl.select(
        pl.lit(day.cast(pl.String)).str.to_datetime(
            "%Y%m%d", time_unit="ms", strict=False
        )
        + pl.duration(minutes=pl.lit(clock) // 100 * 60 + pl.lit(clock) % 100)
    ).to_series()
    ahead = (local.dt.epoch("ms") - time.ms) / 60_000
    found = (ahead / 15).round().cast(pl.Int64, strict=False).drop_nulls() * 15
    counts = found.value_counts(sort=True)
    if not counts.height or counts.row(0)[1] < _FITTING * len(found):
        return None
    return f"{days[0].name} and {clocks[0].name}", int(counts.row(0)[0])


def _is_day(column: Column) -> bool:
    if column.type == "date":
        return True
    return column.is_whole and column.at_least(19950101) and column.most <= 20991231


def _is_hour(column: Column) -> bool:
    return column.is_whole and column.at_least(0) and column.most <= 2359


def _offset(minutes: int) -> str:
    return (
        f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    )
