"""When a row begins, by each way in which `log.time` can tell it; moments by hand."""

import datetime
import json

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

_MS = 1_700_053_200_000  # 2023-11-15 13:00 in UTC, 21:00 in Shanghai
_HOUR = 3_600_000


@pytest.fixture
def spec_of(spec_text):
    """(time's section, the columns that it needs, the log's keys) -> a small spec."""

    def make(time, columns, log="timezone: Asia/Shanghai", form="jsonl"):
        text = spec_text.replace(
            "{column: ts, unit: ms, watched_ms: watched}", f"{{{time}}}"
        )
        text = text.replace("ts: int64", columns)
        text = text.replace("  timezone: Asia/Shanghai\n", f"  {log}\n")
        return read_spec(text.replace("log:\n", f"log:\n  format: {form}\n", 1))

    return make


_ROW = {"uid": 1, "video": "v", "watched": 0, "length": 6000, "liked": 0}


def _write(folder, rows):
    lines = (json.dumps(_ROW | row) for row in rows)
    (folder / "log.csv").write_text("\n".join(lines))


def _read(folder, spec):
    """(milliseconds of each row, reasons of rejects, notes, samples)."""
    source = log_source(spec)
    (part,) = plan_ranges(source, str(folder))
    (block,) = read_blocks(part, source)
    reasons = [reject.reason for reject in block.rejects]
    return block.rows[TIME_MS].to_list(), reasons, block.notes, block.samples


