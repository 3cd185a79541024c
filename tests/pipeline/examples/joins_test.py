"""Which keys a spec asks about, and what they are answered."""

import dataclasses
import datetime

import polars as pl

from feature_specs.past import StatisticSpec
from feature_specs.spec import FilterSpec, JoinSpec
from pipeline.examples import joins
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.joins import Key, plan_keys


def _with_joins(spec, filters=None, statistics=(), **on):
    joins = {
        name: JoinSpec(files="*", key=column, columns={column: "int64"})
        for name, column in on.items()
    }
    log = dataclasses.replace(spec.log, joins=joins)
    return dataclasses.replace(
        spec, log=log, filters=filters or FilterSpec(), statistics=statistics
    )


def _rate(by):
    return StatisticSpec(name=f"rate_{by}", by=by, value="liked")


def test_every_key_but_the_users_is_asked_about(spec):
    keys = plan_keys(_with_joins(spec, a="uid", b="video", c="tab", d="tab"))
    assert keys == (
        Key("tab", ("c", "d"), by_day=False, counted=False),
        Key("video", ("b",), by_day=False, counted=False),
    )


def test_without_side_files_nothing_is_asked(spec):
    assert plan_keys(_with_joins(spec)) == ()
    assert plan_keys(_with_joins(spec, statistics=(_rate("uid"),))) == ()


def test_counting_impressions_and_statistics_ask_too(spec):
    filters = FilterSpec(min_item_impressions=2)
    keys = plan_keys(_with_joins(spec, filters, (_rate("tab"),)))
    assert keys == (
        Key("tab", (), by_day=True, counted=False),
        Key("video", (), by_day=False, counted=True),
    )


def test_each_asking_shard_gets_one_row_a_key(spec):
    key = Key("video", ("clips",), by_day=False, counted=True)
    days = [datetime.date(2022, 4, n) for n in (8, 8, 12)]
    plan = plan_splits(DayRange.parse("20220408:20220412"), 2, 1)
    frame = pl.DataFrame({"video": ["v1", "v2", "v1"], "_day": days})
    asked = pl.concat([joins.ask(frame, key, 0), joins.ask(frame.head(1), key, 5)])
    side = pl.DataFrame({"video": ["v1"], "author": [7], "tags": ["a"]})
    learned, newer = datetime.date(2022, 4, 10), datetime.date(2022, 4, 11)
    counts = pl.DataFrame(
        {
            "video": ["v1", "v3", "v1", "v1"],
            "_day": [learned, learned, learned, newer],
            joins.ITEM_IMPRESSIONS: [2, 9, 3, 1],
        }
    )
    told = joins.answer(asked, key, spec, plan, {"clips": side}, counts=counts)
    rows = told.sort(joins.ASKING, "video", "_day").rows(named=True)
    assert [(r[joins.ASKING], r["video"], r["author"]) for r in rows] == [
        (0, "v1", 7),
        (0, "v1", 7),
        (0, "v2", None),
        (5, "v1", 7),
    ]
    # A day that is learned from counts all of these; a later one, up to itself.
    assert [r[joins.ITEM_IMPRESSIONS] for r in rows] == [5, 6, 0, 5]
    assert [r["_found_clips"] for r in rows] == [True, True, None, True]


def test_a_null_key_asks_nothing_and_knows_nothing(spec):
    key = Key("tab", (), by_day=False, counted=False)
    frame = pl.DataFrame({"tab": [None, 1]}, schema={"tab": pl.Int64})
    asked = joins.ask(frame, key, 0)
    assert asked["tab"].to_list() == [1]
    told = asked.with_columns(city=pl.lit("here"))
    assert joins.add_answers(frame, key, told)["city"].to_list() == [None, "here"]
