"""Five fields of cron, by crontab(5)."""

import pytest

from feature_specs.errors import UsageError
from pipeline.cloud.cron import check_cron, with_timezone


@pytest.mark.parametrize(
    "text",
    [
        "0 5 * * *",
        "*/15 0-6,22-23 1,15 JAN-mar,12 MON-FRI",
        "59 23 31 12 7",
        "5/10 * * * *",
        "0 0 29 2 *",  # in leap years
        "0 0 31 2,3 *",  # in March
        "0 0 31 2 1",  # cron takes either: on Mondays of February
    ],
)
def test_what_cron_takes(text):
    check_cron(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 5 * *", "must have five fields"),
        ("@daily", "must have five fields"),
        ("0 0 5 * * *", "Got 6"),
        ("60 5 * * *", "the minute must be 0 to 59. Got '60'"),
        ("0 24 * * *", "the hour must be 0 to 23"),
        ("0 5 0 * *", "the day of the month must be 1 to 31"),
        ("0 5 * 13 *", "the month must be 1 to 12 or JAN to DEC. Got '13'"),
        ("0 5 * * 8", "the day of the week must be 0 to 7 or SUN to SAT"),
        ("0 5 * * MON-XYZ", "Got 'XYZ'"),
        ("0 5-3 * * *", "a range must go up. Got '5-3'"),
        ("*/0 5 * * *", "a step must be 1 or more"),
        ("0,,1 5 * * *", "the minute must be like"),
        ("-5 5 * * *", "the minute must be like"),
        ("0 0 30 2 *", "its month never has day 30"),
        ("0 0 31 4,6 *", "its month never has day 31"),
    ],
)
def test_what_never_runs_or_is_no_cron_is_told(text, told):
    with pytest.raises(UsageError) as refused:
        check_cron(text)
    assert told in str(refused.value)


def test_a_time_zone_goes_in_front_as_vertex_takes_it():
    assert with_timezone("0 5 * * *", "") == "0 5 * * *"
    assert with_timezone("0 5 * * *", "Europe/Berlin") == "TZ=Europe/Berlin 0 5 * * *"
    with pytest.raises(UsageError, match="--timezone Berlin: must be a name"):
        with_timezone("0 5 * * *", "Berlin")
