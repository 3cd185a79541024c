"""Day ranges and the splits made of them."""

import datetime

import pytest

from pipeline.examples.days import DayRange, days_elsewhere, plan_splits


def test_a_range_counts_both_ends():
    days = DayRange.parse("20220228:20220302")
    assert [f"{day:%m%d}" for day in days] == ["0228", "0301", "0302"]
    assert len(days) == 3
    assert str(days) == "20220228:20220302"


def test_one_day_is_a_range():
    assert len(DayRange.parse("20220408")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2022-04-08", "must be FIRST:LAST, each as YYYYMMDD"),
        ("20220408:", "must be FIRST:LAST"),
        ("20220431:20220501", "'20220431' is no day of the calendar"),
        ("20220409:20220408", "the first day comes after the last"),
    ],
)
def test_a_bad_range_says_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        DayRange.parse(text)


def test_evaluation_takes_the_last_days():
    plan = plan_splits(DayRange.parse("20220408:20220411"), 1, 1)
    assert plan.train == ("day-20220408", "day-20220409", "day-20220410")
    assert plan.evaluation == ("day-20220411",)
    assert plan.first_evaluation_day == datetime.date(2022, 4, 11)


def test_a_new_block_begins_with_evaluation():
    # 8 + 9, then 10 alone as evaluation begins on the 11th, then 11 + 12, then 13.
    plan = plan_splits(DayRange.parse("20220408:20220413"), 3, 2)
    assert plan.train == ("day-20220408", "day-20220410")
    assert plan.evaluation == ("day-20220411", "day-20220413")
    assert plan.split_of(datetime.date(2022, 4, 9)) == "day-20220408"
    assert plan.split_of(datetime.date(2022, 4, 12)) == "day-20220411"


def test_a_day_outside_has_no_split():
    plan = plan_splits(DayRange.parse("20220408:20220411"), 1, 1)
    with pytest.raises(ValueError, match="20220412 is not in 20220408:20220411"):
        plan.split_of(datetime.date(2022, 4, 12))


@pytest.mark.parametrize("eval_days", [0, 4, 5])
def test_one_day_must_stay_for_training(eval_days):
    with pytest.raises(ValueError, match=f"leave one day to train on, got {eval_days}"):
        plan_splits(DayRange.parse("20220408:20220411"), eval_days, 1)


@pytest.mark.parametrize(
    ("day", "zone", "other", "days"),
    [
        ("20220408", "UTC", "UTC", "20220408:20220408"),
        ("20220408", "Asia/Shanghai", "UTC", "20220407:20220408"),
        ("20220408", "UTC", "Asia/Shanghai", "20220408:20220409"),
        ("20220408", "America/Los_Angeles", "UTC", "20220408:20220409"),
        ("20220408", "UTC", "America/Los_Angeles", "20220407:20220408"),
        ("20220408", "Asia/Kolkata", "Asia/Kathmandu", "20220408:20220409"),
        ("20220408", "Asia/Tokyo", "Asia/Seoul", "20220408:20220408"),
        # 25 hours apart: no hour of the day lies on a day of the same date.
        ("20220408", "Pacific/Kiritimati", "Pacific/Pago_Pago", "20220406:20220407"),
        # A day of 23 hours, and one of 25: 04:00 or 05:00 UTC to the next midnight.
        ("20220313", "America/New_York", "UTC", "20220313:20220314"),
        ("20221106", "America/New_York", "Etc/GMT+4", "20221106:20221107"),
        ("20220115", "Europe/London", "UTC", "20220115:20220115"),
        ("20220715", "Europe/London", "UTC", "20220714:20220715"),
        # Its midnight did not exist: the day began at 01:00, 03:00 UTC.
        ("20220911", "America/Santiago", "Etc/GMT+3", "20220911:20220911"),
        ("20220408:20220410", "Asia/Shanghai", "UTC", "20220407:20220410"),
    ],
)
def test_days_of_a_zone_on_days_of_another(day, zone, other, days):
    found = days_elsewhere(DayRange.parse(day), zone, other)
    assert str(found) == days
