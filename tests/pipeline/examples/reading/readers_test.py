"""Files and ranges of lines; errors about whole files."""

import dataclasses
import datetime

import polars as pl
import pyarrow as pa
import pytest
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from pipeline.examples.reading.readers import (
    begin_of,
    discover_days,
    join_sources,
    log_source,
    plan_ranges,
    read_blocks,
)
from tests.pipeline.examples.reading.written_rows import record


@pytest.fixture
def logs(tmp_path, write_logs, random_rows, log_line):
    lines = [log_line(row) for row in random_rows(1, 60)]
    return write_logs(tmp_path / "logs", {"log_a.csv": lines, "log_b.csv": lines[:1]})


@pytest.mark.parametrize("range_bytes", [9, 50, 333, 10**6])
def test_every_line_is_in_one_range(logs, spec, random_rows, range_bytes):
    source = log_source(spec)
    parts = plan_ranges(source, logs, range_bytes)
    blocks = [b for part in parts if part.file == 0 for b in read_blocks(part, source)]
    found = [ts for block in blocks for ts in block.rows["ts"]]
    assert found == [row["ts"] for row in random_rows(1, 60)]
    assert sum(block.lines for block in blocks) == len(found)


def test_a_byte_order_mark_and_quoted_names_are_no_part_of_a_column(tmp_path, spec):
    path = tmp_path / "people.csv"
    path.write_bytes(b'\xef\xbb\xbf"uid",age,city\r\n7,1.5,Wuhan')
    source = join_sources(spec)["people"]
    (part,) = plan_ranges(source, str(tmp_path))
    (block,) = read_blocks(part, source)
    row = block.rows.to_dicts()[0]
    assert row == {"uid": 7, "city": "Wuhan", "age": 1.5, "_line": 0}


def test_no_match_lists_what_is_there(tmp_path, spec):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "log_a.csv").write_text("uid\n")
    with pytest.raises(FileNotFoundError) as caught:
        plan_ranges(log_source(spec), str(tmp_path))
    assert f"No file matches {tmp_path}/log*.csv (log.files" in str(caught.value)
    assert "It holds data/log_a.csv." in str(caught.value)


def test_a_missing_column_names_file_column_and_closest(tmp_path, spec):
    (tmp_path / "log.csv").write_text("uid,vidoe,ts,watched,length,tab,liked\n")
    message = r"log.csv: column 'video' is missing.*uid, vidoe, ts.*mean 'vidoe'"
    with pytest.raises(ValueError, match=message):
        plan_ranges(log_source(spec), str(tmp_path))


def test_a_column_named_twice_is_refused(tmp_path, spec):
    (tmp_path / "log.csv").write_text("uid,video,uid,ts,watched,length,tab,liked\n")
    with pytest.raises(ValueError, match="column 'uid' is named twice"):
        plan_ranges(log_source(spec), str(tmp_path))


def test_an_empty_file_is_refused(tmp_path, spec):
    (tmp_path / "log.csv").write_text("")
    with pytest.raises(ValueError, match=r"log\.csv is empty"):
        plan_ranges(log_source(spec), str(tmp_path))


def test_days_are_the_time_zones_and_ignore_bad_lines(
    tmp_path, write_logs, log_line, spec, midnight
):
    row = {"uid": 1, "video": "v", "watched": 0, "length": 1, "tab": 0, "liked": 0}
    lines = [log_line({**row, "ts": midnight - 1}), "cut", log_line({**row, "ts": 5})]
    lines.append(log_line({**row, "ts": midnight + 86_400_000}))
    logs = write_logs(tmp_path, {"log.csv": lines})
    days = discover_days(spec, logs)
    assert days.first == datetime.date(2022, 4, 7)
    assert days.last == datetime.date(2022, 4, 9)


@pytest.mark.parametrize(
    ("unit", "value"),
    [("s", 1_649_347_200), ("ms", 1_649_347_200_123), ("us", 1_649_347_200_123_999)],
)
def test_times_of_every_unit_become_milliseconds(spec, unit, value):
    time = dataclasses.replace(spec.log.time, unit=unit)
    spec = dataclasses.replace(spec, log=dataclasses.replace(spec.log, time=time))
    found = begin_of(spec).ms(pl.DataFrame({"ts": [value]})).item()
    assert found == (1_649_347_200_000 if unit == "s" else 1_649_347_200_123)


