"""SQL expressions: their columns and types, and what is no expression of a row."""

import polars as pl
import pytest

from feature_specs import expressions

_ROWS = expressions.sample_rows(
    {"a": pl.Int64(), "b": pl.Float64(), "Agg": pl.Int64(), "list": pl.List(pl.Int64())}
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a + 1", pl.Int64),
        ("a / 2", pl.Float64),
        ("a = 1", pl.Boolean),
        ("TRUE", pl.Boolean),
        ("ARRAY_MEAN(list)", pl.Float64),
        ("ARRAY_UNIQUE(list)", pl.List(pl.Int64)),
        ('"Agg" + 1', pl.Int64),  # a column, not an aggregation
        ("CASE WHEN a = 1 THEN 'Len' END", pl.String),
    ],
)
def test_an_expression_of_its_row_has_a_type(text, found):
    assert expressions.type_of(text, _ROWS) == found


@pytest.mark.parametrize(
    "text",
    [
        "AVG(a)",
        "a / AVG(a)",
        "COUNT(*)",
        "MEDIAN(a)",
        "a / QUANTILE_CONT(a, 0.5)",
        "a + CORR(a, b)",
        "COVAR(a, b)",
        "FIRST(a)",
        "ROW_NUMBER()",
        "RANK() OVER (PARTITION BY a ORDER BY b)",
        "UNNEST(list)",
        "CASE WHEN a = 1 THEN MAX(b) END",
    ],
)
def test_an_expression_may_not_mix_rows(text):
    with pytest.raises(ValueError, match="mixes rows"):
        expressions.type_of(text, _ROWS)


@pytest.mark.parametrize("text", ["COLUMNS('^a$')", '"^a$"', "COLUMNS('.*') + 1"])
def test_columns_are_named_one_by_one(text):
    with pytest.raises(ValueError, match="names columns by a pattern"):
        expressions.type_of(text, _ROWS)


@pytest.mark.parametrize("text", ["", "a +", "a, b", "a; b", "NO_SUCH_FUNCTION(a)"])
def test_what_is_no_expression_is_told(text):
    with pytest.raises(ValueError, match="is not an SQL expression"):
        expressions.parse(text)


def test_columns_are_those_read_anywhere():
    text = "CASE WHEN a IN (1, 2) THEN ARRAY_MEAN(list) ELSE b END"
    assert expressions.columns_of(text) == {"a", "list", "b"}
