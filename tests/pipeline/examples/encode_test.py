"""Vectors from logs to examples; by hand."""

import math

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.encode import count_damaged, encode

_SPEC = read_spec("""
name: tiny
log:
  files: "*.csv"
  user: user
  item: item
  time: {column: ts}
  columns: {user: int64, item: int64, ts: int64, good: int64}
  outcomes: [good]
derived: {floats: "ARRAY[0.5, 1.5]"}
tables: {user: {buckets: 10}, item: {buckets: 10}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: cover, group: candidate, kind: vector, size: 2, expr: floats}
tasks: [{name: good, kind: binary, label: "good = 1"}]
fusion: {weights: {good: 1.0}}
""")


def _frame(vectors: pl.Series) -> pl.DataFrame:
    ones = [1] * len(vectors)
    columns = {"user": ones, "item": ones, "_time_ms": ones, "good": ones}
    return pl.DataFrame(columns).with_columns(vectors.alias("floats"))


def _found(vectors: pl.Series) -> np.ndarray:
    made = encode(_frame(vectors), _SPEC)["cover"]
    assert made.dtype == pl.Array(pl.Float32, 2)
    return np.array(made.to_list())


def test_a_list_of_another_length_or_with_a_hole_is_missing_and_counted():
    rows = [[0.5, 2.0], None, [], [1.0], [1.0, 2.0, 3.0], [1.0, None], [math.nan, 1.0]]
    vectors = pl.Series([*rows, [1.0, math.inf], [1e39, 0.0], [0.0, 0.0]])
    found = _found(vectors)
    np.testing.assert_array_equal(found[[0, -1]], [[0.5, 2.0], [0, 0]])
    assert np.isnan(found[1:-1]).all()
    # All between but the one that is not there; 1e39 is more than float32 holds.
    assert count_damaged(_frame(vectors), _SPEC) == {"cover": 7}


def test_a_column_of_vectors_is_taken_as_it_is():
    vectors = pl.Series([[0.5, 2.0], None, [math.nan, 1.0], [3.0, 4.0]])
    vectors = vectors.cast(pl.Array(pl.Float32, 2))
    found = _found(vectors)
    np.testing.assert_array_equal(found[[0, 3]], [[0.5, 2.0], [3.0, 4.0]])
    assert np.isnan(found[[1, 2]]).all()
    assert count_damaged(_frame(vectors), _SPEC) == {"cover": 1}


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_are_no_mistake(rows):
    vectors = pl.Series([[0.5, 2.0]][:rows], dtype=pl.List(pl.Float64))
    assert encode(_frame(vectors), _SPEC).height == rows
    assert count_damaged(_frame(vectors), _SPEC) == {"cover": 0}


def test_a_spec_without_vectors_counts_none():
    spec = read_spec(_SPEC.text.replace("  - {name: cover, ", "  # - {name: cover, "))
    assert count_damaged(_frame(pl.Series([[1.0]])), spec) == {}
