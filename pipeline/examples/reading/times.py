"""Times as texts and as wall clocks: which moment they are, and when that is unknown.

A time with an offset (`2023-11-15T21:00:00+08:00`, `...Z`) is a moment. One without is
what a wall clock showed: a moment only once its zone is known (`log.time.timezone`).
Where the clock is put back an hour is shown twice, and stands for the first; the hour
that is skipped where it is put forward is no time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import polars as pl

_ISO = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?"
    r"(?:[.,]([0-9]{1,9}))?[ ]?([Zz]|[+-][0-9]{2}:?[0-9]{2})?$"
)
_DATE, _MINUTE, _SECOND, _FRACTION, _OFFSET = range(1, 6)
_MINUTE_MS = 60_000

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
ISO = "iso"

EARLIEST_S, LATEST_S = 631_152_000, 4_102_444_800  # 1990 and 2100, in UTC

NO_ZONE = "a time without a zone (say whose it is: log.time.timezone)"
NO_TIME = "not a time (ISO 8601: 2023-11-15T21:00:00+08:00)"


@dataclasses.dataclass(frozen=True)
class TimeUnit:
    """How a time column is written.

    Attributes:
        unit: `s`, `ms` or `us` since the epoch, which timestamps are converted to, or
            `iso` for texts.
        zone: Whose wall clock showed the times that have no zone; "" if not known.
        by_row: Whether that is said by another column of each row.
    """

    unit: str
    zone: str = ""
    by_row: bool = False


def moment(clock: pl.Expr, zone: str, ambiguous: str = "earliest") -> pl.Expr:
    """What a wall clock of a zone showed, as a moment (UTC); null where it is none."""
    return clock.dt.replace_time_zone(
        zone,
        ambiguous=ambiguous,  # type: ignore[arg-type]
        non_existent="null",
    ).dt.convert_time_zone("UTC")


def moment_of(raw: pl.Series, zone: str) -> pl.Expr:
    """Timestamps as moments (UTC); one without a zone is of `zone`, null for none."""
    stamp = pl.lit(raw)
    if isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone is not None:
        return stamp.dt.convert_time_zone("UTC")
    if not zone:
        return pl.when(False).then(stamp).dt.replace_time_zone("UTC")
    return moment(stamp, zone)


def since_epoch(raw: pl.Series, unit: TimeUnit) -> pl.Series:
    """Timestamps in a unit, or as ISO texts; without a zone they are the unit's."""
    is_clock = getattr(raw.dtype, "time_zone", None) is None
    if is_clock and unit.by_row:
        return raw.dt.strftime("%Y-%m-%dT%H:%M:%S%.3f")
    if is_clock:
        raw = pl.select(moment(pl.lit(raw), unit.zone)).to_series()
    if unit.unit == ISO:
        return raw.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    assert isinstance(raw.dtype, pl.Datetime)
    ticks, wanted = PER_SECOND[raw.dtype.time_unit], PER_SECOND[unit.unit]
    since = raw.to_physical()
    return since // (ticks // wanted) if ticks > wanted else since * (wanted // ticks)


def epoch_ms(number: pl.Expr) -> pl.Expr:
    """Numbers since the epoch, of the unit in which they lie between 1990 and 2100, as
    unix milliseconds; null for one that lies there in no unit (in two it cannot)."""
    found = [
        pl.when(number.is_between(EARLIEST_S * per_second, LATEST_S * per_second)).then(
            in_ms(number, unit)
        )
        for unit, per_second in PER_SECOND.items()
    ]
    return pl.coalesce(found)


