"""What is carried from day to day gives later days what all earlier rows would."""

import datetime
import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from feature_specs import read_spec
from pipeline.examples.columns import remembering
from pipeline.examples.columns.carried import Carried
from pipeline.examples.columns.histories import add_histories
from pipeline.examples.columns.stages import Versions
from pipeline.examples.columns.statistics import remembered
from pipeline.examples.days import DayRange, plan_splits
from pipeline.examples.history_logs import newest_events, settle_histories
from pipeline.examples.joins import add_own
from pipeline.examples.shard import make_examples, settle

_SPEC = read_spec(
    """
name: carried
log:
  files: "log.csv"
  user: user
  item: item
  time: {column: ms, watched_ms: watched, length_ms: length}
  timezone: Europe/Berlin
  columns: {user: string, item: int64, ms: int64, watched: "int64?", length: int64,
            author: "int64?", tags: "list<string>?", good: int64, tab: "int64?",
            sound: "vector<2>?", visit: "string?"}
  outcomes: [watched, good]
  request: {session: visit, seconds: 1800}
  duplicates: {keep: last, by: length}
histories:
  words:
    files: "words.csv"
    user: who
    time: at
    types: {who: string, at: int64, text: string}
    columns: {word: "STRING_TO_ARRAY(NULLIF(text, ''), ' ')", text: text}
    length: 3
trail: {gap_minutes: 30, scope: [user, tab], last: [good, watched, author]}
history: {positive: "good = 1", columns: [item, author, sound], length: 4}
filters: {min_user_events: 6}
counters:
  - {name: plays}
  - {name: since_good, where: "good = 1", measure: seconds_since}
  - {name: mean_watched, measure: mean, value: "watched / 7.0", prior: 0.3, strength: 2}
  - {name: author_good, match: author, where: "good = 1"}
  - {name: author_since, match: author, measure: seconds_since}
  - {name: author_mean, match: author, measure: mean, value: "watched / 3.0"}
  - {name: tag_plays, match: tags}
  - {name: tag_since, match: tags, where: "good = 1", measure: seconds_since}
  - {name: tag_mean, match: tags, where: "tab = 1", measure: mean, value: "watched / 0.7"}
  - {name: hour_plays, match: "EXTRACT(hour FROM event_time)"}
statistics:
  - {name: user_s, by: user, value: "watched / 1000", measure: sum}
  - {name: user_good, by: user, value: good, days: 2, prior: 0.1, strength: 3}
  - {name: user_week, by: user, measure: count, days: 1}
tables: {user: {buckets: 9}, item: {buckets: 9}, word: {buckets: 9}, author: {buckets: 9}}
features:
  - {name: user, group: query, kind: id, table: user}
  - {name: history_item, group: query, kind: sequence, table: item}
  - {name: history_author, group: query, kind: sequence, table: author}
  - {name: history_sound, group: query, kind: vector}
  - {name: history_words_word, group: query, kind: sequence, table: word}
  - {name: history_words_text, group: query, kind: sequence, table: word}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: plays, group: query, kind: number}
  - {name: since_good, group: query, kind: number}
  - {name: mean_watched, group: query, kind: number}
  - {name: author_good, group: candidate, paired: true, kind: number}
  - {name: author_since, group: candidate, paired: true, kind: number}
  - {name: author_mean, group: candidate, paired: true, kind: number}
  - {name: tag_plays, group: candidate, paired: true, kind: number}
  - {name: tag_since, group: candidate, paired: true, kind: number}
  - {name: tag_mean, group: candidate, paired: true, kind: number}
  - {name: hour_plays, group: candidate, paired: true, kind: number}
  - {name: user_s, group: query, kind: number}
  - {name: user_good, group: query, kind: number}
  - {name: user_week, group: query, kind: number}
  - {name: trail_position, group: trail, kind: number}
  - {name: trail_seconds, group: trail, kind: number}
  - {name: trail_watched_share, group: trail, kind: number}
  - {name: trail_last_good, group: trail, kind: number}
  - {name: trail_last_watched, group: trail, kind: number}
  - {name: trail_last_author, group: trail, kind: number}
tasks: [{name: good, kind: binary, label: "good = 1"}]
fusion: {weights: {good: 1.0}}
evaluation: {slices: [request_position]}
"""
)
_FIRST = datetime.date(2022, 3, 24)  # Berlin loses an hour on the 27th
_DAYS = 7
_BEGAN = 1648076400000  # 2022-03-24 00:00 in Berlin
_HOUR = 3_600_000


