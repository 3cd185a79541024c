"""Vectors from logs to examples; by hand."""

import math

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.encode import count_damaged, encode
from pipeline.examples.report import build_report, count_shard
from pipeline.examples.shard import make_examples, settle
from pipeline.examples.tables import damaged_line

_SPEC = read_spec("""
name: tiny
log:
  files: "*.csv"
  user: user
  item: item
  time: {column: ts}
  columns: {user: int64, item: int64, ts: int64, good: int64, floats: "list<float32>?"}
  outcomes: [good]
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
    made = encode(_frame(vectors), _SPEC)[0]["cover"]
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
    assert encode(_frame(vectors), _SPEC)[0].height == rows
    assert count_damaged(_frame(vectors), _SPEC) == {"cover": 0}


def test_a_spec_without_vectors_counts_none():
    spec = read_spec(_SPEC.text.replace("  - {name: cover, ", "  # - {name: cover, "))
    assert count_damaged(_frame(pl.Series([[1.0]])), spec) == {}


# --- the way of a vector through a shard ----------------------------------------------

_HISTORY = read_spec("""
name: seen
log:
  files: "*.csv"
  user: user
  item: item
  time: {column: ts}
  columns: {user: int64, item: int64, ts: int64, good: int64, cover: "vector<2>?"}
  outcomes: [good]
history: {positive: "good = 1", columns: [cover], length: 2}
tables: {user: {buckets: 10}, item: {buckets: 10}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: history_cover, group: query, kind: vector, target: cover}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: cover, group: candidate, kind: vector}
tasks: [{name: good, kind: binary, label: "good = 1"}]
fusion: {weights: {good: 1.0}}
""")
_PLAN = plan_splits(DayRange.parse("20240302:20240303"), 1, 1)
_BEGIN = 1_709_337_600_000  # 2024-03-02 UTC
# Begin after it in ms, item, good, vector; the last two rows are one impression.
_ROWS = [
    (0, 1, 1, [1.0, 0.0]),
    (1, 2, 1, [0.0, 4.0]),
    (2, 3, 0, [9.0, 9.0]),
    (3, 4, 1, None),
    (4, 5, 1, [2.0, 2.0]),
    (5, 6, 0, [7.0, 1.0]),
    (5, 6, 0, [7.0, 0.5]),
]


@pytest.mark.parametrize("order", [1, -1])
def test_the_mean_of_the_vectors_of_a_history(order):
    frame = pl.DataFrame(
        [{"user": 1, "item": i, "good": g, "ts": t} for t, i, g, _ in _ROWS]
    ).with_columns(
        (pl.col("ts") + _BEGIN).alias("_time_ms"),
        pl.Series("cover", [v for *_, v in _ROWS], pl.Array(pl.Float32, 2)),
    )
    settled, copies = settle(frame[::order], _HISTORY, _PLAN.days.first)
    made = make_examples(settled, _HISTORY, _PLAN, []).examples.sort("key_time_ms")
    assert (copies.impressions, copies.others_differ) == (1, 1)
    assert made["item"].to_list() == [1, 2, 3, 4, 5, 6]
    seen = np.array(made["history_cover"].to_list())
    assert np.isnan(seen[0]).all()
    # The last two that were good; of items 2 and 4 only one has a vector.
    expected = [[1, 0], [0.5, 2], [0.5, 2], [0, 4], [2, 2]]
    np.testing.assert_array_equal(seen[1:], expected)
    own = np.array(made["cover"].to_list())
    np.testing.assert_array_equal(own[[0, 5]], [[1, 0], [7, 0.5]])  # the smaller one
    assert np.isnan(own[3]).all()


def test_the_report_tells_which_vectors_cannot_be_used():
    """Of four rows one has no vector, and one of two floats has a NaN."""
    spec = read_spec(_SPEC.text)
    vectors = pl.Series([[0.5, 2.0], None, [math.nan, 1.0], [3.0, 4.0]])
    times = pl.Series("_time_ms", [_BEGIN + n for n in range(4)])
    items = pl.Series("item", [1, 2, 3, 4])
    frame = _frame(vectors).with_columns(times, items, times.alias("ts"))
    settled, copies = settle(frame, spec, _PLAN.days.first)
    shard = make_examples(settled, spec, _PLAN, [])
    counts = count_shard(shard, settled, copies, spec, _PLAN)
    report = build_report(counts, spec, _PLAN, 0)
    assert report["missing"] == {"user": 0, "item": 0, "cover": 0.5}
    assert report["damaged_vectors"] == {"cover": 1}
    assert damaged_line(report).endswith("count as missing: 1 of cover.")
    assert damaged_line({"damaged_vectors": {"cover": 0}}) == damaged_line({}) == ""


def test_a_vector_column_tells_its_width():
    widths = {f.name: f.width for f in _HISTORY.features}
    assert widths == {"user": 0, "history_cover": 2, "item": 0, "cover": 2}
