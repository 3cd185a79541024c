"""A candidate's features are those that the examples pass makes of the impression."""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest

from feature_specs import load_spec
from feature_specs.spec import KEY_TIME
from pipeline.examples import joins
from pipeline.examples.columns import quantiles, statistics
from pipeline.examples.columns.stages import Versions
from pipeline.examples.days import DayRange, SplitPlan
from pipeline.examples.shard import make_examples, settle
from pipeline.experiment.errors import ExperimentError
from pipeline.experiment.knowledge import (
    Knowledge,
    Known,
    add_sums,
    candidate_lines,
    check_spec,
    side_rows,
)
from pipeline.simulator import simulate
from pipeline.simulator.block import LOG_COLUMNS

_FIRST = datetime.date(2022, 4, 8)
_DAYS = 4
_CHINA = datetime.timezone(datetime.timedelta(hours=8))


def _day(number):
    return _FIRST + datetime.timedelta(days=number)


def _part(log, first, last):
    """Lines that begin on days `first` to before `last`."""
    ms = [
        int(datetime.datetime.combine(_day(n), datetime.time(), _CHINA).timestamp())
        * 1000
        for n in (first, last)
    ]
    return log.filter(pl.col("time_ms").is_between(*ms, closed="left"))


@pytest.fixture(scope="module")
def spec():
    return load_spec("kuairand")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(log, tables) of a small simulation, some of whose lines are dirty."""
    out = tmp_path_factory.mktemp("simulated")
    simulate(out, users=8, days=_DAYS, rows_per_user_day=70.0, seed=2, dirty_share=0.03)
    whole = dict.fromkeys(LOG_COLUMNS, pl.Int64)
    files = (out / "data").glob("log_*.csv")
    log = pl.concat([pl.read_csv(file, schema_overrides=whole) for file in files])
    names = ("user_features", "video_features_basic")
    tables = {n: pl.read_csv(out / "data" / f"{n}_pure.csv") for n in names}
    return log, tables


def _examples(spec, log, sides):
    """Of the last day, with all earlier rows in one frame, as one pass makes them."""
    plan = SplitPlan(DayRange(_day(0), _day(_DAYS - 1)), 1, 1)
    rows = Knowledge(spec, sides, _day(0), {}).rows_of(log)
    frame, _ = settle(rows, spec, _day(0))
    for key in joins.plan_keys(spec):
        sums = statistics.daily_sums(frame, spec, key.column)
        counts = joins.count_items(frame, spec, plan)
        asked = joins.ask(frame, key, 0)
        told = joins.answer(asked, key, spec, plan, sides, sums, counts)
        frame = joins.add_answers(frame, key, told)
    frame, _ = joins.add_own(frame, spec, sides, Versions.none())
    return make_examples(frame, spec, plan, quantiles.none(spec)).examples


def test_features_are_those_of_the_examples_pass(spec, written):
    log, tables = written
    sides = side_rows(spec, tables)
    want = _examples(spec, log, sides)
    known, sums = Known(), {}
    for number in range(_DAYS - 1):  # day by day, as an experiment goes
        day = _day(number)
        knowledge = Knowledge(spec, sides, day, sums)
        lines = _part(log, number, number + 1)
        known, added = knowledge.end_of_day(known, lines, day)
        sums = add_sums(sums, [added], spec, day)
    knowledge = Knowledge(spec, sides, _day(_DAYS - 1), sums)
    today = _part(log, _DAYS - 1, _DAYS).unique().sort("user_id", "time_ms")
    today = today.unique(["user_id", "time_ms", "video_id"], maintain_order=True)
    names = [feature.name for feature in spec.served_features]
    compared = 0
    for place in (0, 1, 7, 30):  # how many impressions of the day came before
        now = today.group_by("user_id", maintain_order=True).agg(
            pl.all().slice(place, 1)
        )
        now = now.explode(pl.exclude("user_id")).drop_nulls("time_ms")
        before = pl.int_range(pl.len()).over("user_id") < place
        columns = ("user_id", "video_id", "time_ms", "duration_ms", "tab")
        asked = candidate_lines(*(now[name].to_numpy() for name in columns))
        rows = knowledge.rows_of(today.filter(before).select(LOG_COLUMNS))
        got = knowledge.features(known, rows, asked)
        key = ["key_user", "key_item", KEY_TIME]
        there = want.join(got.select(key), on=key, how="semi").sort(key)
        got = got.join(there.select(key), on=key, how="semi").sort(key)
        assert got.select(names).equals(there.select(names))
        compared += got.height
    assert compared > 20
    # Not all of it is missing, or the comparison would say little.
    for name in ("history_video_id", "author_plays", "video_play_rate", "user_minutes"):
        assert want[name].n_unique() > 5


def test_candidates_of_one_moment_do_not_see_each_other(spec, written):
    log, tables = written
    knowledge = Knowledge(spec, side_rows(spec, tables), _day(0), {})
    line = log.sort("time_ms").row(0, named=True)
    videos = np.sort(log["video_id"].unique().to_numpy()[:30])

    def features(of):
        count = len(of)
        asked = candidate_lines(
            np.full(count, line["user_id"]),
            of,
            np.full(count, line["time_ms"]),
            np.full(count, 9_000),
            np.ones(count, np.int64),
        )
        return knowledge.features(Known(), None, asked)

    together, alone = features(videos), features(videos[4:5])
    names = [feature.name for feature in spec.served_features]
    assert together[4].select(names).equals(alone.select(names))
    assert together["key_item"].to_list() == videos.tolist()


def test_a_spec_that_reads_more_than_is_simulated_is_refused(spec):
    log = dataclasses.replace(spec.log, columns={**spec.log.columns, "mood": "int64"})
    with pytest.raises(ExperimentError, match="has no column mood"):
        check_spec(dataclasses.replace(spec, log=log))
    with pytest.raises(ExperimentError, match="no table of the simulator has together"):
        side_rows(spec, {})
