"""What an encoding learns of days, and what days that follow add to it."""

import math

import pytest

from feature_specs import read_spec
from pipeline.encoding.learn import EncodingError, check_fits, extend, learn
from tests.encoded_rows import summary_of
from trainer.days.encoding import Appended, Scale

_TEXT = """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, liked: int64, city: "string?", tab: "int64?", fans: "float64?", title: "string?"}
  outcomes: [liked]
trail: {scope: [user_id]}
tables: {user: {buckets: 50}, video: {buckets: 50}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: city, group: query, kind: category, size: 3}
  - {name: tab, group: context, kind: category, size: auto}
  - {name: fans, group: query, kind: number, transform: log1p}
  - {name: share, group: query, kind: number, scale: minmax, expr: fans}
  - {name: plain, group: query, kind: number, scale: none, expr: fans}
  - {name: title, group: candidate, kind: text, size: 2, length: 4}
  - {name: video_id, group: candidate, kind: id, table: video}
tasks: [{name: like, kind: binary, label: "liked = 1"}]
fusion: {weights: {like: 1}}
"""
_SPEC = read_spec(_TEXT)
_FIRST, _SECOND, _THIRD = "day-20240101", "day-20240102", "day-20240103"


def _day(split, cities=(), tabs=(), fans=(), titles=()):
    rows = max(len(cities), len(tabs), len(fans), len(titles), 1)

    def at(values, row, missing):
        return values[row] if row < len(values) else missing

    return summary_of(
        _SPEC,
        [
            {
                "user_id": 1,
                "city": at(cities, row, ""),
                "tab": at(tabs, row, -1),
                "fans": float(at(fans, row, math.nan)),
                "share": float(at(fans, row, math.nan)),
                "plain": float(at(fans, row, math.nan)),
                "title": at(titles, row, ""),
                "video_id": 7,
                "label_like": 1.0,
                "mask_like": 1.0,
                "key_user": row,
                "key_item": 7,
                "key_time_ms": 5,
            }
            for row in range(rows)
        ],
        split,
    )


def test_the_most_frequent_values_of_all_days_come_first_equal_ones_by_text():
    first = _day(_FIRST, cities=["Rome", "Oslo", "Bern", "Bern", "Oslo"])
    second = _day(_SECOND, cities=["Rome", "Rome", "Wien", "\u00c9vora", ""])
    found = learn(_SPEC, [second, first])  # in any order
    # Rome 3, Bern and Oslo 2 each; the two with 1 find no room.
    assert found.vocabularies["city"] == ("Rome", "Bern", "Oslo")
    assert found == learn(_SPEC, [first, second])
    assert found.history["city"] == (Appended(_SECOND, 3, 2, 7, 2),)
    assert found.learned_through == "20240102" and found.days == (_FIRST, _SECOND)


def test_whole_numbers_are_ordered_as_the_text_that_is_looked_up():
    found = learn(_SPEC, [_day(_FIRST, tabs=[9, 10, 2, 2, -1, -7])])
    assert found.vocabularies["tab"] == ("2", "-7", "10", "9")
    assert found.room["tab"] == 4 + 8  # a quarter would be 1; 8 at least


def test_a_counted_vocabulary_keeps_room_for_a_quarter_more():
    found = learn(_SPEC, [_day(_FIRST, tabs=range(41))])
    assert found.room["tab"] == 41 + 11


def test_words_are_counted_as_the_graph_cuts_them():
    found = learn(_SPEC, [_day(_FIRST, titles=["A cat, a DOG", "cat: a"])])
    assert found.vocabularies["title"] == ("a", "cat")


def test_scales_are_those_of_the_known_numbers_of_the_base():
    """log1p of 0, 1, 3 is 0, ln 2, 2 ln 2: mean ln 2, variance 2/3 ln 2 squared."""
    first = _day(_FIRST, fans=[0, math.inf, 1, math.nan])
    found = learn(_SPEC, [first, _day(_SECOND, fans=[3])])
    log = math.log(2)
    fans = found.scales["fans"]
    assert (fans.kind, fans.transform) == ("z", "log1p")
    assert fans.shift == pytest.approx(log, rel=1e-6)
    assert fans.width == pytest.approx(log * math.sqrt(2 / 3), rel=1e-6)
    assert found.scales["share"] == Scale("minmax", "none", 0.0, 3.0)
    assert "plain" not in found.scales


def test_a_column_without_a_number_has_no_scale_to_speak_of():
    found = learn(_SPEC, [_day(_FIRST)])
    assert found.scales["fans"] == Scale("z", "log1p", 0.0, 0.0)
    assert found.scales["share"] == Scale("minmax", "none", 0.0, 0.0)


