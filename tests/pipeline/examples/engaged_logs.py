"""Logs with events of files of their own, and all that goes wrong between the two."""

import datetime
import json
import random

from tests.pipeline.examples.events_reference import ZONE

FIRST_DAY = datetime.date(2022, 4, 8)
DAYS = 6
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_BEGAN = round(datetime.datetime(2022, 4, 8, tzinfo=ZONE).timestamp() * 1000)


def engaged_logs(seed=0, users=200, rows=20_000):
    """(rows of the log, section -> events), as the reference takes them."""
    draw = random.Random(seed)
    log = []
    for user in range(users):
        ts = _BEGAN + draw.randrange(_DAY)
        for number in range(rows // users):
            item = draw.randrange(40)
            log.append(
                {
                    "imp": f"i{user}-{number}",
                    "user": user,
                    "item": item,
                    "author": item % 7,
                    "ts": ts,
                    "watched": draw.choice([-3, 0, 0, 5_000, 40_000, 300_000]),
                    "good": int(draw.random() < 0.15),
                }
            )
            ts += draw.choice([0, 1, 1_000, 20_000, 20_000, 90_000, 2_000_000])
            ts += draw.randrange(2 * DAYS * _DAY * users // rows)
    events = _events(draw, log)
    return log + _messed_up(draw, log), events


def _messed_up(draw, log):
    """Makes ids missing, shared and changed; gives copies of rows."""
    copies = [dict(r) for r in draw.sample(log, len(log) // 50)]
    copies += [{**r, "imp": f"{r['imp']}b"} for r in draw.sample(log, len(log) // 100)]
    for r in draw.sample(log, len(log) // 50):
        r["imp"] = None
    for r in draw.sample(log, len(log) // 100):
        r["imp"] = draw.choice(log)["imp"]
    return copies


def _events(draw, log):
    """Half of the rows have events: soon, late, too late, before, on another day."""
    found = {"engagements": [], "purchases": [], "comments": []}
    for r in draw.sample(log, len(log) // 2):
        for _ in range(draw.choice([1, 1, 1, 2, 3, 7])):
            ms = r["ts"] + _after(draw)
            section = draw.choice(["engagements"] * 3 + ["purchases", "comments"])
            found[section].append(_event(draw, section, r, ms, len(found[section])))
    for section, events in found.items():
        events += [dict(e) for e in draw.sample(events, len(events) // 30)]
        for e in draw.sample(events, len(events) // 40):
            later = e["ms"] + draw.choice([-60_000, 0, _HOUR])
            events.append(_moved(e, later))
        for e in draw.sample(events, len(events) // 30):
            events.append({**_moved(e, e["ms"] + 5_000), **_stranger(section)})
    return found


def _after(draw):
    """Milliseconds from an impression's begin."""
    return draw.choice(
        [
            0,
            1,
            draw.randrange(300_000),
            draw.randrange(300_000),
            draw.randrange(_HOUR),
            draw.randrange(20 * _HOUR),
            6 * _HOUR,
            6 * _HOUR + 1,
            _DAY,
            _DAY + 1,
            draw.randrange(3 * _DAY),
            -draw.randrange(_HOUR),
            draw.choice([12 * _DAY, 8 * _HOUR]),
        ]
    )


def _event(draw, section, r, ms, number):
    if section == "engagements":
        action = draw.choice(["like", "like", "unlike", "share", "save", None])
        event_id = draw.choice([f"e{number}", f"e{number}", None])
        return {"imp": r["imp"], "event_id": event_id, "action": action, "ms": ms}
    if section == "purchases":
        amount = draw.choice([0.5, 2.25, 8.0, -1.0, None])
        return {"user": r["user"], "item": r["item"], "amount": amount, "ms": ms}
    words = draw.randrange(1, 9)
    ms -= ms % 1_000
    who = draw.choice([r["user"]] * 9 + [r["user"] + 1, None])
    return {"imp": r["imp"], "who": who, "words": words, "ms": ms}


def _moved(event, ms):
    return {**event, "ms": ms - ms % 1_000 if "words" in event else ms}


def _stranger(section):
    """A key that no impression has."""
    return {"user": 7_777} if section == "purchases" else {"imp": "nobody's"}


# --- files ----------------------------------------------------------------------------


def write_logs(folder, rows, events, damage=0):
    """Writes the files, each with some lines that nobody can read."""
    _write_csv(folder / "log_1.csv", _cut(rows, 0), damage)
    _write_csv(folder / "log_2.csv", _cut(rows, 1), damage)
    (folder / "engagements").mkdir(exist_ok=True)
    found = [_renamed(e, "at", e["ms"]) for e in events["engagements"]]
    _write_csv(folder / "engagements" / "a.csv", _cut(found, 0), damage)
    _write_csv(folder / "engagements" / "b.csv", _cut(found, 1), damage)
    found = [_renamed(e, "second", e["ms"] // 1_000) for e in events["comments"]]
    _write_csv(folder / "comments.csv", found, damage)
    lines = [
        json.dumps(_renamed(e, "when", _iso(e["ms"]))) for e in events["purchases"]
    ]
    lines += ['{"user": 1, "item": 2}', '{"user": 1, "it', '["user"]'][:damage]
    (folder / "purchases_1.jsonl").write_text("".join(f"{line}\n" for line in lines))


def _cut(rows, part):
    half = len(rows) // 2
    return rows[half:] if part else rows[:half]


def _renamed(event, name, value):
    return {**{k: v for k, v in event.items() if k != "ms"}, name: value}


def _iso(ms):
    at = datetime.datetime.fromtimestamp(ms / 1000, ZONE)
    return at.isoformat(timespec="milliseconds")


def _write_csv(path, rows, damage):
    names = list(rows[0])
    lines = [",".join(names)]
    for row in rows:
        lines.append(",".join("" if row[n] is None else str(row[n]) for n in names))
    bad = ["x" + "," * (len(names) - 1), "too,few", ",".join("?" * len(names))]
    lines[5:5] = bad[:damage]
    path.write_text("\n".join(lines) + "\n")
