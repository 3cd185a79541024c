"""Examples with events, one row at a time: dicts and loops, as plain as they come.

It shares no line with `pipeline/`. `SPEC` says what is computed, and the functions here
say it once more in Python. An impression is a dict of log values; its `events` are
(unix ms, name of the section, event) in the order of time.
"""

import bisect
import collections
import datetime
import math
import zoneinfo

SPEC = """
name: engaged
log:
  files: "log_*.csv"
  user: user
  item: item
  time: {column: ts, watched_ms: watched}
  timezone: Asia/Shanghai
  columns: {imp: "string?", user: int64, item: int64, author: int64, ts: int64,
            watched: int64, good: int64}
  outcomes: [watched, good]
  max_reject_share: 0.2
  min_day_share: 0
events:
  engagements:
    files: "engagements/*.csv"
    types: {imp: "string?", event_id: "string?", at: int64, action: "string?"}
    key: imp
    time: at
    id: event_id
    window: 24h
    columns:
      like: "COUNT(*) FILTER (WHERE action = 'like') > COUNT(*) FILTER (WHERE action = 'unlike')"
      share: "BOOL_OR(action = 'share')"
      like_delay_s: "MIN(seconds_since_impression) FILTER (WHERE action = 'like')"
      actions: "COUNT(action)"
      kinds: "COUNT(DISTINCT action)"
      newest: "LAST(action)"
  purchases:
    files: "purchases_*.jsonl"
    format: jsonl
    types: {user: int64, item: int64, when: string, amount: "float64?"}
    key: [user, item]
    time: {column: when, unit: iso}
    window: 6h
    columns: {spent: "SUM(amount)", dearest: "MAX(amount)"}
  comments:
    files: "comments.csv"
    types: {imp: string, who: "int64?", second: int64, words: int64}
    key: imp
    user: who
    time: {column: second, unit: s}
    window: 2d
    columns: {commented: "COUNT(*) > 0", brief: "BOOL_AND(words < 5)"}
trail: {gap_minutes: 30, scope: [user], last: [like, good]}
history: {positive: "like OR good = 1", columns: [item, like, newest], length: 4}
counters:
  - {name: likes, where: like}
  - {name: author_likes, match: author, where: "like AND NOT commented"}
  - {name: since_like, where: like, measure: seconds_since}
  - {name: since_undone, where: "actions > 0 AND NOT like", measure: seconds_since}
  - {name: author_since, match: author, where: "spent > 5 OR share", measure: seconds_since}
  - {name: mean_spent, value: spent, measure: mean, prior: 1.5, strength: 2}
  - {name: author_spent, match: author, value: "COALESCE(spent, 0.25)", where: "NOT share", measure: mean}
statistics:
  - {name: item_like_rate, by: item, value: like, days: 2, prior: 0.1, strength: 3}
  - {name: item_spent, by: item, value: spent, measure: sum}
  - {name: user_actions, by: user, value: actions, measure: sum, days: 1}
  - {name: author_buyers, by: author, value: "NULLIF(spent > 0, FALSE)", measure: count, days: 3}
quantiles:
  - {name: delay_rank, value: like_delay_s, step: 60, max: 86400}
derived:
  engaged: "like OR share"
filters: {keep: {no_spam: "actions < 5"}}
tables: {item: {buckets: 50}, like: {buckets: 5}, action: {buckets: 9}}
features:
  - {name: user, group: query, kind: id, table: item}
  - {name: history_item, group: query, kind: sequence, table: item}
  - {name: history_like, group: query, kind: sequence, table: like}
  - {name: history_newest, group: query, kind: sequence, table: action}
  - {name: likes, group: query, kind: number}
  - {name: since_like, group: query, kind: number}
  - {name: since_undone, group: query, kind: number}
  - {name: mean_spent, group: query, kind: number}
  - {name: user_actions, group: query, kind: number}
  - {name: last_like, group: context, kind: bucket, boundaries: [1], expr: trail_last_like}
  - {name: last_good, group: context, kind: bucket, boundaries: [1], expr: trail_last_good}
  - {name: item, group: candidate, kind: id, table: item}
  - {name: author_likes, group: candidate, kind: number, paired: true}
  - {name: author_since, group: candidate, kind: number, paired: true}
  - {name: author_spent, group: candidate, kind: number, paired: true}
  - {name: item_like_rate, group: candidate, kind: number}
  - {name: item_spent, group: candidate, kind: number}
  - {name: author_buyers, group: candidate, kind: number}
tasks:
  - {name: like, kind: binary, label: like}
  - {name: engaged, kind: binary, label: engaged, sample_space: "kinds < 3"}
  - {name: delay, kind: regression, label: like_delay_s}
  - {name: spent, kind: regression, label: "COALESCE(spent, 0) - COALESCE(dearest, 0)"}
  - {name: brief, kind: binary, label: brief}
  - {name: rank, kind: regression, label: delay_rank}
fusion: {weights: {like: 1.0}}
evaluation: {slices: [author, engaged]}
"""

