"""Declared types: what is one, and what frames have for it."""

import polars as pl
import pytest

from feature_specs import SpecError, read_spec
from feature_specs.column_types import parse_type, parse_types
from feature_specs.log_section import row_scope


@pytest.mark.parametrize(
    ("declared", "dtype"),
    [
        ("bool", pl.Boolean()),
        ("int8", pl.Int64()),
        ("uint64", pl.Int64()),
        ("float32", pl.Float64()),
        ("string", pl.String()),
        ("date", pl.Date()),
        ("timestamp", pl.Datetime("ms", "UTC")),
        ("list<string>", pl.List(pl.String())),
        ("list< bool >", pl.List(pl.Boolean())),
        ("list<timestamp>", pl.List(pl.Datetime("ms", "UTC"))),
        ("vector<16>", pl.Array(pl.Float32, 16)),
    ],
)
def test_each_type_is_one_of_frames(declared, dtype):
    for text, optional in ((declared, False), (f"{declared}?", True)):
        found = parse_type(text)
        assert (found.polars, found.optional) == (dtype, optional)


@pytest.mark.parametrize(
    "declared",
    ["", "?", "int", "int7", "int128", "uint", "float16", "str", "Bool", "list",
     "list<>", "list<list<int64>>", "list<vector<2>>", "vector<0>", "vector<a>",
     "vector<20000>", "vector<-1>", "struct", "int64 int64"],
)  # fmt: skip
def test_whatever_else_is_no_type(declared):
    assert parse_type(declared) is None


@pytest.mark.parametrize(
    ("declared", "low", "high"),
    [("int8", -128, 127), ("uint16", 0, 65535), ("int32", -(2**31), 2**31 - 1)],
)
def test_whole_numbers_end_where_their_bits_do(declared, low, high):
    found = parse_type(declared)
    assert (found.low, found.high) == (low, high)
    assert found.outside == f"not from {low} to {high} ({declared})"


def test_a_uint64_beyond_what_frames_hold_is_told_its_remedy():
    assert parse_type("uint64").outside == (
        "not from 0 to 9223372036854775807 (uint64: declare larger ones as string)"
    )
    assert parse_type("int64").outside == ""


def test_times_are_shown_in_the_zone_of_the_rows():
    types = parse_types({"a": "timestamp", "b": "list<timestamp>?"}, "Asia/Tokyo")
    assert types["a"].polars == pl.Datetime("ms", "Asia/Tokyo")
    assert types["b"].polars == pl.List(pl.Datetime("ms", "Asia/Tokyo"))
    with pytest.raises(ValueError, match="Column 'c': must be bool, int8.* Got 'in'"):
        parse_types({"c": "in"})


def _with_column(good, declared):
    return good.replace("tab: int64,", f"tab: int64, new: '{declared}',", 1)


@pytest.mark.parametrize(
    ("declared", "expr", "found"),
    [
        ("bool", "new AND liked = 1", pl.Boolean()),
        ("date", "EXTRACT(year FROM new)", pl.Int32()),
        ("timestamp", "EXTRACT(hour FROM new)", pl.Int8()),
        ("list<string>", "ARRAY_CONTAINS(new, 'a')", pl.Boolean()),
        ("list<float64>", "ARRAY_MEAN(new)", pl.Float64()),
        ("vector<4>", "new", pl.Array(pl.Float32, 4)),
    ],
)
def test_expressions_read_every_type(good, declared, expr, found):
    scope = row_scope(read_spec(_with_column(good, declared)).log)
    from feature_specs import expressions

    assert expressions.type_of(expr, scope.rows()) == found


def test_a_path_is_a_column_with_and_without_quotes(good):
    text = good.replace("tab: int64,", "tab: int64, author.id: int64,", 1)
    for expr in ("author.id", '"author.id" + 1', "author.id % 7 + tab"):
        feature = (
            f"{{name: aid, group: candidate, kind: id, table: user, expr: '{expr}'}}"
        )
        spec = read_spec(text.replace("features:\n", f"features:\n  - {feature}\n"))
        assert spec.feature("aid").dtype == "int64"
    plain = "{name: aid, group: candidate, kind: id, table: user, expr: author.id}"
    spec = read_spec(text.replace("features:\n", f"features:\n  - {plain}\n"))
    assert spec.feature("aid").column == "author.id"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("liked: int64", "liked: list<int64>", "log.outcomes[0]: must be one value"),
        ("user_id: int64", "user_id: float64", "log.user: must be whole numbers or te"),
        ("user_id: int64", "user_id: list<int64>", "log.user: must be whole numbers"),
        ("{user_id: int64, video_id: string", "{user_id: int64, video_id: bool",
         "log.item: must be whole numbers or text"),
    ],
)  # fmt: skip
def test_what_a_type_cannot_be_is_told(mistakes, old, new, told):
    assert any(found.startswith(told) for found in mistakes(old, new))


def test_a_type_that_is_none_is_told_with_all_there_are(good):
    with pytest.raises(SpecError, match=r"tab: must be bool, int8.*vector<N>.*'int'"):
        read_spec(good.replace("tab: int64", "tab: int"))