def test_no_readable_time_is_said(tmp_path, write_logs, spec):
    logs = write_logs(tmp_path, {"log.csv": ["cut"]})
    with pytest.raises(ValueError, match="no line has a readable time in column 'ts'"):
        discover_days(spec, logs)


def _with_log(spec, **changes):
    return dataclasses.replace(spec, log=dataclasses.replace(spec.log, **changes))


def test_side_files_have_the_logs_format_or_their_own(spec):
    joins = dict(spec.log.joins)
    joins["clips"] = dataclasses.replace(joins["clips"], format="csv")
    spec = _with_log(spec, format="parquet", joins=joins)
    assert log_source(spec).format == "parquet"
    formats = {name: source.format for name, source in join_sources(spec).items()}
    assert formats == {"people": "parquet", "clips": "csv"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "tfrecord"])
def test_every_format_gives_the_same_rows(tmp_path, form, spec, random_rows):
    rows = random_rows(3, 100)
    path = tmp_path / "log.x"
    columns = {name: [row[name] for row in rows] for name in spec.log.columns}
    if form == "csv":
        pl.DataFrame(columns).write_csv(path)
    elif form == "jsonl":
        pl.DataFrame(columns).write_ndjson(path)
    elif form == "parquet":
        pl.DataFrame(columns).write_parquet(path)
    else:
        path.write_bytes(_as_records(columns))
    source = log_source(_with_log(spec, format=form, files="log.x"))
    parts = plan_ranges(source, str(tmp_path))
    blocks = [block for part in parts for block in read_blocks(part, source)]
    found = pl.concat(block.rows for block in blocks)
    assert found.drop("_line", "_time_ms").to_dict(as_series=False) == columns
    assert found["_line"].to_list() == list(range(len(rows)))
    assert found.schema == {
        name: pl.String if name == "video" else pl.Int64 for name in found.columns
    }


def _as_records(columns):
    arrays = [
        pa.array([None if value is None else [value] for value in values])
        if name != "video"
        else pa.array([[value.encode()] for value in values])
        for name, values in columns.items()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    return b"".join(map(record, RecordBatchToExamplesEncoder().encode(batch)))


def test_days_come_from_the_paths_where_they_have_them(tmp_path, spec):
    spec = _with_log(spec, files="{day}/log.csv")
    for day in ("20220408", "20220409"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "log.csv").write_text("never read")
    assert str(discover_days(spec, str(tmp_path))) == "20220408:20220409"
    for day in ("20220411", "20220412", "20220413"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "log.csv").write_text("never read")
    told = "none of 20220410:20220410 between.*give --days 20220411:20220413"
    with pytest.raises(ValueError, match=told):
        discover_days(spec, str(tmp_path))
    # A day that is made, or known to have had nothing, needs no file.
    known = [datetime.date(2022, 4, day) for day in (7, 10)]
    found = discover_days(spec, str(tmp_path), known=known)
    assert str(found) == "20220407:20220413"


def test_a_stray_date_does_not_widen_the_days(
    tmp_path, write_logs, log_line, spec, midnight
):
    row = {"uid": 1, "video": "v", "watched": 0, "length": 1, "tab": 0, "liked": 0}
    lines = [log_line({**row, "ts": midnight + n}) for n in range(2_000)]
    logs = write_logs(
        tmp_path, {"log.csv": [*lines, log_line({**row, "ts": midnight - 10**10})]}
    )
    # 10^10 ms are 115.7 days: the 13th of December.
    with pytest.raises(ValueError, match=r"20211213 \(1\).*--days 20220408:20220408"):
        discover_days(spec, logs)


def test_times_in_another_unit_are_no_days(tmp_path, write_logs, log_line, spec):
    row = {"uid": 1, "video": "v", "watched": 0, "length": 1, "tab": 0, "liked": 0}
    logs = write_logs(tmp_path, {"log.csv": [log_line({**row, "ts": 1_649_347_200})]})
    with pytest.raises(ValueError, match="no line has a readable time in column 'ts'"):
        discover_days(spec, logs)
