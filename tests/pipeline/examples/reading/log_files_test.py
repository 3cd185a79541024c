"""Files by globs and days; the directory that holds the logs."""

import datetime
import types

import pytest

from pipeline.examples.days import DayRange
from pipeline.examples.reading.log_files import day_of, find_logs, match_files
from pipeline.examples.reading.sources import Source


def _source(pattern):
    return Source("log", pattern, {})


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def _names(folder, source, days=None, context=None):
    days = DayRange.parse(days) if days else None
    files = match_files(source, str(folder), days, context)
    return [file.path.removeprefix(f"{folder}/") for file in files]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("log_{day}.csv", "/logs/log_20220408.csv"),
        ("*_{day}_*.csv", "/logs/20220101_a_20220408_b.csv"),
        ("dt={day:%Y-%m-%d}/log_*.csv", "/l/dt=2022-04-08/log_20220101.csv"),
        ("{day:%Y/%m/%d}/part-??.csv", "gs://bucket/x/2022/04/08/part-01.csv"),
        ("{day:year=%Y/month=%m/day=%d}/[ab].csv", "/year=2022/month=04/day=08/a.csv"),
    ],
)
def test_the_day_of_a_path(pattern, path):
    assert day_of(path, _source(pattern)) == datetime.date(2022, 4, 8)


def test_a_day_that_the_calendar_has_not_is_refused(tmp_path):
    _touch(tmp_path, "20220408.csv", "20220431.csv")
    with pytest.raises(
        ValueError, match=r"20220431\.csv matches {day}\.csv, but holds"
    ):
        _names(tmp_path, _source("{day}.csv"), "20220408")


def test_only_the_days_asked_for_and_earlier_ones_are_read(tmp_path):
    names = [f"dt=2022-04-{n:02}/{part}.csv" for n in range(5, 12) for part in "ab"]
    _touch(tmp_path, *names, "dt=2022-04-08/c.txt", "dt=other/a.csv")
    source = _source("dt={day:%Y-%m-%d}/*.csv")
    assert _names(tmp_path, source) == names
    assert _names(tmp_path, source, "20220408:20220409") == names[:10]
    assert _names(tmp_path, source, "20220408:20220409", 0) == names[6:10]
    assert _names(tmp_path, source, "20220408:20220409", 2) == names[2:10]


def test_a_day_without_a_file_is_named_with_what_is_there(tmp_path):
    _touch(tmp_path, *(f"log_202204{n:02}.csv" for n in (6, 8, 9, 12)))
    with pytest.raises(FileNotFoundError) as caught:
        _names(tmp_path, _source("log_{day}.csv"), "20220408:20220412")
    assert "no file of the days 20220410:20220411. There are files of" in str(
        caught.value
    )
    assert "20220406, 20220408:20220409, 20220412." in str(caught.value)


def test_days_do_not_choose_files_whose_names_have_none(tmp_path):
    _touch(tmp_path, "log_20220408.csv")
    assert _names(tmp_path, _source("log_*.csv"), "20230101", 0) == ["log_20220408.csv"]