@pytest.mark.parametrize(
    ("time", "columns", "value"),
    [
        ("column: ts", "ts: timestamp", "2023-11-15T21:00:00"),
        ("column: ts", "ts: timestamp", "2023-11-15T13:00:00Z"),
        ("column: ts", "ts: timestamp", _MS),
        ("column: ts", "ts: timestamp", _MS // 1000),
        ("column: ts, unit: iso", "ts: timestamp", _MS * 1000 + 999),
        ("column: ts, unit: ns", "ts: int64", _MS * 10**6 + 999_999),
        ("column: ts, unit: s", "ts: uint32", _MS // 1000),
        ("column: ts, unit: s", "ts: float64", _MS / 1000),
        ("expr: ts * 1000", "ts: int64", _MS // 1000),
        ("expr: ts, unit: s", "ts: float32", _MS // 1000 // 128 * 128),
        ("expr: ts", "ts: timestamp", "2023-11-15T21:00:00"),
        ("expr: \"STRPTIME(ts, '%d.%m.%Y %H:%M')\"", "ts: string", "15.11.2023 21:00"),
        ("expr: \"CONCAT(ts, 'T21:00')\", unit: iso", "ts: string", "2023-11-15"),
    ],
)
def test_all_of_them_are_one_moment(tmp_path, spec_of, time, columns, value):
    _write(tmp_path, [{"ts": value}])
    ms, reasons, _, _ = _read(tmp_path, spec_of(time, columns))
    expected = _MS // 128_000 * 128_000 if "float32" in columns else _MS
    assert (ms, reasons) == ([expected], [])


_ZONED = "column: ts, unit: iso, zone_column: tz"
_BERLIN, _NEW_YORK = "Europe/Berlin", "America/New_York"


@pytest.mark.parametrize("kind", ["string", "timestamp"])
def test_a_clock_is_the_zones_that_its_row_names_on_both_sides_of_a_change(
    tmp_path, spec_of, kind
):
    rows = [
        # Berlin: UTC+1 in winter, UTC+2 from 2024-03-31 02:00 on.
        {"ts": "2024-03-31 01:59", "tz": _BERLIN},
        {"ts": "2024-03-31 02:30", "tz": _BERLIN},  # skipped
        {"ts": "2024-03-31 03:00", "tz": _BERLIN},
        # New York: UTC-5 until 2024-03-10 02:00, then UTC-4.
        {"ts": "2024-03-31 01:59", "tz": _NEW_YORK},
        {"ts": "2024-03-31T01:59+09:00", "tz": _NEW_YORK},  # says it itself
        {"ts": "2024-03-31T01:59Z"},
        {"ts": "2024-03-31 01:59", "tz": "Mars/Base"},
        {"ts": "2024-03-31 01:59"},
    ]
    _write(tmp_path, rows)
    spec = spec_of(_ZONED, f"ts: {kind}, tz: 'string?'", log="timezone: UTC")
    midnight = 1_711_843_200_000  # 2024-03-31 00:00 UTC
    ms, reasons, notes, samples = _read(tmp_path, spec)
    a_minute = 60_000
    assert ms == [
        midnight + _HOUR - a_minute,
        midnight + _HOUR,
        midnight + 6 * _HOUR - a_minute,
        midnight - 7 * _HOUR - a_minute,
        midnight + 2 * _HOUR - a_minute,
    ]
    no_zone = "tz: no IANA time zone such as Asia/Shanghai, and the time has none"
    skipped = "ts: no time of its zone: its clock was put forward past it"
    assert reasons == [skipped, no_zone, no_zone]
    assert notes == {"ts: local times of the zone in tz": 6}
    assert samples == {no_zone: "Mars/Base", skipped: "2024-03-31 02:30"}


def test_a_parquet_clock_is_the_zones_that_its_row_names(tmp_path, spec_of):
    clocks = [datetime.datetime(2023, 11, 15, 21)] * 2
    zones = ["Asia/Shanghai", _NEW_YORK]
    columns = {name: [value] * 2 for name, value in _ROW.items()}
    for dtype in (pa.timestamp("us"), pa.timestamp("ns")):
        table = columns | {"ts": pa.array(clocks, dtype), "tz": zones}
        pq.write_table(pa.table(table), tmp_path / "log.csv")
        spec = spec_of(
            "column: ts, zone_column: tz", "ts: timestamp, tz: string", form="parquet"
        )
        ms, reasons, _, _ = _read(tmp_path, spec)
        assert (ms, reasons) == ([_MS, _MS + 13 * _HOUR], [])
        source = log_source(spec)
        (block,) = read_blocks(plan_ranges(source, str(tmp_path))[0], source)
        assert [t.isoformat() for t in block.rows["ts"]] == [
            "2023-11-15T21:00:00+08:00",
            "2023-11-16T10:00:00+08:00",
        ]


def test_a_time_that_an_expression_lacks_is_a_reject_and_so_is_an_absurd_one(
    tmp_path, spec_of
):
    _write(tmp_path, [{"ts": _MS}, {}, {"ts": _MS * 1000}])
    spec = spec_of("expr: ts + 0", "ts: 'int64?'")
    empty, absurd = "log.time.expr: empty", "log.time.expr: not a plausible value"
    note = "log.time.expr: no plausible time in ms, but one in us (log.time.unit)"
    found = _read(tmp_path, spec)
    assert found == ([_MS], [empty, absurd], {note: 1}, {absurd: str(_MS * 1000)})
    days = discover_days(spec, str(tmp_path))
    assert str(days) == "20231115:20231115"


def test_only_the_user_the_item_and_the_time_make_a_row_unreadable(tmp_path, spec_of):
    _write(
        tmp_path,
        [
            {"ts": _MS, "watched": None, "length": None, "liked": None},
            {"ts": _MS, "watched": float("nan")},
            {"ts": _MS, "uid": None},
            {"ts": _MS, "video": ""},
            {"ts": None},
            {"ts": _MS, "watched": "long"},  # wrong is not missing
        ],
    )
    ms, reasons, _, samples = _read(tmp_path, spec_of("column: ts", "ts: int64"))
    assert ms == [_MS, _MS]
    assert reasons == [
        "uid: empty",
        "video: empty",
        "ts: empty",
        "watched: not a whole number",
    ]
    assert samples["watched: not a whole number"] == '{"watched":"long"}'


def test_tab_separated_files_without_a_line_of_names(tmp_path, spec_of):
    text = f"7\tv\t{_MS}\t1\n"
    (tmp_path / "log.csv").write_text(text)
    log = 'separator: "\\t"\n  header: [uid, video, ts, liked, watched, length, tab]'
    spec = spec_of("column: ts", "ts: int64", log=log, form="csv")
    with pytest.raises(ValueError, match="has 4 columns, but log.header names 7"):
        _read(tmp_path, spec)
    lines = [
        f'7\t"a ""b""\nc"\t{_MS}\t1\t0\t5000\t2',
        f"8\tv\t{_MS}\t\t\t\t",
        "7\tv\t1",
    ]
    (tmp_path / "log.csv").write_text("\ufeff" + "\n".join(lines) + "\n")
    source = log_source(spec)
    rows, rejects = [], []
    for part in plan_ranges(source, str(tmp_path), range_bytes=16):
        for block in read_blocks(part, source):
            rows += block.rows.select("uid", "video", "liked", "length").rows()
            rejects += [(reject.line, reject.text) for reject in block.rejects]
    assert rows == [(7, 'a "b"\nc', 1, 5000), (8, "v", None, None)]
    assert [text for _, text in rejects] == ["7\tv\t1"]
    names = "uid\tvideo\tts\tliked\twatched\tlength\ttab\n"
    (tmp_path / "log.csv").write_text(names + lines[0])
    with pytest.raises(ValueError, match="its first line names the columns. Remove lo"):
        _read(tmp_path, spec)
