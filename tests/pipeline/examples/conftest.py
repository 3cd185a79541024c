"""A small spec, random logs for it, and a per-row reference of their examples."""

import datetime
import math
import random
import zoneinfo

import pytest

from feature_specs import read_spec

_YAML = """
name: tiny
log:
  files: "log*.csv"
  user: uid
  item: video
  time: {column: ts, unit: ms, watched_ms: watched}
  timezone: Asia/Shanghai
  columns: {uid: int64, video: string, ts: int64, watched: int64, length: int64,
            tab: "int64?", liked: int64}
  outcomes: [watched, liked]
  joins:
    people: {files: "people*.csv", key: uid, columns: {uid: int64, city: "string?", age: "float64?"}}
    clips: {files: "clips*.csv", key: video, columns: {video: string, author: "int64?", tags: "string?"}}
  max_reject_share: 0.5
filters:
  keep: {length: "length >= 5000", watch: "watched <= 2 * length"}
  min_user_events: 3
  min_item_impressions: 2
trail: {gap_minutes: 30, scope: [uid, tab]}
history: {positive: "liked = 1 OR watched > 7000", columns: [video, author], length: 3}
tables: {user: {buckets: 100}, video: {buckets: 100}, tag: {buckets: 10}}
features:
  - {name: uid, group: query, kind: id, table: user}
  - {name: city, group: query, kind: category}
  - {name: age, group: query, kind: number}
  - {name: history_video, group: query, kind: sequence, table: video}
  - {name: history_author, group: query, kind: sequence, table: user}
  - {name: video, group: candidate, kind: id, table: video}
  - {name: author, group: candidate, kind: id, table: user}
  - {name: tags, group: candidate, kind: sequence, table: tag, expr: "STRING_TO_ARRAY(NULLIF(tags, ''), '|')"}
  - {name: seconds, group: candidate, kind: number, expr: "length / 1000"}
  - {name: hour, group: context, kind: category, expr: "EXTRACT(hour FROM event_time)"}
  - {name: trail_position, group: trail, kind: bucket, boundaries: [2]}
  - {name: trail_seconds, group: trail, kind: bucket, boundaries: [60]}
tasks:
  - {name: like, kind: binary, label: "liked = 1"}
  - {name: ratio, kind: regression, label: "watched / length", sample_space: "tab > 0"}
  - {name: log_watch, kind: regression, label: "LN(watched)"}
fusion: {weights: {like: 1.0}}
evaluation: {slices: [tab]}
"""
_SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
_MIDNIGHT = int(datetime.datetime(2022, 4, 8, tzinfo=_SHANGHAI).timestamp() * 1000)
_FIRST_EVALUATION_DAY = datetime.date(2022, 4, 11)

PEOPLE = {
    user: {"city": ["Xi'an", "", "Harbin, old town"][user % 3], "age": user / 2}
    for user in range(9)  # users 9, 10... have no side row
}
CLIPS = {f"v{n}": {"author": n % 4, "tags": ["", "a", "b|c"][n % 3]} for n in range(14)}


@pytest.fixture
def spec():
    return read_spec(_YAML)


@pytest.fixture
def midnight():
    """2022-04-08 00:00 in Shanghai, unix milliseconds."""
    return _MIDNIGHT


@pytest.fixture
def spec_text():
    return _YAML


@pytest.fixture
def sides():
    return PEOPLE, CLIPS


LOG_HEADER = ("extra", "uid", "video", "ts", "watched", "length", "tab", "liked")


@pytest.fixture
def log_line():
    """A row as a line of the log, without its end."""
    return _log_line


def _log_line(row):
    values = {"extra": "x", **row}
    values["tab"] = "" if row["tab"] is None else row["tab"]
    return ",".join(str(values[column]) for column in LOG_HEADER)


@pytest.fixture
def write_logs():
    """(directory, {file name: lines}) -> files with a header, and the side files."""

    def write(folder, logs):
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in logs.items():
            text = "\n".join([",".join(LOG_HEADER), *lines]) + "\n"
            (folder / name).write_text(text)
        people = [f'"{p["city"]}",{uid},{p["age"]}' for uid, p in PEOPLE.items()]
        _write(folder / "people.csv", ["city,uid,age", *people])
        clips = [f"{v},{c['author']},{c['tags']}" for v, c in CLIPS.items()]
        _write(folder / "clips_1.csv", ["video,author,tags", *clips])
        return str(folder)

    return write


