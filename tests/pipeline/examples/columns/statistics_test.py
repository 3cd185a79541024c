"""Statistics over earlier days: which day a row counts on, and which days are seen."""

import datetime
import math
import random
import zoneinfo

import polars as pl
import pytest

from feature_specs.past import StatisticSpec
from pipeline.examples.columns.statistics import add_up, daily_sums, windows
from tests.pipeline.examples.columns.past_rows import (
    known_from,
    local_day,
    make_frame,
    make_spec,
    random_rows,
    row,
)

_DAY_MS = 86_400_000
_NEW_YORK = "America/New_York"


def _day(number):
    return datetime.date(2022, 4, number)


def _spec(*, by="item", timezone="Asia/Shanghai", **statistic):
    statistics = (StatisticSpec(name="s", by=by, **statistic),)
    return make_spec(timezone, statistics=statistics)


def _ask(spec, rows, keys, days):
    """[the statistic of each key and day]"""
    by = spec.statistics[0].by
    frame = make_frame(rows, spec.log.timezone)
    wanted = pl.DataFrame(
        {by: keys, "_day": days}, schema={by: frame.schema[by], "_day": pl.Date}
    )
    sums = add_up([daily_sums(frame, spec, by)])
    found = windows(sums, wanted, spec, by)
    return wanted.join(found, on=[by, "_day"], how="left")["s"].to_list()


def test_days_before_are_seen_and_the_day_itself_is_not():
    rows = [row(n * _DAY_MS, "v") for n in (0, 0, 1, 3)]  # on April 8, 8, 9 and 11
    rows[1]["ts"] += 5
    days = [_day(n) for n in (7, 8, 9, 10, 11, 12, 30)]
    spec = _spec(measure="count")
    assert _ask(spec, rows, ["v"] * 7, days) == [0, 0, 2, 3, 3, 4, 4]


def test_a_window_ends_with_the_day_before_and_is_as_long_as_said():
    rows = [row(n * _DAY_MS, f"{n}", author=7, share=10.0**n) for n in range(4)]
    days = [_day(n) for n in range(8, 16)]
    spec = _spec(by="author", value="share", measure="sum", days=2)
    found = _ask(spec, rows, [7] * 8, days)
    assert found == [0, 1, 11, 110, 1_100, 1_000, 0, 0]


def test_keys_do_not_see_each_other():
    rows = [row(0, "a"), row(0, "b"), row(_DAY_MS, "b")]
    spec = _spec(measure="count")
    assert _ask(spec, rows, ["a", "b", "c"], [_day(10)] * 3) == [1, 2, 0]


def test_a_watch_that_ends_after_midnight_counts_for_the_next_day():
    midnight = 12 * 3_600_000  # after noon
    cases = [(999, 8), (1_000, 9), (5_000, 9), (0, 8), (-7, 8), (_DAY_MS + 1_000, 10)]
    for watched, day in cases:
        rows = [row(midnight - 1_000, watched=watched)]
        sums = daily_sums(make_frame(rows), _spec(measure="count"), "item")
        assert sums["_day"].to_list() == [_day(day)], watched


def test_the_last_millisecond_of_a_day_is_known_on_the_next():
    rows = [row(12 * 3_600_000 - 1, watched=0)]
    sums = daily_sums(make_frame(rows), _spec(measure="count"), "item")
    assert sums["_day"].to_list() == [_day(9)]


def test_days_are_local_and_one_of_daylight_saving_has_25_hours():
    zone = zoneinfo.ZoneInfo(_NEW_YORK)
    base = datetime.datetime(2022, 11, 6, tzinfo=zone)  # clocks go back at 02:00
    begin = int(base.timestamp() * 1000)
    hour = 3_600_000
    rows = [row() | {"ts": begin + n} for n in (0, 24 * hour, 25 * hour - 2)]
    rows += [row() | {"ts": begin + 25 * hour - 1}, row() | {"ts": begin - 2}]
    sums = daily_sums(make_frame(rows, _NEW_YORK), _spec(timezone=_NEW_YORK), "item")
    counts = dict(sums.select("_day", "_count_s").iter_rows())
    day = datetime.date(2022, 11, 6)
    after, before = (day + datetime.timedelta(days=n) for n in (1, -1))
    assert counts == {before: 1, day: 3, after: 1}


