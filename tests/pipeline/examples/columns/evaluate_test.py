"""A spec's SQL on the rows of a frame."""

import math

import numpy as np
import polars as pl
import pytest

from pipeline.examples.columns.evaluate import evaluate, holds, number_values, numbers

_FRAME = pl.DataFrame({"x": [3, None, 1], "s": ["b", "a", None]})


def test_a_literal_has_a_value_in_every_row():
    assert evaluate(_FRAME, "7").to_list() == [7, 7, 7]
    assert holds(_FRAME, "TRUE").tolist() == [True] * 3
    assert evaluate(_FRAME.clear(), "7").len() == 0


def test_null_does_not_hold():
    assert holds(_FRAME, "x > 2").tolist() == [True, False, False]


def test_what_is_not_finite_does_not_hold():
    frame = pl.DataFrame({"x": [math.nan, math.inf, 4.0], "y": [0, 0, 2]})
    assert holds(frame, "x > 3").tolist() == [False, False, True]
    assert holds(frame, "x").tolist() == [False, False, True]
    assert holds(frame, "4 / y > 1").tolist() == [False, False, True]
    assert np.isnan(numbers(frame, "LEAST(x, 1)")).tolist() == [True, True, False]


def test_numbers_are_floats_and_null_is_nan():
    found = numbers(_FRAME, "x / 2")
    assert found[[0, 2]].tolist() == [1.5, 0.5] and math.isnan(found[1])
    assert numbers(_FRAME, "COALESCE(x > 2, FALSE)").tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([30, None, 10, 30, 20], [2, -1, 0, 2, 1]),
        (["b", "a", None, "", "b"], [2, 1, -1, 0, 2]),
        ([None, None], [-1, -1]),
        ([], []),
    ],
)
def test_values_are_numbered_in_their_own_order(values, expected):
    dtype = pl.String if "a" in values else pl.Int64
    assert number_values(pl.Series(values, dtype=dtype)).tolist() == expected
