"""Where the rows of other logs go, and what is told of them."""

import datetime

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples import history_logs
from pipeline.examples.days import DayRange
from pipeline.examples.errors import ExamplesError
from pipeline.examples.log_checks import check_folders
from pipeline.examples.reading.readers import history_sources
from pipeline.examples.reading.sources import FileRange
from tests.tiny_spec import TINY_SPEC

_SEARCHES = """
histories:
  searches:
    files: "searches/{day}.csv"
    folder_timezone: UTC
    user: who
    time: {column: at, unit: s}
    types: {who: int64, at: int64, query: string?}
    where: "query <> ''"
    columns: {words: "STRING_TO_ARRAY(query, ' ')"}
"""
_SHANGHAI = TINY_SPEC.replace("timezone: UTC", "timezone: Asia/Shanghai")
_SPEC = read_spec(_SHANGHAI + _SEARCHES)
_PART = FileRange("histories.searches", "searches/20220408.csv", 0, 0, 0, 1, (), 1, 1)
_MIDNIGHT = 1_649_347_200  # 2022-04-08 in Shanghai, still the 7th in London


def _rows(*rows):
    types = {"who": pl.Int64, "at": pl.Int64, "query": pl.String}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return frame.with_columns((pl.col("at") * 1000).alias("_time_ms"))


def _counted(rows):
    (source,) = history_sources(_SPEC).values()
    first, last = datetime.date(2022, 4, 8), datetime.date(2022, 4, 9)
    return history_logs.rows_that_count(rows, _PART, source, _SPEC, first, last)


def test_a_history_is_read_as_the_log_is():
    (source,) = history_sources(_SPEC).values()
    assert (source.name, source.key) == ("histories.searches", "histories.searches")
    assert (source.zone, source.folder_zone) == ("Asia/Shanghai", "UTC")
    assert (source.begin.time.column, source.begin.time.unit) == ("at", "s")
    assert source.needed >= {"who", "at"}  # a search without a query is a row
    assert source.columns["query"] == "string?"
    # A day of Shanghai lies in the files of two days of UTC.
    assert str(source.folders(DayRange.parse("20220408"))) == "20220407:20220408"


def test_rows_outside_the_days_and_those_that_do_not_count_are_counted():
    rows = _rows(
        (1, _MIDNIGHT - 1, "a"),  # the day before
        (1, _MIDNIGHT, "b c"),
        (1, _MIDNIGHT + 1, ""),
        (1, _MIDNIGHT + 1, None),
        (2, _MIDNIGHT + 2 * 86_400, "d"),
    )
    found, counts = _counted(rows)
    assert found["query"].to_list() == ["b c"]
    assert found["_time_ms"].to_list() == [_MIDNIGHT * 1000]
    assert counts["history", "searches", "outside_days"] == 2
    assert counts["history", "searches", "filtered"] == 2


def test_files_of_another_zone_s_days_are_found_out():
    _, counts = _counted(_rows(*[(1, _MIDNIGHT - 3_600, "a")] * 300))
    folders = history_logs.report_history(counts, "searches")["folders"]
    assert folders == {"20220408": {"rows": 300, "early": 300, "not UTC": 300}}
    with pytest.raises(ExamplesError, match=r"histories\.searches\.folder_timezone of"):
        check_folders(folders, "histories.searches")


def test_repeated_rows_and_users_without_impressions_are_counted():
    rows = _rows((1, 5, "a"), (1, 5, "a"), (3, 5, "b"), (3, 5, "b"), (2, 4, "c"))
    users = pl.Series("user", [2, 1, 1])
    found, counts, _ = history_logs.settle_histories({"searches": rows}, users, _SPEC)
    assert found["searches"].select("who", "query").rows() == [(1, "a"), (2, "c")]
    assert counts == {
        ("history", "searches", "repeated"): 2,
        ("history", "searches", "users_without_impressions"): 1,
        ("history", "searches", "used"): 2,
    }
    # A shard may have no impression, or no event.
    found, counts, _ = history_logs.settle_histories({"searches": rows}, None, _SPEC)
    assert found["searches"].is_empty()
    assert counts["history", "searches", "users_without_impressions"] == 3
    assert history_logs.settle_histories({"searches": None}, users, _SPEC) == (
        {"searches": None},
        {},
        {"searches": None},
    )


def test_every_row_is_accounted_for():
    counts = {
        ("rows", "histories.searches"): 10,
        ("reject", "histories.searches", "a.csv", "at: empty"): 1,
        ("reject", "histories.searches", "a.csv", "who: empty"): 1,
        ("history", "searches", "used"): 4,
        ("history", "searches", "repeated"): 3,
        ("history", "other", "used"): 7,
    }
    report = history_logs.report_history(counts, "searches")
    assert report["buckets"] == {
        "used": 4,
        "filtered": 0,
        "outside_days": 0,
        "repeated": 3,
        "users_without_impressions": 0,
        "rejected": 2,
    }
    message = r"^10 rows of history 'searches' came in, but 4 used \+ .* = 9\. This is"
    with pytest.raises(ExamplesError, match=message):
        history_logs.check_histories({"histories": {"searches": report}})
    report["buckets"]["filtered"] = 1
    history_logs.check_histories({"histories": {"searches": report}})
