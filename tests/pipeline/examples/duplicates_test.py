"""Rows of one impression that come more than once: what stays, and what is told."""

import dataclasses
import datetime
import itertools
import json
import math
import pathlib
import random

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.build import run_examples
from pipeline.examples.days import DAY, DayRange
from pipeline.examples.duplicates import Copies, merge_copies
from pipeline.examples.request import ExamplesRequest
from pipeline.examples.tables import duplicates_line
from tests.pipeline.examples.reference import Description, without_duplicates

_YAML = """
name: copies
log:
  files: "*/log*.csv"  # folders of the day that rows arrived
  user: user
  item: item
  time: {column: ts, watched_ms: watched}
  columns: {user: int64, item: string, ts: int64, watched: int64, liked: "int64?",
            stars: "float64?", said: "string?", place: "int64?", city: "string?",
            written: "int64?"}
  outcomes: [watched, liked, stars, said]
  min_day_share: 0
tables: {user: {buckets: 10}, video: {buckets: 10}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: item, group: candidate, kind: id, table: video}
  - {name: place, group: context, kind: number}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: watch, kind: regression, label: "watched / 1000"}
fusion: {weights: {like: 1.0}}
"""
_SPEC = read_spec(_YAML)
_LAST = read_spec(
    _YAML.replace(
        "  min_day_share", "  duplicates: {keep: last, by: written}\n  min_day_share"
    )
)
_MOST = read_spec(
    _YAML.replace("  min_day_share", "  duplicates: {keep: most}\n  min_day_share")
)
_MOST_BY = read_spec(
    _YAML.replace(
        "  min_day_share", "  duplicates: {keep: most, by: written}\n  min_day_share"
    )
)
_DAY = datetime.date(2024, 3, 2)
_VALUES = ("watched", "liked", "stars", "said", "place", "city", "written")
_TYPES = {
    "user": pl.Int64,
    "item": pl.String,
    "ts": pl.Int64,
    "watched": pl.Int64,
    "liked": pl.Int64,
    "stars": pl.Float64,
    "said": pl.String,
    "place": pl.Int64,
    "city": pl.String,
    "written": pl.Int64,
}


def _rows(*copies, item="v", ts=5):
    """Rows of one impression: watched, liked, stars, said, place, city, written."""
    return [
        {"user": 1, "item": item, "ts": ts, **dict(zip(_VALUES, copy, strict=True))}
        for copy in copies
    ]


def _merge(rows, spec=_SPEC, day=_DAY):
    frame = pl.DataFrame(rows, schema=_TYPES).with_columns(
        pl.col("ts").alias("_time_ms"), pl.lit(day).alias(DAY)
    )
    merged, found = merge_copies(frame, spec, _DAY)
    return merged.select(_VALUES).rows(), found


