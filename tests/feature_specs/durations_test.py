"""Lengths of time as people write them."""

import pytest

from feature_specs.durations import seconds_of, text_of


@pytest.mark.parametrize(
    "text, seconds",
    [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("366d", 31622400)],
)
def test_a_length_of_time(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "0h", "1.5h", "-1d", "367d", "1 day", "1w"])
def test_what_is_no_length_of_time(text):
    with pytest.raises(ValueError, match="such as 90s, 30m, 24h or 7d"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(86_400, "1d"), (90_000, "25h"), (5_400, "90m"), (61, "61s"), (604_800, "7d")],
)
def test_a_length_of_time_is_told_in_its_largest_whole_unit(seconds, text):
    assert text_of(seconds) == text
    assert seconds_of(text) == seconds
