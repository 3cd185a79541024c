"""The whole pipeline on Beam, in this process: values, bytes, accounts, errors."""

import dataclasses
import gzip
import json
import pathlib
import re
import struct

import pytest
from google_crc32c import value as crc32c
from tfx_bsl.coders import example_coder

from feature_specs import load_spec, read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DayRange
from pipeline.examples.report import ExamplesError
from pipeline.examples.request import ExamplesRequest
from pipeline.simulator import damage, simulate


@pytest.fixture
def request_for(tmp_path, spec):
    """(logs directory, name of the run) -> a request with its own outputs."""

    def make(logs, name="run", **changes):
        out = tmp_path / name
        settings = {
            "spec": spec,
            "logs_dir": logs,
            "examples_dir": str(out / "examples"),
            "rejects_dir": str(out / "rejects"),
            "report_path": str(out / "report.json"),
            "days": DayRange.parse("20220408:20220411"),
            "seed": 3,
        }
        return ExamplesRequest(**{**settings, **changes})

    return make


@pytest.fixture
def logs_of(tmp_path, write_logs, log_line):
    """(directory name, rows) -> logs in two files."""

    def make(name, rows, cut=None):
        lines = [log_line(row) for row in rows]
        cut = len(lines) // 2 if cut is None else cut
        parts = {"log_1.csv": lines[:cut], "log_2.csv": lines[cut:]}
        return write_logs(tmp_path / name, parts)

    return make


def _files(request):
    root = pathlib.Path(request.examples_dir)
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _records(data):
    """Records of a gzip TFRecord file, their checksums verified."""
    data, records = gzip.decompress(data), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        record = data[12 : 12 + size]
        for body, check in ((data[:8], data[8:12]), (record, data[12 + size :][:4])):
            crc = crc32c(body)
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", check) == (masked % 2**32,)
        records.append(record)
        data = data[16 + size :]
    return records


def _examples(request):
    """{(split, uid, ts, video): {key: list of values or None}} of all files."""
    found = {}
    decoder = example_coder.ExamplesToRecordBatchDecoder()
    for name, data in _files(request).items():
        if not name.startswith("Split-"):
            continue
        split = name.split("/")[0].removeprefix("Split-")
        for row in decoder.DecodeBatch(_records(data)).to_pylist():
            key = (
                row["key_user"][0],
                row["key_time_ms"][0],
                row["key_item"][0].decode(),
            )
            assert key not in found
            found[key] = {**row, "split": split}
    return found


