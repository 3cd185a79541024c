"""A spec of two tasks, for tests that need no more."""

import dataclasses

from feature_specs import read_spec
from feature_specs.spec import EvaluationSpec

TEXT = """
name: tiny
log:
  files: "*.csv"
  user: user_id
  item: video_id
  time: {column: time_ms}
  columns: {user_id: int64, video_id: int64, time_ms: int64, liked: int64}
  outcomes: [liked]
features:
  - {name: user_id, group: query, kind: id, table: video}
  - {name: video_id, group: candidate, kind: id, table: video}
tables: {video: {buckets: 10}}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: stay, kind: regression, label: "liked"}
fusion: {weights: {like: 1}}
"""
SPEC = read_spec(TEXT)
SLICED = dataclasses.replace(SPEC, evaluation=EvaluationSpec(slices=("liked",)))
