"""SQL aggregates carried on from event to event, by hand."""

import polars as pl
import pytest

from feature_specs.aggregates import take_apart
from pipeline.examples.columns.event_columns import columns_of_none, columns_over_time

# Two impressions; the first has two events in one millisecond.
_EVENTS = pl.DataFrame(
    {
        "_row": [0, 0, 0, 0, 3, 3],
        "_ms": [1, 2, 2, 5, 1, 9],
        "act": ["like", "unlike", "like", "share", None, "like"],
        "x": [3, None, 1, 7, None, 2],
        "f": [0.5, None, float("nan"), 2.0, 1.0, 0.0],
    }
)
_MOMENTS = [(0, 1), (0, 2), (0, 5), (3, 1), (3, 9)]


@pytest.mark.parametrize(
    "text, values, of_none",
    [
        ("COUNT(*)", [1, 3, 4, 1, 2], 0),
        ("COUNT(act)", [1, 3, 4, 0, 1], 0),
        ("COUNT(DISTINCT act)", [1, 2, 3, 0, 1], 0),
        ("COUNT(*) FILTER (WHERE act = 'like')", [1, 2, 2, 0, 1], 0),
        ("SUM(x)", [3, 4, 11, None, 2], None),
        ("SUM(f)", [0.5, 0.5, 2.5, 1.0, 1.0], None),
        ("AVG(x)", [3.0, 2.0, 11 / 3, None, 2.0], None),
        ("MIN(x)", [3, 1, 1, None, 2], None),
        ("MAX(x) FILTER (WHERE act <> 'share')", [3, 3, 3, None, 2], None),
        ("MAX(act)", ["like", "unlike", "unlike", None, "like"], None),
        ("FIRST(act)", ["like", "like", "like", None, "like"], None),
        ("LAST(act)", ["like", "like", "share", None, "like"], None),
        ("BOOL_OR(x > 2)", [True, True, True, False, False], False),
        ("BOOL_AND(x > 2)", [True, False, False, None, False], None),
        ("SUM(x) / COUNT(*)", [3.0, 4 / 3, 11 / 4, None, 1.0], None),
        ("COALESCE(SUM(x), 0) > 3", [False, True, True, False, False], False),
    ],
)
def test_an_aggregate_at_each_moment(text, values, of_none):
    columns = {"made": take_apart(text)}
    found = columns_over_time(_EVENTS, columns)
    assert list(found.select("_row", "_ms").iter_rows()) == _MOMENTS
    assert found["made"].to_list() == pytest.approx(values)
    none = columns_of_none(_EVENTS, columns)
    assert none["made"].to_list() == [of_none]
    assert none["made"].dtype == found["made"].dtype
    assert columns_over_time(_EVENTS.clear(), columns).schema == found.schema


def test_a_sum_of_whole_numbers_that_may_have_wrapped_around_is_missing():
    events = _EVENTS.with_columns(x=pl.Series([2**62, 1, 2**62, 5, 7, 8]))
    found = columns_over_time(events, {"made": take_apart("SUM(x)")})
    assert found["made"].to_list() == [None, None, None, 7, 15]