ZONE = zoneinfo.ZoneInfo("Asia/Shanghai")
WINDOWS_MS = {
    "engagements": 86_400_000,
    "purchases": 21_600_000,
    "comments": 172_800_000,
}
_MISSING = {"int64": -1, "float32": math.nan, "string": ""}


def make_reference(rows, events, first_day, last_day, eval_days):
    """(examples by (user, begin, item), filtered rows, section -> where events went).

    Args:
        rows: Dicts of the log's values, in any order; days before `first_day` are
            context, those after `last_day` are left out.
        events: Section -> dicts of the values of its files, with `ms`.
        first_day, last_day, eval_days: The run's days.
    """
    read = [r for r in rows if _day(r["ts"]) <= last_day]
    impressions = _impressions(read)
    end = _midnight(last_day + datetime.timedelta(days=1))
    accounts = {
        name: _match(impressions, name, found, end + WINDOWS_MS[name])
        for name, found in events.items()
    }
    for i in impressions:
        i["events"].sort(key=lambda e: e[0])
        i["moments"] = sorted({max(e[0], i["known"]) for e in i["events"]})
        i["states"] = [_columns(i, at) for at in (i["known"] - 10**15, *i["moments"])]
        i["final"] = i["states"][-1]
    by_user = collections.defaultdict(list)
    for i in impressions:
        by_user[i["user"]].append(i)
    for own in by_user.values():
        _look_back(own)
    _add_statistics(impressions)
    first_evaluation = last_day - datetime.timedelta(days=eval_days - 1)
    _add_ranks(impressions, [i for i in impressions if i["day"] < first_evaluation])
    examples, spam = {}, 0
    for i in impressions:
        if i["day"] >= first_day:
            if i["final"]["actions"] < 5:
                key = i["user"], i["ts"], i["item"]
                examples[key] = {**_example(i), "split": f"day-{i['day']:%Y%m%d}"}
            else:
                spam += 1
    own_rows = sum(_day(r["ts"]) >= first_day for r in read)
    filtered = {"duplicate": own_rows - len(examples) - spam, "no_spam": spam}
    return examples, filtered, accounts


# --- impressions and their events -----------------------------------------------------


def _impressions(rows):
    """One dict an impression, sorted, with all keys that its rows have."""
    copies = collections.defaultdict(list)
    for r in rows:
        copies[r["user"], r["ts"], r["item"]].append(r)
    found = []
    for key in sorted(copies):
        same = copies[key]
        i = dict(
            min(same, key=lambda r: (r["author"], r["imp"] is None, r["imp"] or ""))
        )
        i["watched"] = max(r["watched"] for r in same)
        i["good"] = max(r["good"] for r in same)
        i["imps"] = {r["imp"] for r in same} - {None}
        i["known"] = i["ts"] + max(1, i["watched"])
        i["day"], i["own_day"] = _day(i["ts"]), _day(i["known"])
        i["events"] = []
        found.append(i)
    return found