_N, _NAN = None, math.nan
_SHAPES = {
    "equal rows": (
        _SPEC,
        [(9, 1, 4.0, "a", 2, "x", 1), (9, 1, 4.0, "a", 2, "x", 1)],
        (9, 1, 4.0, "a", 2, "x", 1),
        Copies(rows=1, impressions=1, identical=1),
    ),
    "outcomes zero first, known later": (
        _SPEC,
        [(0, 0, _N, _N, 2, "x", 1), (9, 1, 4.0, "a", 2, "x", 1)],
        (9, 1, 4.0, "a", 2, "x", 1),
        Copies(rows=1, impressions=1, outcomes_differ=1),
    ),
    "what was known is missing later": (
        _SPEC,
        [(9, 1, 4.0, "a", 2, "x", 1), (0, _N, _NAN, _N, 2, "x", 1)],
        (9, 1, 4.0, "a", 2, "x", 1),
        Copies(rows=1, impressions=1, outcomes_differ=1),
    ),
    "each row knows another outcome": (
        _SPEC,
        [(9, _N, _N, _N, 2, "x", 1), (0, 0, _N, "a", 2, "x", 1), (3, _N, 1.5, _N, 2, "x", 1)],
        (9, 0, 1.5, "a", 2, "x", 1),
        Copies(rows=2, impressions=1, outcomes_differ=1),
    ),
    "an outcome that no row knows": (
        _SPEC,
        [(1, _N, _NAN, _N, 2, "x", 1), (2, _N, _N, _N, 2, "x", 1)],
        (2, _N, _N, _N, 2, "x", 1),
        Copies(rows=1, impressions=1, outcomes_differ=1),
    ),
    "numbers below zero": (
        _SPEC,
        [(-5, -2, -1.5, _N, 2, "x", 1), (-7, _N, -0.5, _N, 2, "x", 1)],
        (-5, -2, -0.5, _N, 2, "x", 1),
        Copies(rows=1, impressions=1, outcomes_differ=1),
    ),
    "two texts": (
        _SPEC,
        [(1, 0, _N, "Zoo", 2, "x", 1), (1, 0, _N, "ant", 2, "x", 1), (1, 0, _N, _N, 2, "x", 1)],
        (1, 0, _N, "ant", 2, "x", 1),  # by bytes capitals come first
        Copies(rows=2, impressions=1, outcomes_differ=1, texts_differ=1),
    ),
    "other columns differ": (
        _SPEC,
        [(1, 0, _N, _N, 3, "a", 1), (1, 0, _N, _N, 2, "b", 1)],
        (1, 0, _N, _N, 3, "a", 1),  # city is before place in the order of names
        Copies(rows=1, impressions=1, others_differ=1),
    ),
    "a column that is missing in one row": (
        _SPEC,
        [(1, 0, _N, _N, 2, _N, 1), (1, 0, _N, _N, 9, "b", 1)],
        (1, 0, _N, _N, 9, "b", 1),  # known before missing, and the row stays whole
        Copies(rows=1, impressions=1, others_differ=1),
    ),
    "all differs: outcomes combined, the rest of one row": (
        _SPEC,
        [(0, 1, _N, _N, 2, "b", 7), (8, 0, 2.0, "s", 1, "a", 3)],
        (8, 1, 2.0, "s", 1, "a", 3),
        Copies(rows=1, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "last: the whole row, missing outcomes too": (
        _LAST,
        [(9, 1, 4.0, "a", 2, "x", 10), (3, _N, _N, "b", 5, "z", 11)],
        (3, _N, _N, "b", 5, "z", 11),
        Copies(rows=1, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "last: a row that does not say when is the first": (
        _LAST,
        [(9, 1, 4.0, "a", 2, "x", _N), (3, 0, _N, "b", 5, "z", -4)],
        (3, 0, _N, "b", 5, "z", -4),
        Copies(rows=1, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "last: two that are last are combined": (
        _LAST,
        [(9, 1, 4.0, "c", 1, "a", 10), (3, 0, _N, "b", 5, "z", 11), (2, 1, _N, _N, 4, "z", 11)],
        (3, 1, _N, "b", 4, "z", 11),
        Copies(rows=2, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "last: no row says when": (
        _LAST,
        [(9, 1, _N, _N, 1, "a", _N), (3, 0, 2.0, _N, 1, "a", _N)],
        (9, 1, 2.0, _N, 1, "a", _N),
        Copies(rows=1, impressions=1, outcomes_differ=1),
    ),
    "most: more known outcomes, zeros among them": (
        _MOST,
        [(9, 1, _N, _N, 1, "a", 1), (0, 0, 0.0, _N, 2, "b", 2), (7, 1, _NAN, _N, 0, "a", 3)],
        (0, 0, 0.0, _N, 2, "b", 2),
        Copies(rows=2, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "most: equally many are combined": (
        _MOST,
        [(9, 0, _N, _N, 1, "b", 1), (3, 1, _N, _N, 2, "a", 2), (99, _N, _N, _N, 0, "a", 3)],
        (9, 1, _N, _N, 2, "a", 2),
        Copies(rows=2, impressions=1, outcomes_differ=1, others_differ=1),
    ),
    "most, by: of equally many the last": (
        _MOST_BY,
        [(9, 0, _N, "a", 1, "b", 1), (3, 1, _N, "b", 2, "a", 2), (99, _N, _N, _N, 0, "a", 3)],
        (3, 1, _N, "b", 2, "a", 2),
        Copies(rows=2, impressions=1, outcomes_differ=1, others_differ=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", _SHAPES)
def test_a_shape_of_copies_in_any_order(shape):
    spec, copies, stays, told = _SHAPES[shape]
    for order in itertools.permutations(copies):
        assert _merge(_rows(*order), spec) == ([stays], told)


def test_two_zeros_and_two_ways_of_missing_are_equal():
    rows = [(1, 0, -0.0, _N, 2, "x", 1), (1, 0, 0.0, _N, 2, "x", 1)]
    for order in (rows, rows[::-1]):
        ((row,), found) = _merge(_rows(*order))
        assert math.copysign(1, row[2]) == 1
        assert found.identical == 1
    rows = [(1, 0, _NAN, _N, 2, "x", 1), (1, 0, _N, _N, 2, "x", 1)]
    assert _merge(_rows(*rows))[1].identical == 1


def test_impressions_are_told_apart_by_user_time_and_item():
    copy = (1, 0, _N, _N, 2, "x", 1)
    rows = _rows(copy) + _rows(copy, item="w") + _rows(copy, ts=6)
    rows += [{**_rows(copy)[0], "user": 2}]
    merged, found = _merge(rows)
    assert len(merged) == 4
    assert found == Copies()


def test_copies_of_earlier_days_are_merged_but_not_told():
    rows = _rows((0, 0, _N, _N, 2, "x", 1), (9, 1, _N, _N, 2, "x", 1))
    merged, found = _merge(rows, day=_DAY - datetime.timedelta(days=1))
    assert merged == [(9, 1, _N, _N, 2, "x", 1)]
    assert found == Copies()


@pytest.mark.parametrize(
    ("spec", "keep", "by"),
    [
        (_SPEC, None, None),
        (_LAST, "last", "written"),
        (_MOST, "most", None),
        (_MOST_BY, "most", "written"),
    ],
)
def test_random_copies_are_those_of_the_per_row_reference(spec, keep, by):
    draw = random.Random(5)
    choices = ([0, 3, 9], [_N, 0, 1], [_N, 0.5, -2.0], [_N, "", "a", "B"])
    choices += ([_N, 1, 2], [_N, "x", "y"], [_N, 1, 2])
    rows = [
        {
            **_rows([draw.choice(c) for c in choices], ts=draw.randrange(40))[0],
            "user": u,
        }
        for u in range(5)
        for _ in range(120)
    ]
    description = Description(
        user="user",
        item="item",
        time="ts",
        timezone="UTC",
        log_columns=tuple(_TYPES),
        outcomes=("watched", "liked", "stars", "said"),
        keep_copy=keep,
        copy_by=by,
        joins={},
        keep={},
        features={},
        tasks={},
        slices={},
    )
    timed = [{**row, "_begin": row["ts"]} for row in rows]
    expected = without_duplicates(timed, description)
    assert _merge(rows, spec)[0] == [tuple(r[c] for c in _VALUES) for r in expected]


# --- the whole way ------------------------------------------------------------------

_MIDNIGHT = 1_709_337_600_000  # 2024-03-02 00:00 UTC
_DAY_MS = 86_400_000


def _impression(user, item, ts, *copy):
    return {**_rows(copy, item=item, ts=_MIDNIGHT + ts)[0], "user": user}


_EARLY = [
    _impression(1, "a", 10, 0, 0, _N, _N, 2, "x", _N),  # its like comes the next day
    _impression(1, "b", 20, 5_000, 0, _N, _N, 2, "x", _N),  # comes again as it is
    _impression(2, "a", 30, 0, _N, _N, "so", 2, "x", _N),  # says two things
    _impression(3, "c", 40, 1_000, 0, _N, _N, 2, "x", _N),  # comes once
]
_LATE = [
    _impression(1, "a", 10, 7_000, 1, _N, _N, 2, "x", _N),
    _EARLY[1],
    _impression(2, "a", 30, 2_000, 0, _N, "no", 1, "x", _N),
    _impression(1, "a", _DAY_MS + 5, 3_000, 0, _N, _N, 2, "x", _N),
]


def _run(folder, files, spec=_SPEC):
    """Files (path -> rows) -> (report, {file: bytes})."""
    for name, rows in files.items():
        path = folder / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, schema=_TYPES).write_csv(path)
    request = ExamplesRequest(
        spec=spec,
        logs_dir=str(folder / "logs"),
        examples_dir=str(folder / "examples"),
        rejects_dir=str(folder / "rejects"),
        report_path=str(folder / "report.json"),
        days=DayRange.parse("20240302:20240303"),
        shards=2,
    )
    report = run_examples(request)
    root = pathlib.Path(request.examples_dir)
    files = {p.name + p.parent.name: p.read_bytes() for p in root.glob("Split-*/*")}
    return json.loads(json.dumps(report)), files


def test_a_late_copy_in_the_next_days_folder_brings_its_outcome(tmp_path):
    first, second = "2024-03-02/log.csv", "2024-03-03/log.csv"
    report, files = _run(tmp_path / "1", {first: _EARLY, second: _LATE})
    # Users 1 (like), 1, 2 (known by the late copy) and 3 on the first day.
    assert report["label_means_per_split"] == {
        "day-20240302": {"like": 1 / 4, "watch": (7 + 5 + 2 + 1) / 4},
        "day-20240303": {"like": 0.0, "watch": 3.0},
    }
    assert report["rows_in"] == 8
    assert report["examples"] == {"day-20240302": 4, "day-20240303": 1}
    assert report["filtered"]["duplicate"] == 3
    assert report["duplicates"] == {
        "impressions": 3,
        "identical": 1,
        "outcomes_differ": 2,
        "others_differ": 1,
        "texts_differ": 1,
    }
    line = duplicates_line(report)
    assert "3 impressions came more than once: 1 with equal rows, 2 with other" in line
    assert "1 with two texts in one outcome" in line
    # The same rows in other files and another order give the same bytes.
    names = ["2024-03-02/log1.csv", "2024-03-02/log2.csv", "2024-03-03/log9.csv"]
    parts = [_LATE[2::-1], _EARLY[1::-1], _EARLY[2:] + _LATE[3:]]
    other = dict(zip(names, parts, strict=True))
    assert _run(tmp_path / "2", other)[1] == files


def test_nothing_is_said_where_there_are_no_copies():
    assert duplicates_line({"duplicates": dataclasses.asdict(Copies())}) == ""
    assert duplicates_line({}) == ""
