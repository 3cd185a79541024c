"""Raw values of typed files and of JSON as declared columns."""

import datetime
import decimal

import polars as pl
import pytest

from feature_specs.column_types import parse_type
from pipeline.examples.reading import conversions
from pipeline.examples.reading.times import TimeUnit

_INF, _NAN = float("inf"), float("nan")
_UTC = datetime.timezone.utc
_SHANGHAI = "Asia/Shanghai"


def convert(raw, declared, unit=None):
    kind = parse_type(declared).in_zones("UTC", _SHANGHAI)
    return conversions.convert(raw, kind, unit)


def from_python(values, declared):
    return conversions.from_python(values, parse_type(declared).in_zones("UTC", ""))


def is_convertible(dtype, declared, unit):
    return conversions.is_convertible(dtype, parse_type(declared), unit)


@pytest.mark.parametrize(
    ("raw", "kind", "values"),
    [
        (pl.Series([1, None], dtype=pl.Int8), "int64", [1, None]),
        (pl.Series([2**63, 5], dtype=pl.UInt64), "int64", [None, 5]),
        (pl.Series([1.0, 1.5, _NAN, _INF]), "int64", [1, None, None, None]),
        # 2^53 + 1 has no float of its own: it is rounded to 2^53, which may be either.
        (pl.Series([2.0**53 - 1, 2.0**53]), "int64", [2**53 - 1, None]),
        (
            pl.Series([2.0**24 - 1, 2.0**24], dtype=pl.Float32),
            "int64",
            [2**24 - 1, None],
        ),
        (
            pl.Series([decimal.Decimal("3.00"), decimal.Decimal("3.50")]),
            "int64",
            [3, None],
        ),
        (pl.Series([True, False]), "int64", [1, 0]),
        (pl.Series(["12", "-7", "1.0", "x", ""]), "int64", [12, -7, 1, None, None]),
        (pl.Series([b"12", b"\xff"]), "int64", [12, None]),
        (pl.Series(["12"], dtype=pl.Categorical), "int64", [12]),
        (pl.Series([None, None]), "int64", [None, None]),
        (pl.Series([[1], [2]]), "int64", [None, None]),
        (pl.Series([1, 2]), "float64", [1.0, 2.0]),
        (pl.Series(["1.5", "1e3", "x"]), "float64", [1.5, 1000.0, None]),
        (pl.Series([decimal.Decimal("3.50")]), "float64", [3.5]),
        (pl.Series(["a", "", None]), "string", ["a", None, None]),
        (pl.Series([b"m\xc3\xbc", b"\xff", b""]), "string", ["mü", None, None]),
        (pl.Series([12, None]), "string", ["12", None]),
        (pl.Series([1.5]), "string", [None]),
    ],
)
def test_typed_values_become_what_is_declared(raw, kind, values):
    found = convert(raw, kind)
    assert found.to_list() == values
    assert found.dtype == convert(pl.Series([None]), kind).dtype


@pytest.mark.parametrize(
    ("ticks", "unit", "value"),
    [("ns", "ms", 1_500), ("us", "ms", 1_500), ("ms", "us", 1_500_000), ("ms", "s", 1)],
)
def test_a_timestamp_is_converted_to_the_specs_unit(ticks, unit, value):
    moment = datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000)
    for zone in (None, "UTC"):
        raw = pl.Series([moment, None], dtype=pl.Datetime(ticks)).dt.replace_time_zone(
            zone
        )
        of_unit = TimeUnit(unit, zone="UTC")
        assert convert(raw, "int64", of_unit).to_list() == [value, None]
        assert convert(raw, "float64", of_unit).to_list() == [value, None]


def test_a_timestamp_in_a_zone_is_the_same_moment():
    moment = datetime.datetime(1970, 1, 1, 8, 0, 1)
    raw = pl.Series([moment]).dt.replace_time_zone("Asia/Shanghai")
    assert convert(raw, "int64", TimeUnit("s")).to_list() == [1]


