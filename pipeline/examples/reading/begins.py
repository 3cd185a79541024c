"""The moment at which an impression begins, as `log.time` tells it.

A column or an expression gives numbers since the epoch, timestamps, or ISO 8601 texts;
what is a wall clock's is a moment once its zone is known: the spec's, or the one that a
column of the row names. The moment is put beside the row, and what is none is a reason.
"""

from __future__ import annotations

import dataclasses
import functools
import zoneinfo

import numpy as np
import polars as pl

from feature_specs.missing import evaluate
from feature_specs.moments import MomentSpec
from pipeline.arrays import Ints
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.reading import times
from pipeline.examples.reading.blocks import Reasons
from pipeline.examples.reading.times import EARLIEST_S, LATEST_S, PER_SECOND

NO_ROW_ZONE = "no IANA time zone such as Asia/Shanghai, and the time has none"
_IMPLAUSIBLE = "not a plausible value"
_EXPR = "log.time.expr"


@dataclasses.dataclass(frozen=True)
class Begin:
    """How to tell when a row begins.

    Attributes:
        time: The spec's section.
        shown_in: The zone in which the rows show the time column, which is read as a
            text first, since another column says whose clock it was; "" if it is read
            as it is declared.
    """

    time: MomentSpec
    shown_in: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed for it."""
        return self.time.columns

    @property
    def name(self) -> str:
        """What reasons call it."""
        return self.time.column or _EXPR

    def ms(self, rows: pl.DataFrame) -> pl.Series:
        """Unix milliseconds [B], plausible or not; null where a row tells none."""
        return self._read(rows).told.alias(TIME_MS)

    def add(self, rows: pl.DataFrame, lines: Ints, reasons: Reasons) -> pl.DataFrame:
        """The rows with `TIME_MS`; rows without a moment get their reason.

        Args:
            rows: The declared columns [G].
            lines: Position of each row's line [G].
            reasons: Gets why a row is none.
        """
        read = self._read(rows)
        for reason, column, holds in read.reasons(self.name, self.time):
            places = np.flatnonzero(holds)
            if len(places):
                reasons.add(reason, lines[places])
                shown = column[int(places[0])]
                reasons.show(reason, "" if shown is None else str(shown))
        for note, count in read.notes(self.name, self.time):
            reasons.note(note, count)
        rows = rows.with_columns(read.ms.alias(TIME_MS))
        return self._as_declared(rows)

    def _as_declared(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the time column as expressions were checked with."""
        if not self.shown_in:
            return rows
        moment = pl.col(TIME_MS).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
        shown = moment.dt.convert_time_zone(self.shown_in)
        return rows.with_columns(shown.alias(self.time.column))

    def _read(self, rows: pl.DataFrame) -> _Times:
        time = self.time
        value = evaluate(rows, time.expr) if time.expr else rows[time.column]
        zones = rows[time.zone_column] if time.zone_column else None
        return _Times(value, time.unit, time.timezone, zones)


