"""A small spec with every section, and what the reader says about a change of it."""

import pytest

from feature_specs import SpecError, read_spec

GOOD = """
name: tiny
log:
  format: jsonl
  files: "log_{day}.jsonl"
  user: user_id
  item: video_id
  time: {column: time_ms, watched_ms: watched, length_ms: duration}
  timezone: Asia/Shanghai
  columns: {user_id: int64, video_id: string, time_ms: int64, watched: int64, duration: int64, liked: int64, tab: int64, age: "int64?", tags: "string?"}
  outcomes: [liked, watched]
  random: "tab = 9"
  joins:
    videos: {files: "videos.csv", format: csv, key: video_id, columns: {video_id: string, author_id: "int64?", score: "float64?"}}
filters: {keep: {long: "duration > 5000"}}
trail: {scope: [user_id, tab], last: [tab, tags]}
history: {positive: "liked = 1", columns: [video_id], length: 7}
counters:
  - {name: author_seen, match: author_id}
  - {name: since_like, where: "liked = 1", measure: seconds_since}
  - {name: tag_likes, match: "STRING_TO_ARRAY(tags, ',')", measure: mean, value: liked, prior: 0.1, strength: 5}
statistics:
  - {name: like_rate, by: video_id, value: liked, days: 7, prior: 0.1, strength: 5}
  - {name: plays, by: video_id, measure: count}
quantiles:
  - {name: watch_rank, value: watched, by: "duration / 1000", boundaries: [7, 15], step: 500, max: 60000}
derived:
  user_group: "CASE WHEN since_like IS NULL THEN 'new' ELSE 'known' END"
  well: "watch_rank > 0.5"
  very_well: "well AND liked = 1"
  ending: "trail_relative > 0.8"
  tag_list: "STRING_TO_ARRAY(tags, ',')"
tables: {video: {buckets: 1024}, user: {buckets: 100, dim: 8}, tag: {buckets: 64}}
features:
  - {name: user_id, group: query, kind: id, table: user}
  - {name: history_video_id, group: query, kind: sequence, table: video}
  - {name: video_id, group: candidate, kind: id, table: video}
  - {name: hour, group: context, kind: category, size: 24, expr: "EXTRACT(hour FROM event_time)"}
  - {name: age, group: query, kind: bucket, boundaries: [18, 30]}
  - {name: age_years, group: query, kind: number, expr: "age / 1"}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2, 4]}
  - {name: ending, group: trail, kind: code, size: 2}
  - {name: like_rate, group: candidate, kind: number}
  - {name: user_group, group: query, kind: category, size: 2}
  - {name: tag_list, group: candidate, kind: sequence, table: tag, length: 4}
tasks:
  - {name: like, kind: binary, label: "liked = 1", sample_space: "duration > 0"}
  - {name: well, kind: binary, label: "well"}
fusion: {weights: {like: 1.0}}
evaluation: {slices: [tab, user_group]}
"""


@pytest.fixture(scope="session")
def good() -> str:
    """The text of a spec without a mistake."""
    return GOOD


@pytest.fixture(scope="session")
def mistakes():
    """`mistakes(old, new)`: what is said of the good spec with `old` replaced."""

    def read_changed(old: str, new: str) -> list[str]:
        assert GOOD.count(old) >= 1, f"{old!r} is not in the good spec"
        try:
            read_spec(GOOD.replace(old, new, 1))
        except SpecError as error:
            return list(error.problems)
        return []

    return read_changed