def test_nothing_there_is_told_from_nothing_matching(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none does not exist\. Give the dir"):
        _names(tmp_path / "none", _source("log_*.csv"))
    with pytest.raises(FileNotFoundError, match="is empty, or no directory"):
        _names(tmp_path, _source("log_*.csv"))
    _touch(tmp_path, *(f"{n:02}.csv" for n in range(25)))
    with pytest.raises(
        FileNotFoundError, match=r"It holds 00\.csv, .*19\.csv and 5 more"
    ):
        _names(tmp_path, _source("log_*.csv"))


_KUAIRAND = types.SimpleNamespace(
    log=types.SimpleNamespace(files="log_*.csv", columns={}, tfds=None)
)
_FILES = {
    "pure": "data/log_standard_4_08_to_4_21_pure.csv",
    "1K": "data/log_standard_4_08_to_4_21_1k.csv",
    "27K": "data/log_standard_4_08_to_4_21_27k_part1.csv",
}


@pytest.mark.parametrize("size", _FILES)
@pytest.mark.parametrize("named", [".", "KuaiRand", "KuaiRand/data"])
def test_kuairand_is_found_as_it_unpacks(tmp_path, size, named):
    _touch(tmp_path / "KuaiRand", _FILES[size], "load_data.py", "figs/log.png")
    found = find_logs(_KUAIRAND, str(tmp_path / named))
    assert found.replace("/./", "/") == str(tmp_path / "KuaiRand/data")


def test_logs_right_in_the_directory_come_first(tmp_path):
    _touch(tmp_path, "log_a.csv", "data/log_a.csv")
    assert find_logs(_KUAIRAND, str(tmp_path)) == str(tmp_path)


def test_a_directory_without_data_between_is_found(tmp_path):
    _touch(tmp_path, "week/log_a.csv", "week/log_b.csv")
    assert find_logs(_KUAIRAND, str(tmp_path)) == str(tmp_path / "week")


def test_days_in_directories_are_no_part_of_the_logs_directory(tmp_path):
    spec = types.SimpleNamespace(
        log=types.SimpleNamespace(
            files="dt={day:%Y-%m-%d}/*.csv", columns={}, tfds=None
        )
    )
    _touch(tmp_path, "raw/dt=2022-04-08/a.csv", "raw/dt=2022-04-09/a.csv")
    assert find_logs(spec, str(tmp_path)) == str(tmp_path / "raw")


def test_several_data_sets_are_named(tmp_path):
    _touch(tmp_path, "KuaiRand-1K/data/log_a.csv", "KuaiRand-Pure/data/log_a.csv")
    with pytest.raises(ValueError, match=r"-1K/data, .*-Pure/data\. Give one of them"):
        find_logs(_KUAIRAND, str(tmp_path))


def test_a_directory_without_logs_lists_what_it_holds(tmp_path):
    _touch(tmp_path, "a/b/notes.txt")
    with pytest.raises(
        FileNotFoundError, match=r"log_\*\.csv .*It holds a/b/notes\.txt"
    ):
        find_logs(_KUAIRAND, str(tmp_path))


_LAYOUTS = {
    "{day}/a.csv": "%Y%m%d/a.csv",
    "log_{day}.csv": "log_%Y%m%d.csv",
    "dt={day:%Y-%m-%d}/a.csv": "dt=%Y-%m-%d/a.csv",
    "{day:%Y/%m/%d}/part-*.csv": "%Y/%m/%d/part-1.csv",
    "{day:y=%Y/m=%m/d=%d}/a.csv": "y=%Y/m=%m/d=%d/a.csv",
    "{day:%d.%m.%Y}.csv": "%d.%m.%Y.csv",
}


@pytest.mark.parametrize("pattern", _LAYOUTS)
@pytest.mark.parametrize(
    ("zone", "folder_zone", "first", "last"),
    [
        ("UTC", "UTC", 8, 9),
        ("Asia/Shanghai", "UTC", 7, 9),
        ("America/Los_Angeles", "UTC", 8, 10),
        ("UTC", "Asia/Shanghai", 8, 10),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago", 6, 8),
    ],
)
def test_files_named_by_days_of_another_zone(
    tmp_path, pattern, zone, folder_zone, first, last
):
    days = [datetime.date(2022, 4, n) for n in range(5, 13)]
    names = [f"{day:{_LAYOUTS[pattern]}}" for day in days]
    _touch(tmp_path, *names)
    source = Source("log", pattern, {}, zone=zone, folder_zone=folder_zone)
    found = _names(tmp_path, source, "20220408:20220409", 0)
    assert sorted(found) == sorted(names[first - 5 : last - 4])


def test_a_neighbour_that_is_not_there_is_named_with_the_reason(tmp_path):
    _touch(tmp_path, "20220408.csv", "20220409.csv")
    source = Source("log", "{day}.csv", {}, zone="Asia/Shanghai", folder_zone="UTC")
    with pytest.raises(FileNotFoundError) as caught:
        _names(tmp_path, source, "20220408:20220409")
    assert "no file of the days 20220407. There are files of" in str(caught.value)
    assert (
        "The days 20220408:20220409 of Asia/Shanghai lie in the files of "
        "20220407:20220409, days of UTC (log.folder_timezone)." in str(caught.value)
    )
    assert _names(tmp_path, source, "20220409", 0) == ["20220408.csv", "20220409.csv"]


def test_days_after_are_taken_if_they_have_files(tmp_path):
    _touch(tmp_path, *(f"dt=2022041{day}/x.csv" for day in (1, 2, 4, 5)))
    source = Source("events.acts", "dt={day}/x.csv", {})
    days = DayRange.parse("20220411:20220412")
    files = match_files(source, str(tmp_path), days, None, 2)
    assert [file.path.split("/")[-2] for file in files] == [
        "dt=20220411",
        "dt=20220412",
        "dt=20220414",
    ]