def _rows(seed, users=12):
    """Rows of a week: busy nights, ties, plays over midnight, users who come back."""
    draw = random.Random(seed)
    rows = []
    for number in range(users):
        ms = _BEGAN + draw.randrange(30) * _HOUR
        while ms < _BEGAN + (_DAYS * 24 - 2) * _HOUR:
            rows.append(_row(draw, f"u{number}", ms))
            step = draw.choice([0, 1, 5_000, 40_000, 600_000, 1_800_000, _HOUR])
            ms += step if draw.random() < 0.9 else draw.randrange(60) * _HOUR
            if len(rows) > 150 * (number + 1):
                break
        for day in range(1, _DAYS):
            midnight = _BEGAN + (24 * day - (day > 3)) * _HOUR  # summer time begins
            steps = (-900_000, -1, 0, 300_000) if draw.random() < 0.5 else ()
            rows += [_row(draw, f"u{number}", midnight + step) for step in steps]
    rows += [{**row, "length": 9} for row in draw.sample(rows, len(rows) // 30)]
    words = [
        {
            "who": f"u{draw.randrange(users + 2)}",
            "at": draw.choice(rows)["ms"] + draw.choice([-1, 0, 1, -40 * _HOUR]),
            "text": draw.choice(["", "a", "b c", "a b c d e"]),
        }
        for _ in range(len(rows) // 2)
    ]
    return _frame(rows), pl.DataFrame(words).with_columns(_time_ms=pl.col("at"))


def _row(draw, user, ms):
    return {
        "user": user,
        "item": draw.randrange(30),
        "ms": ms,
        "watched": draw.choice(
            [None, 0, 1_237, 20_011, 300_007, 5 * _HOUR, 30 * _HOUR]
        ),
        "length": draw.choice([0, 10_000, 60_000]),
        "author": draw.choice([None, 1, 2, 3]),
        "tags": draw.choice([None, [], ["x"], ["x", "y"], ["z", "y", "z"]]),
        "good": int(draw.random() < 0.3),
        "tab": draw.choice([None, 1, 1, 1, 2]),
        "sound": draw.choice([None, [0.1, -3.7], [2.3, 1e-3]]),
        "visit": draw.choice([None, "v", "w"]),
    }


def _frame(rows):
    types = {"author": pl.Int64, "tags": pl.List(pl.String), "watched": pl.Int64}
    types |= {"sound": pl.Array(pl.Float32, 2), "tab": pl.Int64}
    frame = pl.DataFrame(rows, schema_overrides=types)
    return frame.with_columns(_time_ms=pl.col("ms"))


def _of_days(rows, first, last):
    day = pl.from_epoch("_time_ms", "ms").dt.replace_time_zone("UTC")
    day = day.dt.convert_time_zone("Europe/Berlin").dt.date()
    return rows.filter(day.is_between(first, last))


def _pass(log, words, carried, running, first, last, write=True):
    """One run over some days -> (its examples, what is carried, what still runs)."""
    plan = plan_splits(
        DayRange(first, last), 1, 1, _FIRST, continues=carried is not None
    )
    rows = _of_days(log, first, last)
    if running is not None:
        rows = pl.concat([running, rows.select(running.columns)])
    frame, _ = settle(rows, _SPEC, first)
    earlier = carried.histories if carried else None
    events = {"words": _of_days(words, first, last)}
    logs = settle_histories(events, frame["user"], _SPEC, earlier)
    frame, sums = add_own(frame, _SPEC, {}, Versions.none(), carried)
    made = make_examples(
        add_histories(frame, _SPEC, logs.known), _SPEC, plan, [], carried=carried
    )
    found, still = remembering.remember(frame, _SPEC, carried, last)
    running = frame.filter(pl.Series(still)).select(*_SPEC.log.columns, "_time_ms")
    found = Carried(
        day=last,
        users=found.users,
        counters=found.counters,
        sessions=found.sessions,
        sums=remembered(sums, _SPEC, "user", last),
        histories={"words": newest_events(logs.all["words"], _SPEC.histories["words"])},
    )
    return made.examples.drop("_split"), found, running


@pytest.mark.parametrize("seed", range(4))
def test_days_one_by_one_have_the_bits_of_all_at_once(seed, any_seed):
    log, words = _rows(10 * any_seed + seed)
    last = _FIRST + datetime.timedelta(days=_DAYS - 1)
    whole, _, _ = _pass(log, words, None, None, _FIRST, last)
    carried, running, parts, over_midnight = None, None, [], [0, 0]
    day = _FIRST
    for days in (2, 1, 1, 2, 1):
        until = day + datetime.timedelta(days=days - 1)
        made, carried, running = _pass(log, words, carried, running, day, until)
        parts.append(made)
        over_midnight[0] += running.height
        over_midnight[1] += carried.sessions.height
        day = until + datetime.timedelta(days=1)
    # A training-only filter has dropped what a day to be judged keeps apart.
    trained = ~pl.col("_evaluation_only")
    whole, found = (
        part.filter(trained).sort("_order") for part in (whole, pl.concat(parts))
    )
    assert min(over_midnight) > 10 and len(whole) > 500
    assert_frame_equal(found, whole, check_exact=True)