def test_later_days_append_and_change_nothing_else():
    base = learn(_SPEC, [_day(_FIRST, cities=["Rome"], tabs=[5, 5, 3], fans=[1, 2])])
    second = _day(_SECOND, cities=["Oslo", "Bern", "Bern"], tabs=[8, 3], fans=[99, 5])
    found = extend(base, [second])
    assert found.vocabularies["city"] == ("Rome", "Bern", "Oslo")
    assert found.vocabularies["tab"] == ("5", "3", "8")
    assert (found.scales, found.room) == (base.scales, base.room)
    assert found.base == base.base and found.digest != base.digest
    assert found.extends(base) and not base.extends(found)
    assert found.learned_through == "20240101" and found.days == (_FIRST, _SECOND)


def test_a_value_without_room_is_told_and_stays_without(caplog):
    base = learn(_SPEC, [_day(_FIRST, cities=["Rome", "Oslo"])])
    second = _day(_SECOND, cities=["Wien", "Wien", "Bern", "Bern", "Rome"])
    with caplog.at_level("INFO", logger="absl"):
        found = extend(base, [second])
    assert found.vocabularies["city"] == ("Oslo", "Rome", "Bern")  # of two alike
    assert found.history["city"][-1] == Appended(_SECOND, 1, 1, 3, 2)
    assert "day-20240102: 1 new values of city, room for 0 more." in caplog.text
    assert "40.0 % of the values of city have no id of their own" in caplog.text
    third = extend(found, [_day(_THIRD, cities=["Wien"])])
    assert third.vocabularies["city"] == found.vocabularies["city"]


def test_values_left_out_by_size_from_the_first_day_on_are_no_news(caplog):
    cities = ["Rome", "Rome", "Oslo", "Bern", "Wien"]
    base = learn(_SPEC, [_day(_FIRST, cities=cities)])
    with caplog.at_level("WARNING", logger="absl"):
        extend(base, [_day(_SECOND, cities=cities)])
    assert "city" not in caplog.text


def test_days_extend_in_their_order_whatever_the_order_of_the_arguments():
    base = learn(_SPEC, [_day(_FIRST, tabs=[1])])
    days = [_day(_SECOND, tabs=[2]), _day(_THIRD, tabs=[3, 3, 3])]
    assert extend(base, days[::-1]).vocabularies["tab"] == ("1", "2", "3")
    assert extend(base, days[::-1]) == extend(extend(base, days[:1]), days[1:])


def test_an_id_never_changes_over_two_weeks_of_new_values():
    encoding = learn(_SPEC, [_day(_FIRST, tabs=range(40))])
    for day in range(2, 15):
        tabs = [value * 7 % 53 for value in range(day, day + 30)]
        later = extend(encoding, [_day(f"day-202401{day:02d}", tabs=tabs)])
        assert later.extends(encoding)
        encoding = later
    assert len(encoding.vocabularies["tab"]) == 50  # 40 and 10, the quarter, are full


def test_a_line_break_cannot_be_a_line_and_shares_the_row_of_others():
    cities = ["a\nb", "a\nb", "c\r", "Rome"]
    found = learn(_SPEC, [_day(_FIRST, cities=cities)])
    assert found.vocabularies["city"] == ("Rome",)
    assert found.history["city"][0].other_rows == 3


def test_a_refresh_of_vocabularies_keeps_the_scales_and_a_room_that_suffices():
    base = learn(_SPEC, [_day(_FIRST, tabs=[1, 2, 3], fans=[1, 2])])
    assert base.room["tab"] == 3 + 8
    days = [_day(_FIRST, tabs=[1], fans=[1, 2]), _day(_SECOND, tabs=[2, 2], fans=[9])]
    found = learn(_SPEC, days, keep=base)
    assert found.vocabularies["tab"] == ("2", "1") and found.scales == base.scales
    assert found.room["tab"] == 11
    anew = learn(_SPEC, days)
    assert anew.scales != base.scales and anew.room["tab"] == 2 + 8
    more = learn(_SPEC, [_day(_FIRST, tabs=[1, 2, 3, 4])], keep=base)
    assert more.room["tab"] == 4 + 8  # 11 leave fewer than 8


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(EncodingError, match="needs one training day at least"):
        learn(_SPEC, [])


def test_a_day_of_another_spec_is_refused():
    other = read_spec(_TEXT.replace("name: city,", "name: town, expr: city,"))
    with pytest.raises(EncodingError, match=r"day-20240101: .* have feature 'town'"):
        learn(other, [_day(_FIRST)])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("size: 3}", "size: 4}", r"city has room for 3 values, not 4"),
        ("kind: category, size: auto", "kind: id, table: user", r"tab needs no"),
        ("scale: none", "scale: z", r"plain has no scale"),
        ("scale: minmax", "scale: z", r"share was learned with scale: minmax, tr"),
        (", transform: log1p", "", r"fans was learned with .*transform: log1p"),
    ],
)
def test_another_spec_is_refused_and_what_changed_is_named(old, new, told):
    base = learn(_SPEC, [_day(_FIRST)])
    check_fits(base, _SPEC)
    assert _TEXT.count(old) == 1
    with pytest.raises(EncodingError, match=f"{told}.*--refresh_encoding"):
        check_fits(base, read_spec(_TEXT.replace(old, new)))
