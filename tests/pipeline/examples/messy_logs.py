"""Simulated logs with what real ones have: ties, copies, gaps, odd clocks, odd values.

    rows, sides = messy_logs(folder, timezone=..., first_day=..., users=60, ...)

writes CSV files into `folder` and gives their values, as the reference takes them.
"""

import csv
import datetime
import json
import pathlib
import random
import zoneinfo

from pipeline.simulator import simulate
from tests.pipeline.examples.full_spec import (
    EVENT_TYPES,
    LOG_TYPES,
    SIDE_KEYS,
    SIDE_TYPES,
)

_SIDE_FILES = {"users": "user_features", "videos": "video_features_basic"}
_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_ABSURD_WATCHES = (-5, 10**12, 10**15)
DAYS = 6


def midnight(day, timezone):
    """A local midnight in unix milliseconds."""
    local = datetime.datetime(
        day.year, day.month, day.day, tzinfo=zoneinfo.ZoneInfo(timezone)
    )
    return int(local.timestamp() * 1000)


def messy_logs(folder, *, timezone, first_day, users, rows_per_user_day, seed=0):
    """Writes logs of six local days, and gives (rows, {join: {key: columns}})."""
    folder = pathlib.Path(folder)
    simulated = folder / "simulated"
    simulate(
        str(simulated),
        users=users,
        days=DAYS,
        seed=seed,
        rows_per_user_day=rows_per_user_day,
        dirty_share=0.01,
    )
    draw = random.Random(seed)
    lines = [
        line
        for path in sorted((simulated / "data").glob("log_*.csv"))
        for line in read_lines(path)
    ]
    rows = [typed(line, LOG_TYPES) for line in lines]
    began = midnight(datetime.date(2022, 4, 8), "Asia/Shanghai")
    shift = midnight(first_day, timezone) - began
    for row in rows:
        row["time_ms"] += shift
    rows = mess_up(rows, draw, first_day, timezone)
    write_log(folder, rows)
    return rows, {
        name: _messy_side(simulated, folder, name, draw) for name in SIDE_KEYS
    }


def mess_up(rows, draw, first_day, timezone):
    """The rows with everything that is known to go wrong in logs."""
    _rename(rows, draw)
    _odd_watches(rows, draw)
    _empty_columns(rows, draw)
    _ties(rows, draw)
    rows = rows + _around_midnights(rows, draw, first_day, timezone)
    rows += _single_events(rows, draw, first_day, timezone)
    rows += _newcomers(rows, draw, first_day, timezone)
    rows += _copies(rows, draw)
    _unknown_watches(rows, draw)
    draw.shuffle(rows)
    return rows


