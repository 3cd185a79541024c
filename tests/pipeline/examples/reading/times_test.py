"""Times as wall clocks and as texts: which moment they are, and what is told of it."""

import datetime
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_specs import read_spec
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.reading.readers import (
    discover_days,
    log_source,
    plan_ranges,
    read_blocks,
)

# 2023-11-15 21:00 in UTC is 1,700,082,000 s; a zone ahead of UTC was there earlier.
_ZONES = {
    "UTC": 1_700_082_000,
    "Asia/Shanghai": 1_700_082_000 - 8 * 3600,
    "America/New_York": 1_700_082_000 + 5 * 3600,
    "America/Los_Angeles": 1_700_082_000 + 8 * 3600,
    "America/Sao_Paulo": 1_700_082_000 + 3 * 3600,
    "America/St_Johns": 1_700_082_000 + 3 * 3600 + 1800,
    "Asia/Kolkata": 1_700_082_000 - 5 * 3600 - 1800,
    "Asia/Kathmandu": 1_700_082_000 - 5 * 3600 - 2700,
    "Australia/Adelaide": 1_700_082_000 - 10 * 3600 - 1800,  # in summer
    "Pacific/Chatham": 1_700_082_000 - 13 * 3600 - 2700,  # in summer
    "Pacific/Kiritimati": 1_700_082_000 - 14 * 3600,
}
_CLOCK = "2023-11-15 21:00:00"


@pytest.fixture
def spec_of(spec_text):
    """(time's keys, the log's) -> the small spec with texts, or numbers, as times."""

    def make(time="", log="", form="csv", kind="string", unit="iso"):
        text = spec_text.replace("unit: ms", f"unit: {unit}{time}")
        text = text.replace("ts: int64", f"ts: {kind}")
        text = text.replace("  timezone: Asia/Shanghai\n", log)
        return read_spec(text.replace("log:\n", f"log:\n  format: {form}\n", 1))

    return make


def _read(folder, spec):
    """(milliseconds of each row, reasons of rejects, notes)."""
    source = log_source(spec)
    ms, reasons, notes = [], [], {}
    for part in plan_ranges(source, str(folder)):
        for block in read_blocks(part, source):
            ms += block.rows[TIME_MS].to_list()
            reasons += [reject.reason for reject in block.rejects]
            notes |= block.notes
    return ms, reasons, notes


def _write_csv(folder, times):
    lines = [f"1,v,{time},0,6000,0,0" for time in times]
    head = "uid,video,ts,watched,length,tab,liked"
    (folder / "log.csv").write_text("\n".join([head, *lines]))


def _write_jsonl(folder, times):
    row = '{"uid":1,"video":"v","ts":"%s","watched":0,"length":6000,"liked":0}\n'
    (folder / "log.csv").write_text("".join(row % time for time in times))


def _write_parquet(folder, times, dtype=None):
    one = {"uid": 1, "video": "v", "watched": 0, "length": 6000, "liked": 0}
    columns = {name: [value] * len(times) for name, value in one.items()}
    clocks = [datetime.datetime.fromisoformat(time) for time in times]
    columns["ts"] = pa.array(clocks, dtype or pa.timestamp("us"))
    pq.write_table(pa.table(columns), folder / "log.csv")


@pytest.mark.parametrize("zone", _ZONES)
@pytest.mark.parametrize("key", ["log.timezone", "log.time.timezone"])
def test_a_clock_without_a_zone_is_the_specs(tmp_path, spec_of, zone, key):
    time, log = "", f"  timezone: {zone}\n"
    if key == "log.time.timezone":  # ... which comes before the calendar's
        time, log = f", timezone: {zone}", "  timezone: Europe/Paris\n"
    notes = {f"ts: local times of {zone}": 1}
    for write, form in ((_write_csv, "csv"), (_write_jsonl, "jsonl")):
        write(tmp_path, [_CLOCK])
        found = _read(tmp_path, spec_of(time, log, form))
        assert found == ([_ZONES[zone] * 1000], [], notes)
    for unit in ("ms", "us", "s"):
        _write_parquet(tmp_path, [_CLOCK])
        spec = spec_of(time, log, "parquet", "int64", unit)
        assert _read(tmp_path, spec) == ([_ZONES[zone] * 1000], [], notes)


@pytest.mark.parametrize("unit", ["ms", "us", "ns", "s"])
def test_parquet_of_any_resolution(tmp_path, spec_of, unit):
    _write_parquet(tmp_path, [_CLOCK], pa.timestamp(unit))
    spec = spec_of("", "  timezone: Asia/Shanghai\n", "parquet", "int64", "ms")
    assert _read(tmp_path, spec)[0] == [1_700_053_200_000]


