"""Causes by values worked out by hand."""

import pytest

from serving.skew.skew_causes import is_missing, likely_cause

NAN = float("nan")


@pytest.fixture(scope="module")
def feature(spec):
    return {feature.name: feature for feature in spec.features}


@pytest.mark.parametrize(
    ("name", "pairs", "told"),
    [
        ("seconds", [(7.0, 7000.0), (20.5, 20500)], "1,000 times too large: millisec"),
        ("seconds", [(7000.0, 7.0), (20500.0, 20.5)], "1,000 times too small: seconds"),
        ("seconds", [(2.0, 120.0), (1.5, 90.0)], "60 times too large"),
        ("tab", [(120, 2), (3600, 60)], "60 times too small"),
        # of float32, 0.1 is 0.10000000149
        ("seconds", [(0.10000000149011612, 100.0)], "1,000 times too large"),
        ("cover", [([1.0, 2.0], [100.0, 200.0])], "100 times too large: percent"),
        ("seconds", [(7.0, None)], "not sent"),
        ("seconds", [(7.0, NAN), (8.0, NAN)], "sent as missing"),
        ("tab", [(3, -1)], "sent as missing"),
        ("history_video_id", [([10, 11], [])], "sent as missing"),
        ("seconds", [(NAN, 0.0), (NAN, 0.0)], "a missing value sent as 0.0: leave it"),
        (
            "tab",
            [(-1, 0)],
            "a missing value sent as 0: leave it out, or send null or -1",
        ),
        ("kind", [("", "unknown")], "a missing value sent as 'unknown'"),
        ("user_id", [(12, "12")], "a number sent as text"),
        ("user_id", [(12, 12.0)], "a whole number sent as a float"),
        ("kind", [("1", 1)], "text sent as a number"),
        ("history_video_id", [([1, 2, 3], [1, 2])], "the first values are kept"),
        ("history_video_id", [([1, 2, 3], [2, 3])], "the last values are kept"),
        ("history_video_id", [([2, 3], [1, 2, 3])], "more values than in training"),
        ("history_video_id", [([1, 2, 3], [3, 2, 1])], "in the reverse order"),
        ("history_video_id", [([1, 2, 3], [2, 1, 3])], "in another order"),
        ("kind", [("Cat", "cat "), ("A", "a")], "upper and lower case, or blanks"),
        ("title", [("Caf\u00e9", "Caf\u00c3\u00a9")], "UTF-8 that was read as Latin-1"),
        ("kind", [("a", "zzz")], "the vocabulary does not have"),
        # 2^24 + 1 is no float32, 2^53 + 1 no double
        ("user_id", [(2**24 + 1, 2**24)], "went through float32"),
        ("user_id", [(2**53 + 1, 2**53)], "went through a double"),
        ("seconds", [(7.8, 7.0), (3.2, 3.0)], "cut to whole numbers"),
        ("seconds", [(7.8, 8.0), (3.2, 3.0), (4.6, 5.0)], "rounded to 0 digits"),
        ("seconds", [(0.123, 0.12), (7.777, 7.78)], "rounded to 2 digits"),
        ("tab", [(3, 6), (4, 7)], "always +3: another zero, time zone"),
        ("seconds", [(3.0, 7.5), (4.0, 10.0)], "always 2.5 times as large"),
        ("seconds", [(3.0, 7.5), (4.0, 1.0)], ""),
        ("user_id", [(7, 9)], ""),
        ("seconds", [], ""),
    ],
)
def test_what_values_have_between_them(feature, name, pairs, told):
    vocabulary = ["a", "b"] if name == "kind" else None
    found = likely_cause(feature[name], pairs, vocabulary)
    assert told in found and bool(told) == bool(found)


def test_a_cause_holds_for_nine_rows_of_ten(feature):
    thousand = [(float(n), 1000.0 * n) for n in range(1, 10)]
    assert "1,000" in likely_cause(feature["seconds"], [*thousand, (1.0, 3.0)])
    assert likely_cause(feature["seconds"], [*thousand[:8], (1.0, 3.0)]) == ""


def test_what_is_missing(feature):
    assert is_missing(feature["tab"], -1) and not is_missing(feature["tab"], -1.0)
    assert is_missing(feature["seconds"], NAN) and is_missing(feature["cover"], [NAN])
    assert is_missing(feature["kind"], "") and not is_missing(feature["kind"], 0)
    assert is_missing(feature["history_video_id"], [-1, None])
    assert not is_missing(feature["history_video_id"], [-1, 3])