class _Times:
    """Values of some rows [B] that say when they begin.

    Attributes:
        value: Numbers, timestamps or ISO texts.
        told: Whole unix milliseconds; null where there is no moment.
        ms: The same; null also where the moment is not plausible.
    """

    def __init__(
        self, value: pl.Series, unit: str, zone: str, zones: pl.Series | None
    ) -> None:
        self.value, self._unit, self._zone, self._zones = value, unit, zone, zones
        self._local = self._clock()
        self.told = self._moments()
        believed = self.told.is_between(EARLIEST_S * 1000, LATEST_S * 1000 - 1)
        self.ms = self.told.set(~believed.fill_null(True), None)

    @property
    def _is_number(self) -> bool:
        return self.value.dtype.is_numeric()

    def _clock(self) -> pl.Series:
        """What wall clocks showed; null for what is a moment by itself, or no time."""
        nothing = _nulls(len(self.value), pl.Datetime("ms"))
        if isinstance(self.value.dtype, pl.Datetime):
            zoned = self.value.dtype.time_zone is not None
            return nothing if zoned else self.value.cast(pl.Datetime("ms"))
        if self.value.dtype != pl.String:
            return nothing
        text = pl.lit(self.value)
        return pl.select(
            pl.when(~times.has_offset(text)).then(times.iso_clock(text))
        ).to_series()

    def _moments(self) -> pl.Series:
        """Unix milliseconds of all times that are moments, plausible or not."""
        if self._is_number:
            return _number_ms(self.value, self._unit)
        local = self._local_ms()
        if self.value.dtype == pl.String:
            own = pl.select(times.iso_ms(pl.lit(self.value), "")).to_series()
            own = own.set(self._local.is_not_null(), None)
        elif isinstance(self.value.dtype, pl.Datetime) and self.value.dtype.time_zone:
            return self.value.dt.epoch("ms")
        else:
            return local
        return pl.select(pl.coalesce(pl.lit(own), pl.lit(local))).to_series()

    def _local_ms(self) -> pl.Series:
        """Unix milliseconds of what wall clocks showed; null where that is unknown."""
        if self._zones is not None:
            return _ms_in_zones(self._local, self._zones)
        if not self._zone:
            return _nulls(len(self.value), pl.Int64())
        return _ms_in_zone(self._local, self._zone)

    def reasons(
        self, name: str, time: MomentSpec
    ) -> list[tuple[str, pl.Series, pl.Series]]:
        """(reason, the values that show it, the rows that it holds for)."""
        empty, none = self.value.is_null(), self.told.is_null()
        local = self._local.is_not_null()
        found = [(f"{name}: empty", self.value, empty)]
        if self._zones is not None:
            known = self._zones.is_in(list(_known_zones()))
            strange = local & none & ~known.fill_null(False)
            reason = f"{time.zone_column}: {NO_ROW_ZONE}"
            found.append((reason, self._zones, strange))
        if self._zones is not None:
            why = times.skipped("its zone")
        else:
            why = times.skipped(self._zone) if self._zone else times.NO_ZONE
        found.append((f"{name}: {why}", self.value, local & none))
        if not self._is_number:
            found.append((f"{name}: {times.NO_TIME}", self.value, none & ~empty))
        beyond = (self.ms.is_null() & ~none) | (none & ~empty)
        return [*found, (f"{name}: {_IMPLAUSIBLE}", self.value, beyond)]

    def notes(self, name: str, time: MomentSpec) -> list[tuple[str, int]]:
        """(what was assumed, or would explain what cannot be, of how many rows)."""
        if self._is_number:
            return _other_units(self.value, self.ms, name, self._unit)
        if self._zones is not None:
            local = int(self._local.is_not_null().sum())
            note = f"{name}: local times of the zone in {time.zone_column}"
            return [(note, local)] if local else []
        if not self._zone:
            return []
        return list(times.clock_notes(self._local, name, self._zone))


def _nulls(count: int, dtype: pl.DataType) -> pl.Series:
    return pl.repeat(None, count, dtype=dtype, eager=True)


def _number_ms(value: pl.Series, unit: str) -> pl.Series:
    """Numbers in a unit as unix milliseconds; null where that may overflow."""
    number = pl.lit(value)
    if PER_SECOND[unit] < 1000:
        number = pl.when(number.is_between(-(2**53), 2**53)).then(number)
    return pl.select(times.in_ms(number, unit)).to_series()


def _other_units(
    value: pl.Series, ms: pl.Series, name: str, unit: str
) -> list[tuple[str, int]]:
    """The units in which times would be plausible that are not in theirs."""
    odd = value.filter(ms.is_null() & value.is_not_null())
    found = []
    for other, per_second in PER_SECOND.items():
        bounds = EARLIEST_S * per_second, LATEST_S * per_second - 1
        fitting = int(odd.is_between(*bounds).sum())
        if fitting and other != unit:
            found.append((times.other_unit(name, unit, other), fitting))
    return found


def _ms_in_zone(clock: pl.Series, zone: str) -> pl.Series:
    moment = times.moment(pl.lit(clock), zone).dt.epoch("ms")
    return pl.select(moment).to_series()


def _ms_in_zones(clock: pl.Series, zones: pl.Series) -> pl.Series:
    """What clocks showed [B], each in its own zone; null where that is none."""
    known = _known_zones()
    found = np.zeros(len(clock), np.int64)
    has = np.zeros(len(clock), bool)
    for zone in zones.unique().drop_nulls().to_list():
        if zone not in known:
            continue
        places = np.flatnonzero((zones == zone).fill_null(False))
        ms = _ms_in_zone(clock[places], zone)
        has[places] = ms.is_not_null().to_numpy()
        found[places] = ms.fill_null(0).to_numpy()
    return pl.Series(found).set(pl.Series(~has), None)


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