def test_only_a_time_column_may_be_a_timestamp():
    moment = pl.Datetime("us")
    assert is_convertible(moment, "int64", TimeUnit("ms"))
    assert not is_convertible(moment, "int64", None)
    assert not is_convertible(pl.Date(), "int64", TimeUnit("ms"))
    assert not is_convertible(pl.Float64(), "string?", None)
    assert is_convertible(pl.Int32(), "string?", None)
    assert not is_convertible(pl.List(pl.Int64()), "int64", None)


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, None, 2**63], "int64", [1, None, None]),
        ([1.0, 1.5, True, "1", ""], "int64", [1, None, 1, None, None]),
        ([-(2**63), 2.0**53 - 1, 2.0**53], "int64", [-(2**63), 2**53 - 1, None]),
        ([1, 2.5, True, "2", None], "float64", [1.0, 2.5, 1.0, None, None]),
        (["a", 7, 7.5, True, [], ""], "string", ["a", "7", None, None, None, None]),
        ([], "int64", []),
    ],
)
def test_json_values_are_taken_strictly(values, kind, found):
    assert from_python(values, kind).to_list() == found


def _moment(hour, minute=0, second=0, ms=0):
    return datetime.datetime(2023, 11, 15, hour, minute, second, ms * 1000, _UTC)


# 2023-11-15 00:00:00 UTC is 1 700 006 400 s after the epoch.
_DAY_S = 1_700_006_400


