"""Small days of examples, with a column of every kind, and their summaries."""

import numpy as np
import polars as pl

from feature_specs import read_spec
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.summary_steps import day_summary
from pipeline.summaries.columns import columns_of, most_values
from pipeline.summaries.summarize import add_up_values, join, summarize

SPEC = read_spec(
    """
name: small
log:
  files: "log_*.csv"
  user: user
  item: item
  time: {column: time_ms}
  timezone: UTC
  columns: {user: int64, item: string, time_ms: int64, city: "string?", tab: "int64?",
            age: "float64?", tags: "list<string>?", title: "string?",
            cover: "vector<2>?", good: int64, seconds: float64}
  outcomes: [good, seconds]
  request: {session: tab, seconds: 60}
tables: {user: {buckets: 10, dim: 8}, item: {buckets: 10, dim: 8}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: city, group: query, kind: category}
  - {name: age, group: query, kind: number}
  - {name: tab, group: context, kind: code}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: tags, group: candidate, kind: sequence, table: item, length: 3}
  - {name: title, group: candidate, kind: text, size: 5}
  - {name: cover, group: candidate, kind: vector}
tasks:
  - {name: like, kind: binary, label: "good = 1"}
  - {name: watch, kind: regression, label: seconds}
fusion: {weights: {like: 1.0}}
evaluation: {slices: [tab]}
"""
)
_TYPES = {
    "tags": pl.List(pl.String),
    "cover": pl.Array(pl.Float32, 2),
}
_PLAIN = {"int64": pl.Int64, "float32": pl.Float32, "string": pl.String}
_DEFAULTS = {
    "user": 1,
    "city": "x",
    "age": 1.0,
    "tab": 0,
    "item": "i",
    "tags": ["t"],
    "title": "word",
    "cover": [0.0, 1.0],
    "key_user": 1,
    "key_item": "i",
    "key_time_ms": 1,
    "key_request": 1,
    "slice_tab": 0,
}


def frame(values):
    """{key: values} -> examples as `encode` gives them; keys left out are filled in."""
    rows = len(next(iter(values.values())))
    found = {}
    for column in columns_of(SPEC):
        default = _DEFAULTS.get(column.key, 1.0)
        dtype = _TYPES.get(column.key)
        if dtype is None:
            dtype = _PLAIN[column.dtype]
        own = values.get(column.key, [default] * rows)
        found[column.key] = pl.Series(column.key, own, dtype)
    return pl.DataFrame(found)


def examples(rows, seed=0):
    """Drawn examples; some values are missing."""
    draw = np.random.default_rng(seed)
    users, items = draw.integers(0, 5_000, rows), draw.integers(0, 50, rows)
    words = np.array(["red", "cat", "Sun", "...", "看"])
    ages = np.where(draw.random(rows) < 0.1, np.nan, draw.normal(30, 20, rows))
    covers = draw.normal(size=(rows, 2))
    covers[draw.random(rows) < 0.1] = np.nan
    tags = [
        list(map(str, draw.integers(0, 9, n))) or None
        for n in draw.integers(0, 4, rows)
    ]
    tabs = draw.integers(-1, 5, rows)
    return frame(
        {
            "user": users,
            "city": draw.choice(["", "a", "b", "ü"], rows),
            "age": ages,
            "tab": tabs,
            "item": [f"v{n}" for n in items],
            "tags": tags,
            "title": [
                " ".join(draw.choice(words, n)) for n in draw.integers(0, 4, rows)
            ],
            "cover": covers.tolist(),
            "label_like": (draw.random(rows) < 0.2).astype(np.float32),
            "mask_watch": (draw.random(rows) < 0.7).astype(np.float32),
            "label_watch": draw.lognormal(2, 1, rows),
            "key_user": users,
            "key_item": [f"v{n}" for n in items],
            "key_time_ms": draw.integers(10**12, 10**12 + 10**8, rows),
            "slice_tab": tabs,
        }
    )


def summary_of(values, split="day-20220408"):
    """The summary of a day: of `frame(values)`, or of a frame."""
    rows = values if isinstance(values, pl.DataFrame) else frame(values)
    columns, most = columns_of(SPEC), most_values(SPEC)
    found = summarize(rows, columns)
    counted = [add_up_values(v, columns) for v in (found.numbers, found.texts)]
    plan = plan_splits(DayRange.parse("20220408:20220412"), 1, 1)
    day = split.removeprefix("day-")
    counts = {("day", day): rows.height, ("day_reject", day): 1}
    return day_summary(split, join([found.columns, *counted], most), plan, counts)