def test_a_sum_is_exact_in_any_order():
    rows = [row(n, f"{n}", author=1, share=0.1) for n in range(10)]
    spec = _spec(by="author", value="share", measure="sum")
    assert _ask(spec, rows, [1], [_day(9)]) == [1.0]  # 0.1 added ten times is not


def test_values_are_rounded_to_millionths():
    rows = [row(n, share=share) for n, share in enumerate([1.4e-6, 1.4e-6, 2.6e-6])]
    spec = _spec(value="share", measure="sum")
    assert _ask(spec, rows, ["v"], [_day(9)]) == [5e-6]


def test_a_mean_is_drawn_towards_the_prior():
    rows = [row(n, liked=liked) for n, liked in enumerate([1, 1, 0])]
    spec = _spec(value="liked", prior=0.25, strength=4.0)
    assert _ask(spec, rows, ["v", "unknown"], [_day(9)] * 2) == [3 / 7, 0.25]
    spec = _spec(value="liked")
    assert _ask(spec, rows, ["v", "unknown"], [_day(9)] * 2) == [2 / 3, None]


def test_values_that_are_missing_or_not_finite_are_left_out():
    shares = [0.5, None, 1.5, math.nan, math.inf]
    rows = [row(n, share=share) for n, share in enumerate(shares)]
    for measure, expected in [("count", 2), ("sum", 2.0), ("mean", 1.0)]:
        spec = _spec(value="share", measure=measure)
        assert _ask(spec, rows, ["v"], [_day(9)]) == [expected]


def test_true_and_false_are_one_and_zero():
    rows = [row(n, tab=n) for n in range(4)]
    assert _ask(_spec(value="tab >= 1"), rows, ["v"], [_day(9)]) == [0.75]


def test_rows_without_the_column_count_nowhere_and_get_null():
    rows = [row(0, author=None), row(1, author=2)]
    spec = _spec(by="author", measure="count")
    assert _ask(spec, rows, [2], [_day(9)]) == [1]
    sums = daily_sums(make_frame(rows), spec, "author")
    assert sums["author"].to_list() == [2]
    wanted = pl.DataFrame({"author": [None, 2], "_day": [_day(9)] * 2})
    found = windows(sums, wanted.cast({"author": pl.Int64}), spec, "author")
    assert dict(found.select("author", "s").iter_rows()) == {None: None, 2: 1}


def test_parts_of_many_shards_add_up():
    rows = random_rows(3, step_ms=(0, 60_000, 9_000_000))
    spec = _spec(value="share", measure="sum")
    whole = daily_sums(make_frame(rows), spec, "item").sort("item", "_day")
    users = {r["user"] for r in rows}
    parts = [
        daily_sums(make_frame([r for r in rows if r["user"] == user]), spec, "item")
        for user in users
    ]
    assert sum(part.height for part in parts) > whole.height
    assert add_up(parts).sort("item", "_day").equals(whole)
    nested = [add_up(parts[:2]), add_up(parts[2:])]
    assert add_up(nested).sort("item", "_day").equals(whole)


def test_a_sum_that_int64_cannot_hold_is_refused():
    spec = _spec(value="share", measure="sum")
    rule = "Statistic 's'.*item is 'big'.*9e\\+12.*larger unit"
    rows = [row(n, "big", share=share) for n, share in enumerate([4.5e12, 4.5e12])]
    with pytest.raises(ValueError, match=rule):
        daily_sums(make_frame(rows), spec, "item")
    parts = [daily_sums(make_frame([r]), spec, "item") for r in rows]
    with pytest.raises(ValueError, match=rule):
        add_up(parts)


