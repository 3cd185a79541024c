"""Raw values of typed files and of JSON as declared columns."""

import datetime
import decimal

import polars as pl
import pytest

from pipeline.examples.reading.times import TimeUnit
from pipeline.examples.reading.values import (
    as_json,
    convert,
    from_python,
    is_convertible,
)

_INF, _NAN = float("inf"), float("nan")


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


def test_a_row_of_any_values_is_one_line_of_json():
    row = {"a": b"\xff", "b": _NAN, "c": [_INF, b"x"], "d": decimal.Decimal("1.5")}
    assert as_json(row) == '{"a":"\\\\xff","b":"nan","c":["inf","x"],"d":"1.5"}'
