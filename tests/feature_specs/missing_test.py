"""NULL and NaN are missing, in every function and operator; values by hand."""

import datetime
import math

import polars as pl
import pytest

from feature_specs import TrailrankError, expressions
from feature_specs.missing import ExpressionError, evaluate, evaluate_all

_N, _NAN, _INF = None, math.nan, math.inf
_ROWS = pl.DataFrame(
    {
        "one": [1, 1],
        "none": [0, 0],
        "null": [None, None],
        "nan": [_NAN, _NAN],
        "inf": [_INF, -_INF],
        "half": [0.5, 0.5],
        "word": ["ab", "ab"],
        "no_word": [None, None],
        "bad": ["x7", "nan"],
        "list": [[1.0, _NAN, 3.0], [_INF]],
        "no_time": [None, None],
        "time": [datetime.datetime(2024, 3, 2, 17)] * 2,
    },
    schema_overrides={
        "null": pl.Int64,
        "no_word": pl.String,
        "no_time": pl.Datetime("ms"),
        "time": pl.Datetime("ms"),
    },
)
_T, _F = True, False
_VALUES = [
    # Numbers that are none.
    ("0 / 0", _N),
    ("one / none", _N),
    ("-one / none", _N),
    ("one // none", _N),
    ("one % none", _N),
    ("MOD(half, 0)", _N),
    ("nan", _N),
    ("inf", _N),
    ("-inf", _N),
    ("LN(none)", _N),
    ("LOG10(none)", _N),
    ("LOG(none, 2)", _N),
    ("LN(-one)", _N),
    ("LOG1P(-1)", _N),
    ("SQRT(-one)", _N),
    ("POW(-half, half)", _N),
    ("POW(half * 0, -1)", _N),
    ("POW(none, -one)", _N),
    ("POW(one + 1, -one)", 0.5),
    ("POW(one + 1, 2000 * one)", _N),
    ("ACOS(one + 1)", _N),
    ("EXP(1000 * one)", _N),
    ("1e308 * 10", _N),
    # Arithmetic and functions of something missing.
    ("null + 1", _N),
    ("nan * 0", _N),
    ("inf - inf", _N),
    ("inf * 0", _N),
    ("1 / inf", _N),
    ("ABS(nan)", _N),
    ("SIGN(nan)", _N),
    ("ROUND(inf, 1)", _N),
    ("FLOOR(one / none)", _N),
    ("EXP(-inf)", _N),
    # Least and greatest: 0 / 0 is no reason for the cap.
    ("LEAST(0/0, 3)", _N),
    ("LEAST(null, 3)", _N),
    ("LEAST(3, nan, 1)", _N),
    ("GREATEST(inf, 3)", _N),
    ("GREATEST(null, nan)", _N),
    ("LEAST(one, half, 3)", 0.5),
    ("GREATEST(LEAST(one / none, 3), 0)", _N),
    ("LEAST(word, no_word)", _N),
    ("GREATEST(one > 0, null > 0)", _N),
    ("COALESCE(LEAST(one / none, 3), 7)", 7.0),
    # Comparisons.
    ("nan > 3", _N),
    ("nan < 3", _N),
    ("nan = nan", _N),
    ("nan <> 1", _N),
    ("inf > 3", _N),
    ("one / none >= 0.9", _N),
    ("null = null", _N),
    ("one = NULL", _N),
    ("no_word = 'ab'", _N),
    ("nan BETWEEN 1 AND 3", _N),
    ("half BETWEEN nan AND 3", _N),
    ("half BETWEEN nan AND 0.1", _F),
    ("half NOT BETWEEN 0 AND nan", _N),
    ("null IN (1, 2)", _N),
    ("one IN (1, NULL)", _T),
    ("one IN (2, NULL)", _N),
    ("one NOT IN (2, NULL)", _N),
    ("no_word IN ('ab', 'b')", _N),
    ("nan IN (0.5, 1.5)", _N),
    ("no_word LIKE 'a%'", _N),
    ("NOT no_word LIKE 'a%'", _N),
    ("no_word ~ 'a'", _N),
    # What SQL says about missing itself.
    ("nan IS NULL", _T),
    ("one / none IS NULL", _T),
    ("LEAST(nan, 1) IS NOT NULL", _F),
    ("half IS NULL", _F),
    ("nan IS NOT DISTINCT FROM null", _T),
    ("half IS DISTINCT FROM nan", _T),
    # Three-valued logic.
    ("nan > 3 AND one = 2", _F),
    ("nan > 3 AND one = 1", _N),
    ("nan > 3 OR one = 1", _T),
    ("nan > 3 OR one = 2", _N),
    ("NOT nan > 3", _N),
    # Choices.
    ("COALESCE(nan, 7)", 7.0),
    ("COALESCE(null, nan, inf, half)", 0.5),
    ("IFNULL(one / none, 0)", 0.0),
    ("NULLIF(half, 0.5)", _N),
    ("NULLIF(half, nan)", 0.5),
    ("NULLIF(nan, 1)", _N),
    ("IF(nan > 3, 1, 2)", 2),
    ("IF(one = 1, nan, 2.0)", _N),
    ("CASE WHEN nan > 3 THEN 1 WHEN nan <= 3 THEN 2 END", _N),
    ("CASE WHEN nan > 3 THEN 1 ELSE 0 END", 0),
    ("CASE WHEN nan IS NULL THEN NULL WHEN nan > 3 THEN 1 ELSE 0 END", _N),
    ("CASE half WHEN nan THEN 1 ELSE 0 END", 0),
    ("CASE WHEN one = 1 THEN one / none ELSE 0 END", _N),
    # Casts.
    ("CAST(bad AS DOUBLE)", _N),
    ("CAST(bad AS BIGINT)", _N),
    ("TRY_CAST(bad AS BIGINT)", _N),
    ("CAST(nan AS BIGINT)", _N),
    ("CAST(one / none AS VARCHAR)", _N),
    ("CAST(1e30 * one AS BIGINT)", _N),
    ("CAST(300 * one AS TINYINT)", _N),
    ("CAST('inf' AS DOUBLE) > 3", _N),
    ("CAST('7' AS BIGINT)", 7),
    ("DATE(bad)", _N),
    ("STRPTIME(bad, '%Y')", _N),
    # Texts and times.
    ("CONCAT(word, no_word)", _N),
    ("CONCAT(word, 'x')", "abx"),
    ("CONCAT_WS('-', word, no_word)", _N),
    ("word || no_word", _N),
    ("LENGTH(no_word)", _N),
    ("UPPER(no_word)", _N),
    ("STRPOS(no_word, 'b')", _N),
    ("STRPOS(word, no_word)", _N),
    ("STRPOS(word, 'b')", 2),
    ("STRPOS(word, 'z')", 0),
    ("STRPOS(word, '(')", 0),  # a text, not a pattern
    ("POSITION('b' IN no_word)", _N),
    ("LEFT(word, null)", _N),
    ("REPLACE(no_word, 'a', 'b')", _N),
    ("LPAD(no_word, 3)", _N),
    ("RPAD(word, 4, '.')", "ab.."),
    ("EXTRACT(hour FROM no_time)", _N),
    ("EXTRACT(hour FROM time)", 17),
    # Lists: what adds up leaves missing elements out.
    ("STRING_TO_ARRAY(no_word, 'a')", _N),
    ("ARRAY_LENGTH(STRING_TO_ARRAY(no_word, 'a'))", _N),
    ("ARRAY_CONTAINS(STRING_TO_ARRAY(word, 'b'), no_word)", _N),
    ("ARRAY_CONTAINS(STRING_TO_ARRAY(word, 'b'), 'a')", _T),
    ("7", 7),
    ("TRUE", _T),
]