def test_large_sums_of_many_keys_are_no_reason_to_refuse():
    rows = [row(n, f"v{n}", share=4e12) for n in range(9)]
    spec = _spec(value="share", measure="sum")
    items = [f"v{n}" for n in range(9)]
    assert _ask(spec, rows, items, [_day(9)] * 9) == [4e12] * 9


def test_a_damaged_watch_without_end_never_counts():
    rows = [row(0, watched=2**62), row(1)]
    assert _ask(_spec(measure="count"), rows, ["v"], [datetime.date(2099, 1, 1)]) == [1]


def test_each_column_has_its_own_statistics():
    statistics = (
        StatisticSpec(name="views", by="item", measure="count"),
        StatisticSpec(name="likes", by="user", value="liked", measure="sum"),
    )
    spec = make_spec(statistics=statistics)
    frame = make_frame([row(0, "a", liked=1), row(5, "b", liked=1)])
    by_user = daily_sums(frame, spec, "user")
    days = {"_own_day": _day(8), "_day": _day(8)}
    assert by_user.to_dicts() == [
        {**days, "user": 1, "_sum_likes": 2_000_000, "_count_likes": 2}
    ]
    wanted = pl.DataFrame({"user": [1], "_day": [_day(9)]})
    assert windows(by_user, wanted, spec, "user").to_dicts() == [
        {"user": 1, "_day": _day(9), "likes": 2.0}
    ]


def test_no_rows_give_columns_of_the_right_types():
    spec = make_spec(
        statistics=tuple(
            StatisticSpec(name=measure, by="item", value="share", measure=measure)
            for measure in ("count", "sum", "mean")
        )
    )
    sums = add_up([daily_sums(make_frame([]), spec, "item")])
    assert sums.height == 0
    wanted = pl.DataFrame({"item": ["a"], "_day": [_day(9)]})
    for asked in (wanted, wanted.clear()):
        found = windows(sums, asked, spec, "item")
        assert found.rows() == [("a", _day(9), 0, 0.0, None)][: asked.height]
        types = [found.schema[name] for name in ("count", "sum", "mean")]
        assert types == [pl.Int64, pl.Float64, pl.Float64]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", ["item", "user", "tab"])
@pytest.mark.parametrize("days", [0, 1, 3])
def test_random_rows_equal_plain_loops(by, days, seed):
    rows = random_rows(seed, step_ms=(0, 60_000, 3_600_000, 19_000_000))
    random.Random(seed).shuffle(rows)
    measures = {"count": 0.0, "sum": 0.0, "mean": 2.5}
    statistics = [
        StatisticSpec(
            name=measure, by=by, value="share", measure=measure, days=days,
            prior=0.3, strength=strength,
        )
        for measure, strength in measures.items()
    ]  # fmt: skip
    spec = make_spec(_NEW_YORK, statistics=tuple(statistics))
    frame = make_frame(rows, _NEW_YORK)
    parts = [
        daily_sums(frame.filter(pl.col("user") % 3 == shard), spec, by)
        for shard in range(3)
    ]
    wanted = frame.select(by, "_day").drop_nulls().unique()
    found = windows(add_up(parts), wanted, spec, by)
    assert found.height == wanted.height
    for key, day, *got in found.iter_rows():
        assert got == pytest.approx(_plain(rows, by, key, day, days), rel=1e-12)
    assert found["count"].max() > 5


def _plain(rows, by, key, day, days):
    """[count, sum, mean] of the values seen from a day."""
    first = day - datetime.timedelta(days=days) if days else datetime.date.min
    values = [
        round(r["share"] * 1_000_000)
        for r in rows
        if r[by] == key
        and r["share"] is not None
        and first <= local_day(known_from(r), _NEW_YORK) < day
    ]
    total = sum(values) / 1_000_000
    return [len(values), total, (total + 0.3 * 2.5) / (len(values) + 2.5)]
