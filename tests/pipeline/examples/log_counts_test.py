"""What readers count beside rows: days of rejects, columns without a value, folders."""

import datetime
import json

import pytest

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import DayRange
from pipeline.examples.log_counts import count_rejects_by_day, count_values
from pipeline.examples.read_logs import Reading, rows_of_days
from pipeline.examples.reading.file_heads import check_columns
from pipeline.examples.reading.readers import (
    discover_days,
    log_source,
    plan_ranges,
    read_blocks,
)
from pipeline.examples.reading.sources import Source
from pipeline.examples.report import (
    ExamplesError,
    build_report,
    count_block,
    merge_counts,
)
from pipeline.examples.request import ExamplesRequest

_DAY_MS = 86_400_000
_HEAD = "uid,video,ts,watched,length,tab,liked"


def _line(ts, uid=1, watched=0):
    return f"{uid},v,{ts},{watched},6000,0,0"


def _blocks(folder, spec):
    source = log_source(spec)
    for part in plan_ranges(source, str(folder)):
        for block in read_blocks(part, source):
            yield part, block, source


def test_a_reject_is_of_the_day_of_its_time_or_of_the_row_before(
    tmp_path, spec, midnight
):
    lines = [
        "cut",  # before any row: of the first one's day
        _line(midnight),
        _line(midnight + _DAY_MS, watched="much"),  # its own time is readable
        "cut",
        _line(midnight + 2 * _DAY_MS),
        "cut",
        _line(5, uid="x"),  # no plausible time
    ]
    (tmp_path / "log.csv").write_text("\n".join([_HEAD, *lines]))
    ((part, block, source),) = _blocks(tmp_path, spec)
    assert count_rejects_by_day(block, part, source, spec) == {
        ("day_reject", "20220408"): 1,
        ("day_reject", "20220409"): 2,
        ("day_reject", "20220410"): 2,
    }


def test_with_days_in_paths_a_reject_is_of_the_day_of_its_time_or_file(
    tmp_path, spec_text, midnight
):
    spec = read_spec(spec_text.replace("log*.csv", "log_{day}.csv"))
    lines = ["cut", _line(midnight + 9 * _DAY_MS, uid="x"), "cut"]
    (tmp_path / "log_20220412.csv").write_text("\n".join([_HEAD, *lines]))
    ((part, block, source),) = _blocks(tmp_path, spec)
    assert count_rejects_by_day(block, part, source, spec) == {
        ("day_reject", "20220412"): 2,
        ("day_reject", "20220417"): 1,
    }


_OLD = "uid,video,ts,watched,length,liked"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_that_older_files_lack_is_missing_there_and_told(
    tmp_path, spec_text, midnight, form
):
    spec = read_spec(spec_text.replace("log:\n", f"log:\n  format: {form}\n", 1))
    rows = [
        {"uid": 1, "video": "v", "ts": midnight + day * _DAY_MS, "watched": 0,
         "length": 6000, "tab": day, "liked": 0}
        for day in range(4)
    ]  # fmt: skip
    for day, row in enumerate(rows):
        if day < 2:
            row.pop("tab")
        row = dict(sorted(row.items(), key=lambda item: (day * 7 + len(item[0])) % 5))
        text = json.dumps(row)
        if form == "csv":
            text = ",".join(row) + "\n" + ",".join(map(str, row.values()))
        (tmp_path / f"log_{day}.csv").write_text(text)
    days = DayRange.parse("20220408:20220411")
    reading = Reading(
        spec=spec, parts=(), sources={}, days=days, first_day=days.first, shards=1
    )
    counts, tabs = [], []
    for part, block, source in _blocks(tmp_path, spec):
        tabs += block.rows["tab"].to_list()
        timed = block.rows.select(*spec.log.columns, TIME_MS)
        counts += [count_block(part, block), count_values(part, block, source)]
        counts.append(rows_of_days(timed, reading)[1])
    assert tabs == [None, None, 2, 3]
    request = _request(tmp_path, spec, "20220408:20220411")
    report = build_report(merge_counts(counts), spec, request.plan, 0)
    assert report["empty_columns"] == {
        "tab": {
            "files": [f"{tmp_path}/log_0.csv", f"{tmp_path}/log_1.csv"],
            "days": ["20220408", "20220409"],
        }
    }


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("uid,video,ts,watched,tab,liked", "column 'length' is missing"),
        (
            "uid,video,ts,watched,length,Tab,liked",
            "'tab' is missing, but there is 'Tab'",
        ),
        ("uid,video,ts,watched,length,t_a_b,liked", "missing, but there is 't_a_b'"),
        ("uid;video;ts;watched;length;tab;liked", "column 'uid' is missing"),
    ],
)
def test_a_column_that_is_needed_or_spelt_otherwise_is_refused(
    tmp_path, spec, head, message
):
    (tmp_path / "log_a.csv").write_text(f"{_HEAD}\n")
    (tmp_path / "log_b.csv").write_text(f"{head}\n")
    with pytest.raises(ValueError, match=rf"log_b\.csv: .*{message}"):
        plan_ranges(log_source(spec), str(tmp_path))


