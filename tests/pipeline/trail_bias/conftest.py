"""A small spec and hand-made logs for it."""

import datetime
import zoneinfo

import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.examples.columns.timeline import TIME_MS
from pipeline.examples.days import DayRange
from pipeline.trail_bias.study import plan_study

_YAML = """
name: tiny
log:
  files: "log*.csv"
  user: uid
  item: video
  time: {column: ts, unit: ms, watched_ms: watched}
  timezone: Asia/Shanghai
  columns: {uid: int64, video: int64, ts: int64, watched: int64, drawn: int64, tab: int64,
            seen: int64, liked: "int64?"}
  outcomes: [watched, seen, liked]
  random: "drawn = 1"
  joins:
    clips: {files: "clips*.csv", key: video, columns: {video: int64, author: "int64?"}}
filters:
  keep: {watch: "watched >= 0", by_someone: "author >= 0"}
trail: {gap_minutes: 30, scope: [uid, tab]}
tables: {user: {buckets: 100}, video: {buckets: 100}}
derived: {is_liked: "liked = 1"}
features:
  - {name: uid, group: query, kind: id, table: user}
  - {name: video, group: candidate, kind: id, table: video}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2]}
tasks:
  - {name: like, kind: binary, label: "is_liked"}
  - {name: like_of_seen, kind: binary, label: "liked = 1", sample_space: "seen = 1"}
  - {name: own, kind: binary, label: "liked = 1 AND author = uid"}
  - {name: watch, kind: regression, label: "watched"}
fusion: {weights: {like: 1.0}}
"""
_ZONE = zoneinfo.ZoneInfo("Asia/Shanghai")
_NOON = int(datetime.datetime(2022, 4, 8, 12, tzinfo=_ZONE).timestamp() * 1000)


@pytest.fixture
def spec_text():
    return _YAML


@pytest.fixture
def spec():
    return read_spec(_YAML)


@pytest.fixture
def study_of(spec):
    """Settings of a study -> the study of 8 April 2022."""

    def make(**settings):
        defaults = {"bins": 2, "min_length": 4}
        return plan_study(spec, DayRange.parse("20220408"), **{**defaults, **settings})

    return make


@pytest.fixture
def trail():
    """(user, impressions, ...) -> rows, 10 s apart from `minute` on (0 is noon)."""

    def make(uid, impressions, minute=0, **columns):
        rows = [
            {
                "uid": uid,
                "video": 100 + k,
                "ts": _NOON + minute * 60_000 + k * 10_000,
                "watched": 5_000,
                "drawn": 0,
                "tab": 0,
                "seen": 1,
                "liked": 0,
            }
            for k in range(impressions)
        ]
        for column, values in columns.items():
            for row, value in zip(rows, values, strict=True):
                row[column] = value
        return rows

    return make


@pytest.fixture
def frame_of():
    """Rows -> what the readers give."""

    def make(rows):
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return frame.with_columns(pl.col("ts").alias(TIME_MS))

    return make