def test_without_any_zone_a_clock_is_refused(tmp_path, spec_of):
    _write_parquet(tmp_path, [_CLOCK])
    with pytest.raises(
        ValueError, match=r"log\.csv: column 'ts' is timestamp\[us\]"
    ) as e:
        _read(tmp_path, spec_of(form="parquet", kind="int64", unit="ms"))
    assert "Name its zone in log.time.timezone of the spec" in str(e.value)
    _write_csv(tmp_path, [_CLOCK, _CLOCK + "Z"])
    reason = "ts: a time without a zone (say whose it is: log.time.timezone)"
    assert _read(tmp_path, spec_of()) == ([1_700_082_000_000], [reason], {})
    _write_csv(tmp_path, [_CLOCK])
    with pytest.raises(ValueError, match=re.escape(reason)):
        discover_days(spec_of(), str(tmp_path))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2023-11-15T21:00:00Z", 1_700_082_000_000),
        ("2023-11-15t21:00:00z", 1_700_082_000_000),
        ("2023-11-15T21:00Z", 1_700_082_000_000),
        ("2023-11-15 21:00:00 +08:00", 1_700_053_200_000),
        ("2023-11-15T21:00:00+0800", 1_700_053_200_000),
        ("2023-11-15T21:00:00-03:30", 1_700_094_600_000),
        ("2023-11-15T21:00:00.5Z", 1_700_082_000_500),
        ("2023-11-15T21:00:00.123456789Z", 1_700_082_000_123),
        ("2023-11-15T21:00:00,25+00:00", 1_700_082_000_250),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second
        ("2023-11-16T00:00:00+23:59", 1_700_006_460_000),
    ],
)
def test_an_offset_says_which_moment_it_is(tmp_path, spec_of, text, ms):
    _write_csv(tmp_path, [f'"{text}"'])
    for log in ("", "  timezone: Asia/Shanghai\n"):
        assert _read(tmp_path, spec_of(log=log)) == ([ms], [], {})


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-15",
        "15.11.2023 21:00",
        "2023-02-29T21:00:00Z",
        "2023-11-15T24:00:00Z",
        "2023-11-15T21:00:61Z",
        "2023-11-15T21:00:00+08:75",
        "2023-11-15T21:00:00 CET",
        "1700082000000",
        "now",
    ],
)
def test_what_is_no_time_is_a_reject(tmp_path, spec_of, text):
    _write_csv(tmp_path, [text])
    reasons = ["ts: not a time (ISO 8601: 2023-11-15T21:00:00+08:00)"]
    assert _read(tmp_path, spec_of(log="  timezone: UTC\n")) == ([], reasons, {})


def test_an_empty_time_is_told_so(tmp_path, spec_of):
    _write_csv(tmp_path, ["", "1970-01-01T00:00:00Z"])
    reasons = ["ts: empty", "ts: not a plausible value"]
    assert _read(tmp_path, spec_of())[1] == reasons


@pytest.mark.parametrize(
    ("zone", "never", "twice", "first"),
    [
        # 05:30 UTC: at first the clock is four hours behind, then five.
        ("America/New_York", "2023-03-12 02:30", "2023-11-05 01:30", 1_699_162_200),
        ("Europe/Berlin", "2024-03-31 02:30", "2024-10-27 02:30", 1_729_989_000),
        # Half an hour: 11 hours ahead, then 10:30.
        ("Australia/Lord_Howe", "2024-10-06 02:15", "2024-04-07 01:45", 1_712_414_700),
        # At midnight.
        ("America/Santiago", "2023-09-03 00:30", "2023-04-01 23:30", 1_680_402_600),
    ],
)
def test_hours_that_a_clock_skips_or_shows_twice(
    tmp_path, spec_of, zone, never, twice, first
):
    reasons = [f"ts: no time of {zone}: its clock was put forward past it"]
    notes = {
        f"ts: local times of {zone}": 2,
        f"ts: shown twice by the clock of {zone}, read as the first": 1,
    }
    log = f"  timezone: {zone}\n"
    _write_csv(tmp_path, [never, twice])
    assert _read(tmp_path, spec_of(log=log)) == ([first * 1000], reasons, notes)
    _write_parquet(tmp_path, [never, twice])
    spec = spec_of("", log, "parquet", "int64", "ms")
    assert _read(tmp_path, spec) == ([first * 1000], reasons, notes)


@pytest.mark.parametrize(
    ("unit", "time", "other"),
    [
        ("ms", 1_700_082_000, "s"),
        ("ms", 1_700_082_000_000_000, "us"),
        ("ms", 1_700_082_000_000_000_000, "ns"),
        ("s", 1_700_082_000_000, "ms"),
        ("us", 1_700_082_000_000, "ms"),
        ("us", 1_700_082_000, "s"),
    ],
)
def test_times_in_another_unit_are_told_by_name(tmp_path, spec_of, unit, time, other):
    _write_csv(tmp_path, [time, time + 1])
    spec = spec_of(kind="int64", unit=unit)
    note = f"ts: no plausible time in {unit}, but one in {other} (log.time.unit)"
    assert _read(tmp_path, spec) == ([], ["ts: not a plausible value"] * 2, {note: 2})
    with pytest.raises(ValueError, match=re.escape(f"{note} (2 rows)")):
        discover_days(spec, str(tmp_path))


def test_a_zoned_timestamp_as_a_text_is_its_moment(tmp_path, spec_of):
    _write_parquet(
        tmp_path, ["2023-11-15 21:00:00.250+00:00"], pa.timestamp("us", "UTC")
    )
    assert _read(tmp_path, spec_of(form="parquet")) == ([1_700_082_000_250], [], {})