def _match(impressions, section, events, until):
    """Gives each impression its events; returns how many went where."""
    went = collections.Counter(early=0, outside=0)
    places = collections.defaultdict(list)  # key -> impressions by begin
    for i in impressions:
        keys = [(i["user"], i["item"])] if section == "purchases" else i["imps"]
        for key in keys:
            who = i["user"] if section == "comments" else None
            places[key, who].append(i)
    for found in places.values():
        found.sort(key=lambda i: (i["ts"], -i["user"], -i["item"]))
    seen = set()
    for e in sorted(events, key=lambda e: (e["ms"], _ordered(e))):
        if e["ms"] >= until:
            went["unmatched"] += 1
            went["outside"] += 1
            continue
        key = (e["user"], e["item"]) if section == "purchases" else e["imp"]
        again = [tuple(sorted((k, repr(v)) for k, v in e.items()))]
        if e.get("event_id") is not None:
            again.append((e["event_id"], key))
        if any(one in seen for one in again):
            went["repeated"] += 1
            continue
        seen.update(again)
        who = e["who"] if section == "comments" else None
        known = places.get((key, who), [])
        if section == "comments" and who is None:
            known = []
        before = [i for i in known if i["ts"] <= e["ms"]]
        if not before:
            went["unmatched"] += 1
            went["early"] += bool(known)
        elif e["ms"] - before[-1]["ts"] > WINDOWS_MS[section]:
            went["late"] += 1
        else:
            went["joined"] += 1
            before[-1]["events"].append((e["ms"], section, e))
    return went


def _ordered(event):
    """An event's values by the names of its columns; a missing one is the last."""
    names = sorted(set(event) - {"ms"})
    return [(event[n] is None, event[n] if event[n] is not None else 0) for n in names]


def _columns(i, until):
    """What is made of an impression's events up to a moment."""
    past = [e for e in i["events"] if e[0] <= until]
    acts = [e["action"] for _, section, e in past if section == "engagements"]
    likes = [
        (ms - i["ts"]) / 1000
        for ms, section, e in past
        if section == "engagements" and e["action"] == "like"
    ]
    named = [a for a in acts if a is not None]
    paid = [e["amount"] for _, section, e in past if section == "purchases"]
    paid = [a for a in paid if a is not None]
    words = [e["words"] for _, section, e in past if section == "comments"]
    return {
        "like": acts.count("like") > acts.count("unlike"),
        "share": "share" in acts,
        "like_delay_s": min(likes, default=None),
        "actions": len(named),
        "kinds": len(set(named)),
        "newest": named[-1] if named else None,
        "spent": sum(paid) if paid else None,
        "dearest": max(paid, default=None),
        "commented": bool(words),
        "brief": all(w < 5 for w in words) if words else None,
    }


def _at(i, moment):
    """The columns as they are known at a moment."""
    return i["states"][bisect.bisect_right(i["moments"], moment)]


# --- looking back ---------------------------------------------------------------------


def _positive(i, state):
    return state["like"] or i["good"] == 1


_COUNTERS = {
    "likes": (False, lambda s: s["like"]),
    "author_likes": (True, lambda s: s["like"] and not s["commented"]),
}
_SINCE = {
    "since_like": (False, lambda s: s["like"]),
    "since_undone": (False, lambda s: s["actions"] > 0 and not s["like"]),
    "author_since": (True, lambda s: (s["spent"] or 0) > 5 or s["share"]),
}
_MEANS = {  # match, where, value, prior, strength
    "mean_spent": (False, lambda s: True, lambda s: s["spent"], 1.5, 2),
    "author_spent": (
        True,
        lambda s: not s["share"],
        lambda s: 0.25 if s["spent"] is None else s["spent"],
        0,
        0,
    ),
}


def _look_back(rows):
    """Trails, history and counters of one user's impressions."""
    by_known = sorted(rows, key=lambda i: i["known"])
    latest, trail = None, 0
    for r in rows:
        if latest is not None and r["ts"] - latest > 1_800_000:
            trail += 1
        r["trail"] = trail
        end = r["ts"] + max(0, r["watched"])
        latest = end if latest is None else max(latest, end)
    for r in rows:
        past = [i for i in by_known if i["known"] <= r["ts"]]
        states = [_at(i, r["ts"]) for i in past]
        liked = [(i, s) for i, s in zip(past, states, strict=True) if _positive(i, s)]
        r["history"] = liked[-4:]
        same = [
            (i, s)
            for i, s in zip(past, states, strict=True)
            if i["trail"] == r["trail"]
        ]
        r["last"] = same[-1] if same else None
        _count(r, past, states)