@pytest.mark.parametrize(
    ("raw", "kind", "values"),
    [
        (pl.Series([True, None]), "bool", [True, None]),
        (pl.Series([1, 0, 2]), "bool", [True, False, None]),
        (pl.Series([1.0, 0.0, 0.5]), "bool", [True, False, None]),
        (
            pl.Series(["true", "F", "1", "0.0", "yes", ""]),
            "bool",
            [True, False, True, False, None, None],
        ),
        (
            pl.Series(["2024-02-29", "2023-02-29", "20240229", "2024-2-9"]),
            "date",
            [datetime.date(2024, 2, 29), None, None, None],
        ),
        (pl.Series([datetime.date(2024, 2, 29)]), "date", [datetime.date(2024, 2, 29)]),
        (pl.Series([1.5, 2.0], dtype=pl.Float32), "float32", [1.5, 2.0]),
        (pl.Series([7, -7], dtype=pl.Int8), "int8", [7, -7]),
        (pl.Series(["[1, 2]", "3 4", "5", "", "x", "[]"]), "list<int64>",
         [[1, 2], [3, 4], [5], None, None, []]),
        (pl.Series(['["a", null]', "a b", "['a']"]), "list<string>",
         [["a", None], None, None]),
        (pl.Series([[b"a", b""], None, []], dtype=pl.List(pl.Binary)), "list<string>",
         [["a", None], None, []]),
        (pl.Series([[1.0, _NAN], [_INF]]), "list<float64>", [[1.0, None], None]),
        (pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int16, 2)), "list<int64>",
         [[1, 2], [3, 4]]),
        (pl.Series([["1", "x"], ["2"]]), "list<int64>", [None, [2]]),
        (
            pl.Series(["[0.5, 1]", "0.5 1", "0.5,1", "0.5; 1 ", "[0.5, 1", "0.5,,1", "0.5"]),
            "vector<2>",
            [[0.5, 1.0], [0.5, 1.0], [0.5, 1.0], [0.5, 1.0], None, None, None],
        ),
        (
            pl.Series([[1.0, 2.0], [1.0], None, [1.0, None], [_NAN, 1.0], [1e39, 1.0], []]),
            "vector<2>",
            [[1.0, 2.0], None, None, None, None, None, None],
        ),
        (pl.Series([[1.5, 2.5]], dtype=pl.Array(pl.Float64, 2)), "vector<2>", [[1.5, 2.5]]),
    ],
)  # fmt: skip
def test_typed_values_and_texts_become_the_types_of_lists_and_days(raw, kind, values):
    found = convert(raw, kind)
    assert found.to_list() == values
    assert found.dtype == parse_type(kind).polars


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        # Shanghai's clock is eight hours ahead.
        (pl.Series(["2023-11-15T21:00:00"]), _moment(13)),
        (pl.Series(["2023-11-15 21:00:00.25Z"]), _moment(21, ms=250)),
        (pl.Series(["2023-11-15T21:00:00+05:30"]), _moment(15, 30)),
        (pl.Series([str(_DAY_S + 1)]), _moment(0, second=1)),
        (pl.Series([f"{_DAY_S}.5"]), _moment(0, ms=500)),
        (pl.Series([_DAY_S]), _moment(0)),
        (pl.Series([_DAY_S + 0.25]), _moment(0, ms=250)),
        (pl.Series([_DAY_S * 10**3 + 7]), _moment(0, ms=7)),
        (pl.Series([_DAY_S * 10**6 + 7_999]), _moment(0, ms=7)),
        (pl.Series([_DAY_S * 10**9 + 7_999_999]), _moment(0, ms=7)),
        (pl.Series([12]), None),
        (pl.Series(["a day"]), None),
        (pl.Series([datetime.datetime(2023, 11, 15, 21)]), _moment(13)),
        (pl.Series([_moment(21)]), _moment(21)),
        (pl.Series([_moment(21)]).dt.convert_time_zone("America/New_York"), _moment(21)),
    ],
)  # fmt: skip
def test_whatever_is_a_moment_becomes_a_timestamp(raw, found):
    read = convert(raw, "timestamp")
    assert read.dtype == pl.Datetime("ms", "UTC")
    assert read.to_list() == [found]


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([True, 0, 1.0, "t", "", None, 2], "bool", [True, False, True, True] + [None] * 3),
        (["2024-02-29", 5, None], "date", [datetime.date(2024, 2, 29), None, None]),
        (
            [_DAY_S, "2023-11-15T00:00:01Z", True, "2023-11-15T00:00:01"],
            "timestamp",
            [_moment(0), _moment(0, second=1), None, None],  # no zone is known
        ),
        ([[1, None], [], None, "[2]", [1, "x"], {"a": 1}], "list<int64>",
         [[1, None], [], None, [2], None, None]),
        ([["a", 7], ["b", 1.5]], "list<string>", [["a", "7"], None]),
        ([["2024-02-29"]], "list<date>", [[datetime.date(2024, 2, 29)]]),
        ([[1, 2.5], [1], [1, None], "1 2", [1, "2"], None, [1, True]], "vector<2>",
         [[1.0, 2.5], None, None, [1.0, 2.0], None, None, None]),
    ],
)  # fmt: skip
def test_json_values_become_every_type(values, kind, found):
    read = from_python(values, kind)
    assert read.to_list() == found
    assert read.dtype == parse_type(kind).polars


def test_a_text_of_a_million_digits_costs_no_time():
    text = "1" * 10**6
    raw = pl.Series([text, f"{text}x", f"[{text}x]", f"1 {' ' * 10**6}x"])
    assert convert(raw, "list<int64>").to_list() == [None] * 4
    assert convert(raw, "vector<1>").to_list() == [None] * 4


@pytest.mark.parametrize(
    ("dtype", "declared"),
    [
        (pl.List(pl.Binary), "list<string>"),
        (pl.Array(pl.Float32, 16), "vector<16>"),
        (pl.List(pl.Float32), "list<float32>"),
        (pl.UInt16(), "uint16"),
        (pl.Datetime("ns"), "timestamp"),
        (pl.Struct({"a": pl.Int8}), ""),
        (pl.List(pl.List(pl.Int8)), ""),
    ],
)
def test_a_files_type_is_told_as_it_is_declared(dtype, declared):
    assert conversions.declared_as(dtype) == declared
