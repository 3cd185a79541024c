"""Summaries of several days, put together."""

import itertools

import pytest

from pipeline.summaries.summary import (
    ColumnSummary,
    join_columns,
    merge_columns,
    merge_days,
)
from tests.pipeline.summaries.days import examples, summary_of


def test_days_add_up():
    one = summary_of({"tab": [1, 1, 2], "key_user": [5, 6, 6]}, "day-20220408")
    other = summary_of({"tab": [2, -1], "key_user": [6, 7]}, "day-20220409")
    both = one.merge(other)
    assert both.split == "day-20220408+day-20220409"
    assert (both.rows, both.read, both.rejected) == (5, 7, 2)
    assert both.users == 4  # user 6 counts on both days
    tab = both.columns["tab"]
    assert list(tab.top.items()) == [(1, 2), (2, 2)]
    assert (tab.missing, tab.values, tab.distinct, tab.others) == (1, 4, 2, 0)
    assert tab.moments.mean == 1.5


def test_merged_days_are_the_summary_of_all_their_rows(any_seed):
    rows = examples(400, seed=any_seed)
    parts = [
        summary_of(rows[n : n + 100], f"day-2022040{n // 100 + 5}")
        for n in range(0, 400, 100)
    ]
    whole = summary_of(rows).columns
    for order in itertools.islice(itertools.permutations(parts), 0, 24, 7):
        merged = merge_days(order)
        assert repr(merged.columns) == repr(whole)
        assert merged.split.startswith("day-20220405+day-20220406")


def test_merging_is_associative(any_seed):
    a, b, c = (summary_of(examples(50, seed=any_seed + n)) for n in range(3))
    assert repr(a.merge(b).merge(c)) == repr(a.merge(b.merge(c)))


def test_days_that_leave_values_out_say_so():
    whole = ColumnSummary(dtype="int64", rows=3, values=3, top={1: 2, 2: 1}, distinct=2)
    cut = ColumnSummary(
        dtype="int64", rows=9, values=9, top={1: 5}, distinct=4, others=4
    )
    merged = merge_columns([whole, cut])
    assert merged.top == {1: 7, 2: 1}
    assert merged.others == 4  # one of them may be a 2
    assert merged.distinct == 4  # at least
    assert not merged.distinct_is_exact
    assert not merge_columns([merged, whole]).distinct_is_exact
    assert whole.merge(whole).distinct_is_exact


def test_a_column_that_a_day_lacks_has_no_row_there():
    one, other = summary_of({"tab": [1]}), summary_of({"tab": [1, 1]}, "day-20220409")
    del one.columns["city"]
    assert one.merge(other).columns["city"].rows == 2


def test_no_day_is_refused():
    with pytest.raises(ValueError, match="no day is given"):
        merge_days([])


def test_parts_share_no_value_and_keep_the_most_frequent():
    parts = [
        ColumnSummary(dtype="string", top={"c": 2, "d": 1}, distinct=3, others=1),
        ColumnSummary(dtype="string", top={"a": 2, "b": 2}, distinct=2),
        ColumnSummary(dtype="string", rows=8, values=8),
    ]
    found = join_columns(parts, most=3)
    assert list(found.top.items()) == [("a", 2), ("b", 2), ("c", 2)]
    assert (found.distinct, found.others, found.rows) == (5, 2, 8)