def _count(r, past, states):
    pairs = list(zip(past, states, strict=True))
    of_author = [(i, s) for i, s in pairs if i["author"] == r["author"]]
    for name, (match, where) in _COUNTERS.items():
        r[name] = sum(bool(where(s)) for _, s in (of_author if match else pairs))
    for name, (match, where) in _SINCE.items():
        since = [
            r["ts"] - _held_from(i, r["ts"], where)
            for i, s in (of_author if match else pairs)
            if where(s)
        ]
        r[name] = min(since) / 1000 if since else None
    for name, (match, where, value, prior, strength) in _MEANS.items():
        found = [value(s) for _, s in (of_author if match else pairs) if where(s)]
        found = [v for v in found if v is not None]
        weight = len(found) + strength
        r[name] = (sum(found) + prior * strength) / weight if weight else None


def _held_from(i, moment, where):
    """Since when, up to a moment, a condition has held without a break."""
    since = None
    for known in (i["known"], *[m for m in i["moments"] if i["known"] < m <= moment]):
        if not where(_at(i, known)):
            since = None
        elif since is None:
            since = known
    return since


def _add_statistics(impressions):
    for by in ("item", "user", "author"):
        groups = collections.defaultdict(list)
        for i in impressions:
            groups[i[by]].append(i)
        for found in groups.values():
            for r in found:
                _statistics(r, by, found)


def _statistics(r, by, found):
    midnight = _midnight(r["day"])

    def values(days, value):
        first = r["day"] - datetime.timedelta(days=days)
        states = [
            _at(i, midnight - 1) for i in found if first <= i["own_day"] < r["day"]
        ]
        return [v for v in map(value, states) if v is not None]

    if by == "item":
        likes = values(2, lambda s: s["like"])
        r["item_like_rate"] = (sum(likes) + 0.3) / (len(likes) + 3)
        r["item_spent"] = sum(values(4000, lambda s: s["spent"]))
    elif by == "user":
        r["user_actions"] = sum(values(1, lambda s: s["actions"]))
    else:
        buys = values(3, lambda s: True if (s["spent"] or 0) > 0 else None)
        r["author_buyers"] = len(buys)


def _add_ranks(impressions, training):
    def place(i):
        delay = i["final"]["like_delay_s"]
        return None if delay is None else math.floor(min(delay, 86_400) / 60)

    bins = sorted(p for p in map(place, training) if p is not None)
    for i in impressions:
        own = place(i)
        i["rank"] = None
        if own is not None and bins:
            below = bisect.bisect_left(bins, own)
            same = bisect.bisect_right(bins, own) - below
            i["rank"] = (below + same / 2) / len(bins)


# --- examples -------------------------------------------------------------------------


def _example(r):
    last = r["last"]
    final = r["final"]
    engaged = final["like"] or final["share"]
    spent = (final["spent"] or 0) - (final["dearest"] or 0)
    example = {
        "user": r["user"],
        "item": r["item"],
        "history_item": [i["item"] for i, _ in r["history"]],
        "history_like": [int(s["like"]) for _, s in r["history"]],
        "history_newest": [s["newest"] or "" for _, s in r["history"]],
        "last_like": float(last[1]["like"]) if last else math.nan,
        "last_good": float(last[0]["good"]) if last else math.nan,
        "key_user": r["user"],
        "key_item": r["item"],
        "key_time_ms": r["ts"],
        "slice_author": r["author"],
        "slice_engaged": int(engaged),
    }
    for name in (*_COUNTERS, *_SINCE, *_MEANS):
        example[name] = math.nan if r[name] is None else float(r[name])
    for name in ("item_like_rate", "item_spent", "user_actions", "author_buyers"):
        example[name] = float(r[name])
    labels = {
        "like": final["like"],
        "engaged": engaged,
        "delay": final["like_delay_s"],
        "spent": spent,
        "brief": final["brief"],
        "rank": r["rank"],
    }
    for name, label in labels.items():
        example[f"label_{name}"] = 0.0 if label is None else float(label)
        example[f"mask_{name}"] = float(label is not None)
    if not final["kinds"] < 3:
        example["mask_engaged"] = 0.0
    return example


def _day(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, ZONE).date()


def _midnight(day):
    at = datetime.datetime.combine(day, datetime.time(), ZONE)
    return round(at.timestamp() * 1000)