def _rejects(request):
    return [
        json.loads(line)
        for path in sorted(pathlib.Path(request.rejects_dir).glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_files_hold_the_reference_examples(
    request_for, logs_of, random_rows, reference
):
    rows = random_rows(11, 400)
    request = request_for(logs_of("logs", rows), range_bytes=4_000, file_rows=60)
    report = run_examples(request)
    expected, filtered = reference(rows)
    found = _examples(request)
    assert found.keys() == expected.keys()
    for key, example in expected.items():
        for name, value in example.items():
            got = [_text(item) for item in found[key].get(name) or []]
            wanted = value if isinstance(value, list) else [value]
            if isinstance(value, float):
                wanted = pytest.approx(wanted, rel=1e-6, nan_ok=True)
            assert got == wanted, name
    assert report["filtered"] == filtered
    assert report["rows_in"] == len(rows)
    assert sum(report["examples"].values()) == len(expected)
    train = [e for k, e in expected.items() if found[k]["split"] != "day-20220411"]
    mean = sum(example["label_like"] for example in train) / len(train)
    assert report["label_means"]["like"] == pytest.approx(mean)


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def test_bytes_depend_on_rows_and_seed_only(request_for, logs_of, random_rows):
    rows = random_rows(12, 300)
    other = list(reversed(rows))
    first = request_for(logs_of("a", rows), "one", file_rows=40, shards=1)
    second = request_for(
        logs_of("b", other, cut=17), "two", file_rows=40, shards=5, range_bytes=999
    )
    third = request_for(logs_of("c", rows), "three", file_rows=40, seed=4)
    for request in (first, second, third):
        run_examples(request)
    assert len(_files(first)) > 4  # several files a day
    assert _files(first) == _files(second)
    assert _files(first) != _files(third)
    # Another seed is another order of the same examples; repr, as NaN != NaN.
    assert sorted(map(repr, _examples(first).items())) == sorted(
        map(repr, _examples(third).items())
    )


def test_frames_travel_in_files_or_inside_beam_alike(request_for, logs_of, random_rows):
    logs = logs_of("logs", random_rows(18, 300))
    here, elsewhere = request_for(logs, "here"), request_for(logs, "elsewhere")
    run_examples(here)
    # The same runner by another name: not known as the one of this process.
    name = "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner"
    run_examples(elsewhere, [f"--runner={name}"])
    assert _files(here) == _files(elsewhere)
    assert not any("_unfinished" in file for file in _files(here))


def test_earlier_days_are_context_and_no_examples(request_for, logs_of, random_rows):
    logs = logs_of("logs", random_rows(19, 300))
    whole = request_for(logs, "whole")
    days = DayRange.parse("20220410:20220411")
    tail = request_for(logs, "tail", days=days)
    cut = request_for(logs, "cut", days=days, context_days=0)
    all_days, with_context, without = map(run_examples, (whole, tail, cut))
    later = re.compile("day-202204(10|11)")  # examples and summaries
    expected = {n: d for n, d in _files(whole).items() if later.search(n)}
    assert _files(tail) == expected  # history, trails, counts know the days before
    assert _files(cut) != expected
    assert all_days["context"] == 0
    per_day = all_days["rows_per_day"]
    before = per_day["20220408"] + per_day["20220409"]
    assert with_context["context"] == without["outside_days"] == before


def test_late_data_replaces_its_own_day_only(
    tmp_path, request_for, logs_of, random_rows, midnight
):
    rows = random_rows(20, 300)
    noon = midnight + 2 * 86_400_000 + 43_200_000  # 2022-04-10
    late = [
        {**row, "ts": noon + 1000 * n, "watched": 30_000}
        for n, row in enumerate(rows[:40])
    ]
    logs = logs_of("logs", rows)
    request = request_for(logs)
    run_examples(request)
    before = _files(request)
    fresh = request_for(logs_of("logs", [*rows, *late]), "fresh")
    run_examples(fresh)
    replacing = dataclasses.replace(request, only=DayRange.parse("20220410"))
    report = run_examples(replacing)
    after = _files(request)
    for name, data in after.items():
        wanted = _files(fresh) if "day-20220410" in name else before
        assert data == wanted[name], name
    assert after.keys() == before.keys()
    assert _files(fresh) != before
    assert report["replaced"] == ["day-20220410"]
    counts = {
        split: sum(1 for key in _examples(request).values() if key["split"] == split)
        for split in report["examples"]
    }
    assert report["examples"] == counts
    assert json.loads(pathlib.Path(request.report_path).read_text()) == report


def test_a_failed_replacement_leaves_everything_as_it_was(
    tmp_path, request_for, logs_of, random_rows
):
    rows = random_rows(21, 200)
    request = request_for(logs_of("logs", rows))
    run_examples(request)
    before = _files(request), pathlib.Path(request.report_path).read_text()
    log = tmp_path / "logs" / "log_1.csv"
    log.write_text(log.read_text() + "cut\n" * 500)
    replacing = dataclasses.replace(request, only=DayRange.parse("20220410"))
    with pytest.raises(ExamplesError, match="of the log are unreadable"):
        run_examples(replacing)
    assert before == (_files(request), pathlib.Path(request.report_path).read_text())


def test_only_a_day_of_the_same_request_can_be_replaced(
    request_for, logs_of, random_rows
):
    request = request_for(logs_of("logs", random_rows(22, 120)))
    only = DayRange.parse("20220410")
    with pytest.raises(ValueError, match="no finished examples here"):
        run_examples(dataclasses.replace(request, only=only))
    run_examples(request)
    other = dataclasses.replace(request, only=only, seed=4)
    with pytest.raises(ValueError, match="made with seed = 3, and this run has 4"):
        run_examples(other)
    with pytest.raises(ValueError, match="must lie in 20220408:20220411"):
        dataclasses.replace(request, only=DayRange.parse("20220412"))


def test_what_a_killed_run_left_is_removed(request_for, logs_of, random_rows):
    request = request_for(logs_of("logs", random_rows(23, 120)))
    unfinished = pathlib.Path(request.examples_dir, "_unfinished")
    left = unfinished / "shuffle" / "deep"
    left.mkdir(parents=True)
    (left / "part").write_text("half")
    run_examples(request)
    assert not unfinished.exists()


def test_rows_without_a_side_row_are_counted(request_for, logs_of, random_rows):
    rows = random_rows(24, 200)
    report = run_examples(request_for(logs_of("logs", rows)))
    unique = {(row["uid"], row["ts"], row["video"]) for row in rows}
    unknown = sum(user >= 9 for user, _, _ in unique)  # `people` has users 0 to 8
    assert report["joins"]["people"]["unmatched"] == unknown
    assert report["joins"]["clips"]["unmatched"] > 0


def test_every_line_is_accounted_for(
    tmp_path, request_for, write_logs, log_line, midnight
):
    row = {"uid": 1, "video": "v1", "watched": 0, "length": 8_000, "tab": 0, "liked": 0}
    good = [
        log_line({**row, "ts": midnight + day * 86_400_000 + n * 1000})
        for day in range(4)
        for n in range(3)
    ]
    line = good[0]
    damaged = {
        4: (line[:-4], "wrong number of columns"),
        5: (line + ",9", "wrong number of columns"),
        6: (line.replace("8000", "abc"), "length: not a whole number"),
        7: (line.replace(",v1,", ",,"), "video: empty"),
        8: (line.replace(str(midnight), "NaN"), "ts: not a whole number"),
        9: (line.replace(str(midnight), "-5"), "ts: not a plausible value"),
        10: (
            line.replace(str(midnight), str(midnight // 1000)),
            "ts: not a plausible value",
        ),
        11: (line.replace("v1", '"v1'), "misplaced quote"),
        12: (line.replace("8000", "8000.5"), "length: not a whole number"),
        13: (line + "\udcff", "not UTF-8"),
    }
    earlier = log_line({**row, "ts": midnight - 1})
    later = log_line({**row, "ts": midnight + 4 * 86_400_000})
    lines = [*good[:2], *(text for text, _ in damaged.values()), earlier, *good[2:]]
    lines.append(later)
    logs = write_logs(tmp_path / "logs", {"log_1.csv": []})
    text = "\r\n".join([pathlib.Path(logs, "log_1.csv").read_text().strip(), *lines])
    data = b"\xef\xbb\xbf" + text.encode(errors="surrogateescape")
    pathlib.Path(logs, "log_1.csv").write_bytes(data)  # no newline at the end

    request = request_for(logs, range_bytes=70)
    report = run_examples(request)
    rejects = _rejects(request)
    assert {r["line"]: (r["text"], r["reason"]) for r in rejects} == {
        number: (text.replace("\udcff", "\\xff"), reason)
        for number, (text, reason) in damaged.items()
    }
    assert {r["file"] for r in rejects} == {f"{logs}/log_1.csv"}
    assert report["rows_in"] == 12 + 10 + 2
    assert report["rejected"] == 10
    assert report["context"] == 1
    assert report["outside_days"] == 1
    assert (
        report["files"][f"{logs}/log_1.csv"]["rejects"]["wrong number of columns"] == 2
    )
    assert set(report["examples"].values()) == {3}


def test_every_damaged_line_of_a_simulated_log_is_a_reject(tmp_path, request_for):
    root = tmp_path / "sim"
    simulate(root, users=3, days=3, seed=5, rows_per_user_day=60)
    log = next((root / "data").glob("log_standard*.csv"))
    damaged = damage(str(log), 0.05, seed=2)
    request = request_for(
        str(root / "data"),
        spec=load_spec("kuairand"),
        days=DayRange.parse("20220408:20220410"),
        range_bytes=5_000,
    )
    told = r"more than log\.max_reject_share = 2.00%"
    with pytest.raises(ExamplesError, match=told) as refused:
        run_examples(request)
    assert refused.value.exit_status == 3
    rejects = _rejects(request)
    assert {(r["file"], r["line"]) for r in rejects} == {
        (str(log), line.line_number) for line in damaged
    }
    assert len(damaged) > 15


def test_of_repeated_side_keys_the_last_line_counts(request_for, logs_of, random_rows):
    logs = logs_of("logs", random_rows(13, 120))
    people = pathlib.Path(logs, "people.csv")
    people.write_text(people.read_text() + "Lhasa,3,1\nJinan,3,1\n")
    request = request_for(logs)
    report = run_examples(request)
    assert report["joins"]["people"]["duplicate_keys"] == 2
    cities = {e["city"][0] for e in _examples(request).values() if e["uid"] == [3]}
    assert cities == {b"Jinan"}


def test_too_many_rejects_fail_after_they_are_written(
    request_for, write_logs, log_line, spec_text, tmp_path, random_rows
):
    lines = [log_line(row) for row in random_rows(14, 60)]
    logs = write_logs(tmp_path / "logs", {"log_1.csv": [*lines, "cut", "cut", "x,y"]})
    strict = read_spec(
        spec_text.replace("max_reject_share: 0.5", "max_reject_share: 0.01")
    )
    request = request_for(logs, spec=strict)
    message = r"of the log are unreadable.*= 1.00%.*wrong number of columns \(3\)"
    with pytest.raises(ExamplesError, match=message) as caught:
        run_examples(request)
    assert request.rejects_dir in str(caught.value)
    assert list(pathlib.Path(request.rejects_dir).iterdir())
    assert json.loads(pathlib.Path(request.report_path).read_text())["rejected"] == 3


def test_days_without_rows_are_named(request_for, logs_of, random_rows):
    logs = logs_of("logs", random_rows(15, 120))
    beyond = request_for(logs, "beyond", days=DayRange.parse("20220410:20220413"))
    with pytest.raises(
        ExamplesError, match=r"No example for day-2022041\d.*20220408 \("
    ):
        run_examples(beyond)
    elsewhere = dataclasses.replace(beyond, days=DayRange.parse("20230101:20230102"))
    elsewhere = dataclasses.replace(elsewhere, examples_dir=beyond.examples_dir + "2")
    with pytest.raises(ExamplesError, match="No row is of the days 20230101:20230102"):
        run_examples(elsewhere)


def test_a_directory_with_examples_is_refused(request_for, logs_of, random_rows):
    request = request_for(logs_of("logs", random_rows(16, 120)))
    run_examples(request)
    with pytest.raises(ValueError, match="holds examples already"):
        run_examples(request)


def test_joins_on_other_columns_and_days_per_split(
    tmp_path, request_for, logs_of, random_rows, spec_text
):
    """A side file on `tab`, no user side file, two days a split."""
    text = spec_text.replace(
        'people: {files: "people*.csv", key: uid, columns: {uid: int64, city: "string?", age: "float64?"}}',
        'tabs: {files: "tabs*.csv", key: tab, columns: {tab: int64, city: "string?", age: "float64?"}}',
    ).replace("timezone:", "days_per_split: 2\n  timezone:")
    logs = logs_of("logs", random_rows(17, 120))
    pathlib.Path(logs, "tabs.csv").write_text("tab,city,age\n1,one,1\n0,zero,\n")
    request = request_for(
        logs, spec=read_spec(text), days=DayRange.parse("20220408:20220411")
    )
    report = run_examples(request)
    assert list(report["examples"]) == ["day-20220408", "day-20220410", "day-20220411"]
    for example in _examples(request).values():
        city = {0: b"zero", 1: b"one", -1: b""}[example["slice_tab"][0]]
        assert example["city"] == [city]
