"""Days as stretches; stray days are said, with what to ask for."""

import datetime

import pytest

from pipeline.examples.reading.day_stretches import (
    range_without_strays,
    show,
    stretches,
)


def _day(number):
    """Day `number` of April 2022; also below 1 and above 30."""
    return datetime.date(2022, 4, 1) + datetime.timedelta(days=number - 1)


def _rows(**days):
    return {_day(int(name[1:])): count for name, count in days.items()}


def test_stretches_end_where_a_day_is_missing():
    days = [_day(n) for n in (9, 8, 12, 8, 14)]
    assert [str(part) for part in stretches(days)] == [
        "20220408:20220409",
        "20220412:20220412",
        "20220414:20220414",
    ]
    assert show(days) == "20220408:20220409, 20220412, 20220414"
    assert [str(part) for part in stretches(days, gap=2)] == [
        "20220408:20220409",
        "20220412:20220414",
    ]


def test_stray_days_are_refused_with_a_proposal():
    rows = _rows(d8=60_000, d9=40_000, d11=70, d29=20)
    with pytest.raises(ValueError) as caught:
        range_without_strays(rows, gap=1)
    message = str(caught.value)
    assert "20220411 (70), 20220429 (20)" in message
    assert message.endswith("--days 20220408:20220409.")


@pytest.mark.parametrize(
    "rows",
    [
        _rows(d8=60_000, d9=5),  # next to the others: a day that has just begun
        _rows(d8=60_000, d10=500),  # a gap, but too many rows for strays
        _rows(d8=60_000, d10=5, d12=60_000),  # inside the range, it widens nothing
        _rows(d8=3, d12=4),
    ],
)
def test_other_days_stay_in_the_range(rows):
    days = range_without_strays(rows, gap=1)
    assert (days.first, days.last) == (min(rows), max(rows))


def test_a_sparse_log_bears_wider_gaps():
    rows = _rows(d1=60_000, d20=5)
    assert len(range_without_strays(rows, gap=28)) == 20
    with pytest.raises(ValueError, match="--days 20220401:20220401"):
        range_without_strays(rows, gap=7)
