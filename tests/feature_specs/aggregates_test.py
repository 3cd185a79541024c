"""SQL aggregates taken apart: parts, conditions, and what cannot be carried on."""

import polars as pl
import pytest

from feature_specs.aggregates import Part, take_apart, type_of

_TYPES = {"action": pl.String(), "amount": pl.Float64(), "size": pl.Int64()}


def test_aggregates_become_parts_of_an_expression():
    found = take_apart(
        "COUNT(*) FILTER (WHERE action = 'a)b''(') > 2 * count( distinct size )"
    )
    assert found.text == '"_part_0" > 2 * "_part_1"'
    assert found.parts == (
        Part("COUNT", where="action = 'a)b''('"),
        Part("COUNT", "size", distinct=True),
    )


def test_other_functions_are_left_in_the_expression():
    found = take_apart("COALESCE(SUM(amount) filter(where size > 1), LEAST(0, 1))")
    assert found.text == 'COALESCE("_part_0", LEAST(0, 1))'
    assert found.parts == (Part("SUM", "amount", where="size > 1"),)


def test_a_column_may_be_called_as_an_aggregate():
    assert take_apart('MAX("count")').parts == (Part("MAX", '"count"'),)


@pytest.mark.parametrize(
    "text, message",
    [
        ("action = 'like'", "holds no aggregate"),
        ("COUNT(*) > size", "reads size outside of an aggregate"),
        ("MEDIAN(size)", "MEDIAN, which cannot be carried on .* COUNT, SUM, AVG"),
        ("COUNT(*) OVER (PARTITION BY action)", "uses OVER"),
        ("MIN(*)", r"MIN\(\*\); name what"),
        ("SUM()", r"SUM\(\) without an argument"),
        ("SUM(DISTINCT size)", r"only COUNT\(DISTINCT x\)"),
        ("COUNT(DISTINCT)", r"only COUNT\(DISTINCT x\)"),
        ("COUNT(*) FILTER (action = 'x')", "without WHERE"),
        ("COUNT(*) FILTER", "FILTER without"),
        ("COUNT(*", "never closed"),
        ("COUNT(*) -- likes", "holds a comment"),
        ("+".join(["COUNT(*)"] * 21), "more than 20 aggregates"),
    ],
)
def test_what_cannot_be_used_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        take_apart(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("COUNT(*)", pl.Int64),
        ("COUNT(*) > 1", pl.Boolean),
        ("SUM(size)", pl.Int64),
        ("SUM(amount)", pl.Float64),
        ("AVG(size)", pl.Float64),
        ("LAST(action)", pl.String),
        ("BOOL_OR(amount)", pl.Boolean),
        ("MIN(size) / COUNT(*)", pl.Float64),
    ],
)
def test_the_type_of_an_aggregate(text, expected):
    assert type_of(take_apart(text), _TYPES.get) == expected


def test_an_aggregate_takes_fitting_values():
    with pytest.raises(ValueError, match="SUM of values of type String; it takes num"):
        type_of(take_apart("SUM(action)"), _TYPES.get)
