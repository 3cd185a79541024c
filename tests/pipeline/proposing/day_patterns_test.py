"""Days in paths."""

import datetime

import pytest

from pipeline.proposing.day_patterns import (
    common_pattern,
    dated,
    shape_of,
    without_numbers,
)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("dt=2023-11-15/a.parquet", "dt={day:%Y-%m-%d}/a.parquet"),
        ("log_20231115.csv", "log_{day}.csv"),
        ("2023/11/15/a.csv", "{day:%Y/%m/%d}/a.csv"),
        ("year=2023/month=11/day=15/a", "year={day:%Y/month=%m/day=%d}/a"),
    ],
)
def test_one_date_of_a_path_is_its_day(path, pattern):
    found = dated(path)
    assert found.day == datetime.date(2023, 11, 15)
    assert found.pattern == pattern


@pytest.mark.parametrize(
    "path",
    [
        "log_20220408_to_20220421.csv",  # two days
        "log_4_08_to_4_21.csv",  # no year
        "part-20231345.csv",  # no day of the calendar
        "ids_120231115.csv",  # part of a longer number
        "old_19700101.csv",
    ],
)
def test_a_path_without_one_plausible_date_names_no_day(path):
    assert dated(path).day is None
    assert dated(path).pattern == path


def test_paths_that_differ_in_digits_have_one_shape():
    assert shape_of("dt={day:%Y-%m-%d}/hour=05/part-3.csv") == (
        "dt={day:%Y-%m-%d}/hour=#/part-#.csv"
    )


def test_what_differs_between_paths_becomes_a_star():
    names = ["log_standard_4_08_pure.csv", "log_random_4_22_pure.csv"]
    assert common_pattern(names) == "log_*.csv"
    days = ["d={day}/h=05/a.csv", "d={day}/h=17/a.csv"]
    assert common_pattern(days) == "d={day}/h=*/a.csv"


def test_a_digit_at_the_edge_of_what_differs_belongs_to_it():
    assert common_pattern(["part-001.csv", "part-002.csv"]) == "part-*.csv"


def test_numbers_of_parts_and_hours_are_no_part_of_the_pattern():
    pattern = "dt={day:%Y-%m-%d}/hour=17/part-00000.parquet"
    assert without_numbers(pattern) == "dt={day:%Y-%m-%d}/hour=*/part-*.parquet"
    assert without_numbers("log_{day}.csv") == "log_{day}.csv"