def in_ms(number: pl.Expr, unit: str) -> pl.Expr:
    """Numbers since the epoch in a unit as whole unix milliseconds."""
    per_second = PER_SECOND[unit]
    if per_second > 1000:
        return (number // (per_second // 1000)).cast(pl.Int64, strict=False)
    return (number * (1000 // per_second)).floor().cast(pl.Int64, strict=False)


def text_epoch_ms(text: pl.Expr) -> pl.Expr:
    """`epoch_ms` of texts; null for what is no number."""
    whole = epoch_ms(text.cast(pl.Int64, strict=False))
    return pl.coalesce(whole, epoch_ms(text.cast(pl.Float64, strict=False)))


def skipped(zone: str) -> str:
    """The reason of a row whose wall clock cannot have shown its time."""
    return f"no time of {zone}: its clock was put forward past it"


def other_unit(column: str, unit: str, other: str) -> str:
    """The note on times that are implausible in their unit, but not in another one."""
    return f"{column}: no plausible time in {unit}, but one in {other} (log.time.unit)"


def clock_notes(clock: pl.Series, column: str, zone: str) -> Iterator[tuple[str, int]]:
    """(what was assumed about the wall clocks of a column, of how many)."""
    count = clock.len() - clock.null_count()
    if not count:
        return
    yield f"{column}: local times of {zone}", count
    name = pl.lit(clock)
    first, second = (moment(name, zone, which) for which in ("earliest", "latest"))
    twice = int(pl.select((first != second).sum()).item())
    if twice:
        yield f"{column}: shown twice by the clock of {zone}, read as the first", twice


def iso_clock(text: pl.Expr) -> pl.Expr:
    """The date and the time in ISO texts, without the offset; null where it is none."""
    part = {n: text.str.extract(_ISO, n) for n in (_DATE, _MINUTE, _SECOND, _FRACTION)}
    second = part[_SECOND].fill_null(":00")
    whole = pl.concat_str(part[_DATE], pl.lit(" "), part[_MINUTE], second)
    clock = whole.str.strptime(pl.Datetime("ms"), "%Y-%m-%d %H:%M:%S", strict=False)
    thousandths = part[_FRACTION].fill_null("0").str.pad_end(3, "0").str.slice(0, 3)
    return clock + pl.duration(milliseconds=thousandths.cast(pl.Int64))


def has_offset(text: pl.Expr) -> pl.Expr:
    """Whether ISO texts say how far from UTC they are."""
    return text.str.extract(_ISO, _OFFSET).is_not_null()


def iso_ms(text: pl.Expr, zone: str) -> pl.Expr:
    """ISO texts as unix milliseconds; null where one is no moment.

    Args:
        text: Texts.
        zone: Of those without an offset; "" if it is not known.
    """
    clock, offset = iso_clock(text), text.str.extract(_ISO, _OFFSET)
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    digits = offset.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
    hours, minutes = (digits.str.slice(at, 2).cast(pl.Int64) for at in (0, 2))
    ahead_ms = sign * (hours * 60 + minutes) * _MINUTE_MS
    told = clock.dt.epoch("ms") - pl.when(minutes < 60).then(ahead_ms)
    if not zone:
        return told
    local = moment(clock, zone).dt.epoch("ms")
    return pl.when(offset.is_null()).then(local).otherwise(told)


def iso_reasons(texts: pl.Series, zone: str) -> dict[str, pl.Series]:
    """Reason -> the texts [B] that are no moment because of it."""
    text = pl.lit(texts)
    no_moment = iso_ms(text, zone).is_null() & text.is_not_null()
    clock = iso_clock(text).is_not_null() & ~has_offset(text)
    why = skipped(zone) if zone else NO_ZONE
    found = pl.select(
        (no_moment & clock).alias(why), (no_moment & ~clock).alias(NO_TIME)
    )
    return {series.name: series for series in found.iter_columns()}


def iso_notes(texts: pl.Series, column: str, zone: str) -> Iterator[tuple[str, int]]:
    """`clock_notes` of the ISO texts without an offset."""
    if zone:
        text = pl.lit(texts)
        clock = pl.when(~has_offset(text)).then(iso_clock(text))
        yield from clock_notes(pl.select(clock).to_series(), column, zone)
