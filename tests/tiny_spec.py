"""The smallest spec that does something, for tests of what lies around one."""

TINY_SPEC = """
name: tiny
log:
  files: "log_*.csv"
  user: user
  item: item
  time: {column: time_ms}
  timezone: UTC
  columns: {user: int64, item: int64, time_ms: int64, good: int64}
  outcomes: [good]
tables: {user: {buckets: 10, dim: 8}, item: {buckets: 10, dim: 8}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: item, group: candidate, kind: id, table: item}
tasks: [{name: good, kind: binary, label: "good = 1"}]
fusion: {weights: {good: 1.0}}
"""