def _rename(rows, draw):
    """Users and videos that no side file knows."""
    strangers = set(draw.sample(sorted({row["user_id"] for row in rows}), 3))
    videos = sorted({row["video_id"] for row in rows})
    unknown = set(draw.sample(videos, len(videos) // 20))
    for row in rows:
        if row["user_id"] in strangers:
            row["user_id"] += 900_000
        if row["video_id"] in unknown:
            row["video_id"] += 1_000_000_000


def _odd_watches(rows, draw):
    """No watch at all, one over hours, one over the ages, a negative one; no length."""
    for row in draw.sample(rows, len(rows) // 20):
        row["play_time_ms"] = 0
    for row in draw.sample(rows, len(rows) // 100):
        row["play_time_ms"] = draw.choice([_HOUR, 5 * _HOUR, 30 * _HOUR])
    for row, watched in zip(draw.sample(rows, 6), _ABSURD_WATCHES * 2, strict=True):
        row["play_time_ms"] = watched
    for row in draw.sample(rows, 10):
        row["duration_ms"] = draw.choice([0, -7, 1])


def _empty_columns(rows, draw):
    optional = ("is_hate", "profile_stay_time", "comment_stay_time", "is_rand", "tab")
    for column in optional:
        for row in draw.sample(rows, len(rows) // 30):
            row[column] = None


def _unknown_watches(rows, draw):
    """Rows without the time watched, and without the length, though both have no `?`."""
    for column in ("play_time_ms", "duration_ms"):
        for row in draw.sample(rows, len(rows) // 50):
            row[column] = None


def _ties(rows, draw):
    """Rows that begin with the user's row before, or as it ends, to the millisecond."""
    rows.sort(key=lambda row: (row["user_id"], row["time_ms"]))
    for index in draw.sample(range(1, len(rows)), len(rows) // 20):
        before, row = rows[index - 1], rows[index]
        if before["user_id"] == row["user_id"]:
            kind = draw.choice(["together", "as it ends", "just before"])
            row["time_ms"] = before["time_ms"]
            if kind != "together":
                watched = min(max(0, before["play_time_ms"]), _HOUR)
                row["time_ms"] += watched - (kind == "just before" and watched > 0)


def _around_midnights(rows, draw, first_day, timezone):
    """Short trails over each local midnight and each change of the clock."""
    users = sorted({row["user_id"] for row in rows})
    moments = [
        midnight(first_day + datetime.timedelta(days=day), timezone)
        for day in range(DAYS + 1)
    ]
    moments += clock_changes(moments)
    steps = (-2 * _HOUR, -_HOUR, -_MINUTE, -1, 0, 1, _MINUTE, _HOUR, 2 * _HOUR)
    return [
        {**draw.choice(rows), "user_id": user, "time_ms": moment + step}
        for moment in moments
        for user in draw.sample(users, 3)
        for step in steps
    ]


def clock_changes(moments):
    """UTC times of the changes of New York's clock between moments, on 2 a.m."""
    changes = [
        datetime.datetime(2022, 3, 13, 7, tzinfo=datetime.timezone.utc),
        datetime.datetime(2022, 11, 6, 6, tzinfo=datetime.timezone.utc),
    ]
    times = [int(change.timestamp() * 1000) for change in changes]
    return [time for time in times if min(moments) < time < max(moments)]


def _single_events(rows, draw, first_day, timezone):
    """Users that come once, half of them unknown."""
    began = midnight(first_day, timezone)
    return [
        {
            **draw.choice(rows),
            "user_id": 800_000 + number,
            "time_ms": began + draw.randrange(DAYS * 24 * _HOUR),
        }
        for number in range(12)
    ]


def _newcomers(rows, draw, first_day, timezone):
    """Users of few events until the fourth day, of more after it.

    Their silences last half an hour to the millisecond, or one more.
    """
    found = []
    for number in range(6):
        time_ms = midnight(first_day, timezone) + 3 * 24 * _HOUR + 9 * _HOUR
        for index in range(9):
            time_ms += 48 * _HOUR if index == 4 else 0
            row = {**draw.choice(rows), "user_id": 700_000 + number, "tab": 1}
            watched = draw.randrange(20_000)
            found.append({**row, "time_ms": time_ms, "play_time_ms": watched})
            time_ms += watched + 30 * _MINUTE + index % 2
    return found


def _copies(rows, draw):
    """Lines that come twice or more, and such as tell of other outcomes."""
    exact = [dict(row) for row in draw.sample(rows, len(rows) // 100)]
    again = [dict(row) for row in draw.sample(exact, len(exact) // 3)]
    other = []
    for row in draw.sample(rows, len(rows) // 100):
        copy = dict(row, is_like=1 - row["is_like"])
        copy["play_time_ms"] = draw.choice([0, 1_000, 40_000, row["play_time_ms"]])
        copy["tab"] = draw.choice([None, 0, 1, row["tab"]])
        other.append(copy)
    return exact + again + other


_QUERIES = ("", None, "Cats", "cats AND dogs", "a b c d e f g h", "dog's  tail", "b")


def messy_events(rows, seed=0):
    """{history: rows} of the logs' users, and of some others.

    Many lie at the moment of an impression, or a millisecond beside it; some come
    together, and some twice.
    """
    draw = random.Random(seed)
    times = [(row["user_id"], row["time_ms"]) for row in rows]
    times += [(user + 5_000_000, time) for user, time in draw.sample(times, 20)]
    searches, follows = [], []
    for user, time in draw.choices(times, k=len(rows) // 2):
        at = time + draw.choice([-1, 0, 1, -_HOUR, -30 * _HOUR, _MINUTE])
        for number in range(draw.choice([1, 1, 1, 2, 3])):
            query, results = draw.choice(_QUERIES), draw.choice([None, 0, 7, 100])
            values = (user, at, query, results, f"s{number % 2}")
            searches.append(dict(zip(EVENT_TYPES["searches"], values, strict=True)))
    for user, time in draw.choices(times, k=len(rows) // 4):
        values = (user, time // 1000, draw.randrange(9))
        follows.append(dict(zip(EVENT_TYPES["follows"], values, strict=True)))
    found = {"searches": searches, "follows": follows}
    for events in found.values():
        events += [dict(e) for e in draw.sample(events, len(events) // 20)]
        draw.shuffle(events)
    return found


# --- files --------------------------------------------------------------------------


def read_lines(path):
    """The lines of a CSV file as dicts of texts."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def typed(line, types):
    """The declared columns of a line, None where one is empty."""
    return {c: kind(line[c]) if line[c] != "" else None for c, kind in types.items()}


def write_log(folder, rows):
    """Two log files, one of them with a column that nobody declared."""
    names = list(LOG_TYPES)
    cut = len(rows) // 3
    write_csv(folder / "log_standard_1.csv", names, rows[:cut])
    with_other = [{**row, "server": "x,y"} for row in rows[cut:]]
    write_csv(folder / "log_random_1.csv", [*reversed(names), "server"], with_other)


def write_events(folder, events):
    """Files of the other logs, two of each; one line of the searches is damaged."""
    for name, rows in events.items():
        cut = len(rows) // 2
        names = list(EVENT_TYPES[name])
        for number, part in enumerate((rows[:cut], rows[cut:])):
            if name == "searches":
                write_csv(folder / f"searches_{number}.csv", names, part)
                continue
            (folder / name).mkdir(exist_ok=True)
            lines = [json.dumps(row) + "\n" for row in part]
            (folder / name / f"{number}.jsonl").write_text("".join(lines))
    with (folder / "searches_1.csv").open("a") as file:
        file.write("7,yesterday,cats,3,s0\n")


def write_csv(path, names, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if row[k] is None else row[k] for k in names})


def _messy_side(simulated, folder, name, draw):
    """A side file with gaps, unknown keys and repeated ones, whose last line counts."""
    source = next((simulated / "data").glob(f"{_SIDE_FILES[name]}_*.csv"))
    lines = [line for line in read_lines(source) if draw.random() > 0.02]
    if name == "users":  # half of the users that come once
        lines += [{**lines[0], "user_id": str(800_000 + n)} for n in range(0, 12, 2)]
    lines += [
        {**draw.choice(lines), SIDE_KEYS[name]: line[SIDE_KEYS[name]]}
        for line in draw.sample(lines, 5)
    ]
    optional = [c for c in SIDE_TYPES[name] if c != SIDE_KEYS[name]]
    if name == "videos":  # a tag that is named twice
        for line in draw.sample(lines, len(lines) // 10):
            line["tag"] += line["tag"] and "," + line["tag"].split(",")[0]
    for line in lines:
        for column in optional:
            if draw.random() < 0.03:
                line[column] = ""
    write_csv(folder / f"{_SIDE_FILES[name]}_1.csv", list(lines[0]), lines)
    found = [typed(line, SIDE_TYPES[name]) for line in lines]
    return {line[SIDE_KEYS[name]]: line for line in found}
