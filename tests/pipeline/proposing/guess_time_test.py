"""The time, its unit and its zone."""

import datetime

import polars as pl
import pytest

from pipeline.proposing.columns import columns_of
from pipeline.proposing.guess_time import (
    day_columns,
    guess_time,
    guess_zone,
    shifted_time,
    zone_of,
)
from pipeline.proposing.sampling import Sample

_BEGIN_S = 1_700_000_000  # 2023-11-14 22:13:20 UTC


def columns(**values):
    return columns_of(Sample(None, pl.DataFrame(values), True, 1.0))


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_the_unit_is_the_one_in_which_the_times_are_plausible(unit, factor):
    ts = [(_BEGIN_S + n) * factor for n in range(9)]
    found = guess_time(columns(ts=ts, user_id=list(range(9))).values())
    assert (found.column.name, found.unit) == ("ts", unit)
    assert found.ms[1] == (_BEGIN_S + 1) * 1000


def test_numbers_that_are_no_times_are_not_taken_for_one():
    assert guess_time(columns(time=[1, 2, 3], date=[20220408] * 3).values()) is None


def test_of_two_times_the_begin_is_taken():
    ts = [_BEGIN_S + n for n in range(9)]
    found = guess_time(columns(upload_time=ts, begin_time=ts).values())
    assert found.column.name == "begin_time"


def test_iso_texts_tell_their_offsets():
    texts = ["2024-03-01T08:00:00+01:00"] * 3 + ["2024-03-01T08:00:00-05:00"]
    found = guess_time(columns(ts=texts).values())
    assert (found.unit, found.offset_minutes, found.offsets) == ("iso", 60, 2)
    assert found.ms[0] == 1709276400000  # 07:00 UTC
    zone, why = guess_zone(found, {})
    assert zone == "Etc/GMT-1"
    assert "could not know" in why and "has 2" in why


def test_a_clock_beside_the_epoch_tells_the_offset():
    """09:13 of the next day in Shanghai."""
    begin = datetime.datetime.fromtimestamp(_BEGIN_S, datetime.timezone.utc)
    assert f"{begin:%H%M}" == "2213"
    found = columns(time_ms=[_BEGIN_S * 1000], date=[20231115], hourmin=[613])
    assert guess_zone(guess_time(found.values()), found)[0] == "Asia/Shanghai"
    assert day_columns(guess_time(found.values()), found) == {"date", "hourmin"}


def test_nothing_tells_the_zone_of_an_epoch():
    found = columns(ts=[_BEGIN_S])
    zone, why = guess_zone(guess_time(found.values()), found)
    assert zone == "UTC"
    assert "could not know" in why


@pytest.mark.parametrize(
    ("minutes", "zone"),
    [(0, "UTC"), (480, "Asia/Shanghai"), (-300, "Etc/GMT+5"), (345, "UTC")],
)
def test_an_offset_has_a_zone_that_keeps_it(minutes, zone):
    assert zone_of(minutes) == zone


def test_seconds_from_an_unknown_begin_are_shifted_by_whole_days():
    begin = 53_085_738_314
    found = shifted_time(
        columns(id=[5, 6, 7], time=[begin, begin + 9999, begin + 7]).values()
    )
    assert found.column.name == "time"
    assert found.shift_s % 86_400 == 0
    first = datetime.datetime.fromtimestamp(
        found.ms.min() / 1000, datetime.timezone.utc
    )
    assert first.date() == datetime.date(2022, 1, 1)