def test_a_file_with_none_of_the_columns_is_refused():
    source = Source("log", "*", {"tab": "int64?", "city": "string?"})
    with pytest.raises(ValueError, match=r"f\.csv: column 'tab' is missing"):
        check_columns("f.csv", ["tab;city"], source)
    check_columns("f.csv", ["city"], source)


def _request(folder, spec, days):
    return ExamplesRequest(
        spec=spec,
        logs_dir=str(folder),
        examples_dir=str(folder / "examples"),
        rejects_dir=str(folder / "rejects"),
        report_path=str(folder / "report.json"),
        days=DayRange.parse(days),
    )


@pytest.mark.parametrize("folder_zone", ["", "UTC"])
def test_folders_of_utc_hold_the_days_of_shanghai(
    tmp_path, spec_text, write_logs, log_line, folder_zone
):
    """A row an hour; a day of Shanghai is 16:00 to 16:00 of UTC."""
    text = spec_text.replace("log*.csv", "log_{day}.csv")
    if folder_zone:
        zones = f"timezone: Asia/Shanghai\n  folder_timezone: {folder_zone}"
        text = text.replace("timezone: Asia/Shanghai", zones)
    row = {"uid": 1, "video": "v1", "watched": 0, "length": 8_000, "tab": 0, "liked": 0}
    begin = datetime.datetime(2022, 4, 7, tzinfo=datetime.timezone.utc).timestamp()
    logs = {
        f"log_2022{407 + day:04}.csv": [
            log_line({**row, "ts": int(begin + day * 86_400 + hour * 3600) * 1000})
            for hour in range(24)
        ]
        for day in range(5)
    }
    write_logs(tmp_path, logs)
    spec = read_spec(text)
    request = _request(tmp_path, spec, "20220408:20220410")
    if not folder_zone:
        with pytest.raises(
            ExamplesError, match=r"33\.33% of the rows .* set it to UTC"
        ):
            run_examples(request)
        return
    # The 8th begins in the file of the 7th, and the 11th ends in that of the 11th.
    assert str(discover_days(spec, str(tmp_path))) == "20220408:20220411"
    report = run_examples(request)
    assert report["rows_per_day"] == {
        "20220407": 16, "20220408": 24, "20220409": 24, "20220410": 24, "20220411": 8,
    }  # fmt: skip
    assert (report["context"], report["outside_days"]) == (16, 8)


def test_missing_values_are_counted_by_column_and_told_where_there_are_none(
    tmp_path, spec
):
    at = 1_649_400_000_000
    texts = {
        "log_0.csv": f"1,v,{at},,6000,0,0\n1,v,{at},,6000,,",
        "log_1.csv": f"1,v,{at},7,6000,0,1\n1,v,{at},7,,0,1\n,v,{at},7,,0,1",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{_HEAD}\n{text}\n")
    counts = [
        one
        for part, block, source in _blocks(tmp_path, spec)
        for one in (count_block(part, block), count_values(part, block, source))
    ]
    request = _request(tmp_path, spec, "20220408:20220411")
    report = build_report(merge_counts(counts), spec, request.plan, 0)
    assert report["missing_values"] == {  # of four readable rows
        "length": {"rows": 1, "share": 0.25, "expected": False},
        "liked": {"rows": 1, "share": 0.25, "expected": False},
        "tab": {"rows": 1, "share": 0.25, "expected": True},
        "watched": {"rows": 2, "share": 0.5, "expected": False},
    }
    assert report["empty_columns"] == {
        "watched": {"files": [str(tmp_path / "log_0.csv")], "days": []}
    }