def _write(path, lines):
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def random_rows():
    """Four days of impressions: ties, overlaps, duplicates, trails over midnight."""

    def make(seed, count=600):
        draw = random.Random(seed)
        rows = []
        for user in range(12):
            ts = _MIDNIGHT + user % 4 * 86_400_000 + draw.randrange(80_000_000)
            for _ in range(1 if user == 11 else count // 11):
                rows.append(_random_row(draw, user, ts))
                ts += draw.choice(
                    [0, 0, 1, 8_000, 20_000, 600_000, 1_800_001, 9_000_000]
                )
                ts = min(ts, _MIDNIGHT + 4 * 86_400_000 - 1)
        lone = {"uid": 12, "video": "v1", "length": 8_000, "watched": 5, "tab": 0}
        rows.append({**lone, "ts": _MIDNIGHT + 5, "liked": 0})
        rows += [dict(row, liked=1 - row["liked"]) for row in rows[::40]]
        rows += [dict(row) for row in rows[::50]]
        draw.shuffle(rows)
        return rows

    return make


def _random_row(draw, user, ts):
    return {
        "uid": user,
        "video": f"v{draw.randrange(18)}" if draw.random() < 0.97 else f"rare{ts}",
        "ts": ts,
        "watched": draw.choice([0, 1, 3_000, 8_000, 30_000, 2_400_000]),
        "length": draw.choice([4_000, 8_000, 16_000, 3_000_000]),
        "tab": draw.choice([0, 0, 0, 0, 1, None]),
        "liked": int(draw.random() < 0.2),
    }


@pytest.fixture
def reference():
    """rows -> ({(user, ts, video): example}, {rule: rows}), one row at a time."""
    return _reference


def _reference(rows):
    unique = _without_duplicates(rows)
    filtered = dict.fromkeys(
        ["duplicate", "length", "watch", "min_item_impressions", "min_user_events"], 0
    )
    filtered["duplicate"] = len(rows) - len(unique)
    training = [row for row in unique if _day(row) < _FIRST_EVALUATION_DAY]
    examples = {}
    for row in unique:
        rule = _dropping_rule(row, training)
        if rule:
            filtered[rule] += 1
        else:
            examples[row["uid"], row["ts"], row["video"]] = _example(row, unique)
    return examples, filtered


def _without_duplicates(rows):
    """One row an impression: its largest outcomes, else the smallest length and tab."""
    copies = {}
    for row in rows:
        copies.setdefault((row["uid"], row["ts"], row["video"]), []).append(row)
    return [_combined(copies[key]) for key in sorted(copies)]


def _combined(copies):
    def rank(row):
        return row["length"], row["tab"] is None, row["tab"] or 0

    outcomes = {c: max(row[c] for row in copies) for c in ("watched", "liked")}
    return {**min(copies, key=rank), **outcomes}


def _dropping_rule(row, training):
    if row["length"] < 5000:
        return "length"
    if row["watched"] > 2 * row["length"]:
        return "watch"
    if _day(row) < _FIRST_EVALUATION_DAY:
        if sum(other["video"] == row["video"] for other in training) < 2:
            return "min_item_impressions"
        if sum(other["uid"] == row["uid"] for other in training) < 3:
            return "min_user_events"
    return None


def _example(row, rows):
    person = PEOPLE.get(row["uid"], {})
    clip = CLIPS.get(row["video"], {})
    position, seconds = _trail(row, rows)
    past = _past(row, rows)
    log_watch = math.log(row["watched"]) if row["watched"] else None
    tab = row["tab"]
    example = {
        "uid": row["uid"],
        "city": person.get("city") or "",
        "age": person.get("age", math.nan),
        "history_video": [other["video"] for other in past],
        "history_author": [
            CLIPS.get(other["video"], {}).get("author", -1) for other in past
        ],
        "video": row["video"],
        "author": clip.get("author", -1),
        "tags": clip["tags"].split("|") if clip.get("tags") else [],
        "seconds": row["length"] / 1000,
        "hour": _local(row).hour,
        "trail_position": position,
        "trail_seconds": seconds,
        "label_like": row["liked"],
        "mask_like": 1,
        "label_ratio": row["watched"] / row["length"],
        "mask_ratio": int(tab is not None and tab > 0),
        "label_log_watch": log_watch or 0,
        "mask_log_watch": int(log_watch is not None),
        "key_user": row["uid"],
        "key_item": row["video"],
        "key_time_ms": row["ts"],
        "slice_tab": -1 if tab is None else tab,
    }
    return example


def _trail(row, rows):
    """(position, seconds since the trail's begin), by walking the user's rows."""
    position, began, latest_end, tab = 0, None, None, None
    for other in rows:  # sorted by ts, then video, within a user
        if other["uid"] != row["uid"]:
            continue
        silent = latest_end is not None and other["ts"] - latest_end > 30 * 60_000
        if began is None or silent or other["tab"] != tab:
            position, began = 0, other["ts"]
        position += 1
        tab = other["tab"]
        end = other["ts"] + other["watched"]
        latest_end = end if latest_end is None else max(latest_end, end)
        if other is row:
            return position, (row["ts"] - began) / 1000
    raise AssertionError("the row is not among the rows")


def _past(row, rows):
    """The last three positives that ended by the row's begin, newest end last."""
    past = []
    for other in rows:
        positive = other["liked"] == 1 or other["watched"] > 7000
        ended = other["ts"] + other["watched"] <= row["ts"]
        if (
            other["uid"] == row["uid"]
            and positive
            and ended
            and other["ts"] < row["ts"]
        ):
            # One without length is known from the next millisecond on.
            known = max(other["ts"] + other["watched"], other["ts"] + 1)
            past.append((known, other["ts"], other["video"], other))
    return [entry[3] for entry in sorted(past, key=lambda entry: entry[:3])[-3:]]


def _local(row):
    utc = datetime.datetime.fromtimestamp(row["ts"] // 1000, datetime.timezone.utc)
    return utc.astimezone(_SHANGHAI)


def _day(row):
    return _local(row).date()