@pytest.mark.parametrize(("text", "value"), _VALUES)
def test_the_value_of_an_expression(text, value):
    assert evaluate(_ROWS, text).to_list() == [value, value]
    assert expressions.type_of(text, _ROWS) == evaluate(_ROWS, text).dtype


def test_lists_leave_out_what_is_missing():
    assert evaluate(_ROWS, "list").to_list() == [[1.0, None, 3.0], [None]]
    assert evaluate(_ROWS, "ARRAY_MEAN(list)").to_list() == [2.0, None]
    assert evaluate(_ROWS, "LEAST(ARRAY_MEAN(list), 3)").to_list() == [2.0, None]


def test_expressions_share_what_they_have_in_common():
    frame = pl.DataFrame({"a": [1.0, 2.0, _NAN], "b": [2.0, 0.0, 1.0]})
    texts = {"a": "a / b", "b": "LEAST(a / b, 0.4)", "c": "a / b > 0.4 OR b = 1"}
    found = evaluate_all(frame, texts)
    assert found.columns == ["a", "b", "c"]
    assert found.rows() == [(0.5, 0.4, True), (None, None, None), (None, None, True)]


def test_no_rows_have_no_values():
    assert evaluate(_ROWS.clear(), "LEAST(half / one, 3)").dtype == pl.Float64
    assert evaluate(_ROWS.clear(), "7").len() == 0


def test_nested_parts_are_not_evaluated_again_and_again():
    text = "half"
    for _ in range(40):  # 2**40 parts, if each were there twice
        text = f"LEAST({text} / 1, 3)"
    assert evaluate(_ROWS, text).to_list() == [0.5, 0.5]


@pytest.mark.parametrize(
    "text",
    ["RPAD(word, 200000000)", "LPAD(word, 1001, 'x')", "RPAD(word, one)", "LPAD(LPAD(word, 2000), 3)"],
)  # fmt: skip
def test_no_text_is_filled_up_to_more_than_memory_holds(text):
    with pytest.raises(ValueError, match="must be a number, 1000 at most"):
        expressions.type_of(text, _ROWS)


@pytest.mark.parametrize("text", ["CAST(word AS BOOLEAN)", "CAST(word AS DATE)"])
def test_a_cast_that_does_not_exist_is_told_with_the_spec(text):
    with pytest.raises(ValueError, match="does not fit the columns: casting from"):
        expressions.type_of(text, expressions.sample_rows(_ROWS.schema))


def test_what_fails_on_the_values_names_the_expression():
    frame = pl.DataFrame({"word": ["a"], "size": [-2]})
    text = "SUBSTR(word, 1, size)"
    assert expressions.type_of(text, expressions.sample_rows(frame.schema)) == pl.String
    with pytest.raises(
        ExpressionError, match=r"'SUBSTR\(word, 1, size\)' fails on the"
    ):
        evaluate_all(frame, {"x": "word = 'a'", "y": text})
    assert issubclass(ExpressionError, TrailrankError)
