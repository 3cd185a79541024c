"""Days of examples drawn column by column, summarized as the examples pass does it."""

import dataclasses
import datetime

import numpy as np
import polars as pl
import pytest

from feature_specs import read_spec
from pipeline.summaries import columns, summarize
from pipeline.summaries.summary import DaySummary

SPEC = """
name: clips
log:
  files: "*.csv"
  user: user_id
  item: clip_id
  time: {column: began, watched_ms: watched, length_ms: length}
  columns: {user_id: int64, clip_id: int64, began: int64, watched: int64, length: int64,
            liked: int64, shared: int64, tab: int64, country: "string?", tags: "string?",
            age: "int64?"}
  outcomes: [watched, liked, shared]
derived:
  engaged: "liked + shared > 0"
tables: {clip: {buckets: 64}, tag: {buckets: 64}}
features:
  - {name: country, group: query, kind: category, size: 8}
  - {name: age, group: query, kind: bucket, boundaries: [18, 30]}
  - {name: tab, group: context, kind: code, size: 8}
  - {name: clip_id, group: candidate, kind: id, table: clip}
  - {name: tags, group: candidate, kind: sequence, table: tag, length: 4,
     expr: "STRING_TO_ARRAY(tags, ',')"}
  - {name: length_s, group: candidate, kind: number, transform: log1p,
     expr: "length / 1000"}
  - {name: warmth, group: candidate, kind: number, expr: "LN(length / 10000)"}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: engage, kind: binary, label: "engaged"}
  - {name: share, kind: binary, label: "shared = 1", sample_space: "watched > 3000"}
  - {name: watch, kind: regression, label: "watched / 1000"}
fusion: {weights: {like: 1.0}}
"""
FIRST = datetime.date(2024, 3, 1)


@pytest.fixture(scope="session")
def spec():
    """With a column of each form."""
    return read_spec(SPEC)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What the rows of a day are drawn from.

    Attributes:
        rows: Of the day.
        users: Who have them, as many each.
        like: Share of rows with a like.
        tabs: Shares of tab 1, 2, 3.
        no_country: Share of users without a country.
        rejected: Unreadable rows.
    """

    rows: int = 3_000
    users: int = 150
    like: float = 0.02
    tabs: tuple[float, ...] = (0.7, 0.25, 0.05)
    no_country: float = 0.1
    rejected: int = 2


def frame_of(rng, drawn):
    """Examples [B] as `pipeline.examples.encode` gives them."""
    rows = drawn.rows
    user = np.sort(rng.integers(0, drawn.users, rows))
    countries = np.array(["BR", "DE", "ID", "US"])
    own = countries[np.arange(drawn.users) % 4]
    own = np.where(np.arange(drawn.users) % 10 < 10 * drawn.no_country, "", own)
    length = rng.lognormal(3.0, 0.8, rows)
    watched = length * rng.beta(1.2, 1.0, rows)
    liked = rng.random(rows) < drawn.like
    shared = rng.random(rows) < 0.01
    inside = watched > 3
    tags = rng.integers(0, 50, (rows, 2)).astype(str)
    return pl.DataFrame(
        {
            "country": own[user],
            "age": (15 + user % 40).astype(np.int64),
            "tab": rng.choice(3, rows, p=drawn.tabs).astype(np.int64) + 1,
            "clip_id": rng.integers(0, 500, rows),
            "tags": pl.Series(tags.tolist(), dtype=pl.List(pl.String)),
            "length_s": length.astype(np.float32),
            "warmth": np.log(length / 10).astype(np.float32),
            "label_like": liked.astype(np.float32),
            "mask_like": np.ones(rows, np.float32),
            "label_engage": (liked | shared).astype(np.float32),
            "mask_engage": np.ones(rows, np.float32),
            "label_share": (shared & inside).astype(np.float32),
            "mask_share": inside.astype(np.float32),
            "label_watch": watched.astype(np.float32),
            "mask_watch": np.ones(rows, np.float32),
            "key_user": user,
            "key_item": rng.integers(0, 500, rows),
            "key_time_ms": np.arange(rows),
        }
    )


def summary_of(spec, frame, date, rejected=2, trails=None):
    """The summary of a day's examples."""
    kept, most = columns.columns_of(spec), columns.most_values(spec)
    found = summarize.summarize(frame, kept)
    parts = [found.columns]
    parts += [summarize.add_up_values(c, kept) for c in (found.numbers, found.texts)]
    return DaySummary(
        split=f"day-{date:%Y%m%d}",
        rows=frame.height,
        users=frame["key_user"].n_unique(),
        videos=frame["key_item"].n_unique(),
        read=frame.height + rejected,
        rejected=rejected,
        trail_lengths=trails or {1: frame.height // 10, 5: frame.height // 10},
        columns=summarize.join(parts, most),
    )


def date_of(number):
    """The date of a day, from 0 on."""
    return FIRST + datetime.timedelta(days=number)


def day_of(spec, number, seed=0, drawn=None, change=None):
    """The summary of one drawn day.

    Args:
        spec: As the fixture.
        number: Of the day, from 0 on.
        seed: Of the draw.
        drawn: What it is drawn from.
        change: Of its rows, after they are drawn.
    """
    drawn = drawn or Drawn()
    frame = frame_of(np.random.default_rng([seed, number]), drawn)
    if change is not None:
        frame = frame.with_columns(**change)
    return summary_of(spec, frame, date_of(number), drawn.rejected)


@pytest.fixture(scope="session")
def week(spec):
    """Eight clean days."""
    return [day_of(spec, number) for number in range(8)]
