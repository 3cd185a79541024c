"""Examples, one row at a time: dicts and loops, as slow and as plain as they come.

It shares no line with `pipeline/`, so that the two can only agree by both being right.
What a spec says is a `Description` here: its SQL once more, as Python functions of a
row. A row is a dict of log values, None for an empty one; side columns and
`event_time` are added to it, and every column of the spec after them.
"""

import bisect
import collections
import dataclasses
import datetime
import math
import zoneinfo

_MISSING = {"int64": -1, "float32": math.nan, "string": ""}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MILLIONTHS = 1_000_000


@dataclasses.dataclass(kw_only=True)
class History:
    """Another log: `time` gives an event's milliseconds; a column may give a list."""

    name: str
    user: str
    time: object
    where: object = lambda e: True
    columns: dict
    length: int


@dataclasses.dataclass(kw_only=True)
class Counter:
    name: str
    measure: str = "count"
    match: object = None  # row -> a value or a list; None: every past row matches
    where: object = lambda r: True
    value: object = None
    prior: float = 0
    strength: float = 0


@dataclasses.dataclass(kw_only=True)
class Statistic:
    name: str
    by: str
    value: object = lambda r: 1
    measure: str = "mean"
    days: int = 0
    prior: float = 0
    strength: float = 0


@dataclasses.dataclass(kw_only=True)
class Quantile:
    name: str
    value: object
    by: object = lambda r: 0
    boundaries: tuple = ()
    step: float
    max: float


@dataclasses.dataclass(kw_only=True)
class Task:
    label: object
    space: object = lambda r: True


@dataclasses.dataclass(kw_only=True)
class Description:
    """What a spec says. Times are in milliseconds.

    Attributes:
        user, item, time: Columns.
        watched, length: Columns, or None where the log has none.
        longest_ms: What a longer watch is taken for.
        log_columns: All declared columns of the log.
        outcomes: Those of them that are known only afterwards.
        keep_copy: `last` or `most`, or None: what copies of an impression are chosen.
        copy_by: The column that says which copy is the last.
        joins: Name -> (key column, columns).
        keep, derived: Name -> function, in order.
        trail_scope: Columns beside the user.
        session: Column whose value tells a user's requests apart, as long as each row
            begins within `pause_ms` of the one before.
        positive: Which past rows the history keeps.
        features: Name -> (type, function); a list is a sequence of that type.
        slices: Column -> type.
    """

    user: str
    item: str
    time: str
    watched: str = None
    length: str = None
    longest_ms: float = math.inf
    timezone: str
    log_columns: tuple
    outcomes: tuple
    keep_copy: str = None
    copy_by: str = None
    joins: dict
    keep: dict
    min_user_events: int = 0
    min_item_impressions: int = 0
    gap_ms: float = None
    trail_scope: tuple = ()
    trail_last: tuple = ()
    positive: object = None
    history_columns: tuple = ()
    history_length: int = 0
    histories: tuple = ()
    session: str = None
    pause_ms: float = math.inf
    counters: tuple = ()
    statistics: tuple = ()
    quantiles: tuple = ()
    derived: dict = dataclasses.field(default_factory=dict)
    features: dict
    tasks: dict
    slices: dict


@dataclasses.dataclass
class Reference:
    """Examples by (user, begin, item), each with its `split`, and the accounts.

    `filtered` counts rows of the run's own days, `context` all rows of the days before,
    duplicates included, `outside` those of later days. `histories` has the account of
    each other log.
    """

    examples: dict
    filtered: dict
    context: int
    outside: int
    histories: dict


def make_reference(
    rows, sides, spec, first_day, last_day, eval_days, events=None
) -> Reference:
    """All examples of a log.

    Args:
        rows: Dicts of the log's values, in any order.
        sides: Name of a join -> {key: dict of its columns}.
        spec: A `Description`.
        first_day, last_day: The run's days; earlier rows are context, later ones are
            left out.
        eval_days: The last days; the others, and all days before them, are training.
        events: Name of a history -> dicts of its files' values, in any order.
    """
    first_evaluation = last_day - datetime.timedelta(days=eval_days - 1)
    timed = [_with_times(row, spec) for row in rows]
    read = [r for r in timed if r["_day"] <= last_day]
    unique = without_duplicates(read, spec)
    for r in unique:
        _join(r, sides, spec)
    training = [r for r in unique if r["_day"] < first_evaluation]
    for user_rows in _by(unique, spec.user).values():
        _add_trails(user_rows, spec)
        _add_past(user_rows, spec)
        _add_requests(user_rows, spec)
    accounts = {
        h.name: _add_events(unique, events[h.name], h, spec, last_day)
        for h in spec.histories
    }
    _add_statistics(unique, spec)
    _add_quantiles(unique, training, spec)
    for r in unique:
        for name, function in spec.derived.items():
            r[name] = function(r)
    own_rows = [r for r in read if r["_day"] >= first_day]
    own = [r for r in unique if r["_day"] >= first_day]
    examples, filtered = {}, {"duplicate": len(own_rows) - len(own)}
    for rule in (*spec.keep, "min_item_impressions", "min_user_events"):
        filtered[rule] = 0
    users = collections.Counter(r[spec.user] for r in training)
    items = collections.Counter(r[spec.item] for r in training)
    for r in own:
        rule = _dropping_rule(r, spec, first_evaluation, users, items)
        if rule:
            filtered[rule] += 1
        else:
            example = _example(r, spec)
            example["split"] = f"day-{r['_day']:%Y%m%d}"
            examples[r[spec.user], r["_begin"], r[spec.item]] = example
    context, outside = len(read) - len(own_rows), len(rows) - len(read)
    return Reference(examples, filtered, context, outside, accounts)


# --- rows ---------------------------------------------------------------------------


def _with_times(row, spec):
    """A copy with its begin, end, days and local time."""
    r = dict(row)
    r["_begin"] = row[spec.time]
    watched = row[spec.watched] if spec.watched else None
    r["_watched"] = min(max(0, watched or 0), spec.longest_ms)
    length = row[spec.length] if spec.length else None
    r["_length"] = min(max(0, length or 0), spec.longest_ms)
    r["_has_both"] = watched is not None and length is not None
    r["_end"] = r["_begin"] + r["_watched"]
    r["_known"] = max(r["_end"], r["_begin"] + 1)
    r["event_time"] = _local(r["_begin"], spec.timezone)
    r["_day"] = r["event_time"].date()
    r["_known_day"] = _local_day(r["_known"], spec.timezone)
    return r


def _local(time_ms, timezone):
    utc = _EPOCH + datetime.timedelta(milliseconds=time_ms)
    return utc.astimezone(zoneinfo.ZoneInfo(timezone))


def _local_day(time_ms, timezone):
    try:
        return _local(time_ms, timezone).date()
    except OverflowError:  # beyond the year 9999: an absurd watch
        return datetime.date.max


def without_duplicates(rows, spec):
    """Sorted by user, begin and item; the copies of one impression as one row."""
    copies = collections.defaultdict(list)
    for r in rows:
        copies[r[spec.user], r["_begin"], r[spec.item]].append(r)
    return [_one_of(copies[key], spec) for key in sorted(copies)]


def _one_of(copies, spec):
    """The preferred copies' largest outcomes, in the smallest row of all else."""
    for wish in {None: [], "last": ["by"], "most": ["known", "by"]}[spec.keep_copy]:
        if wish == "known":
            ranks = [sum(r[c] is not None for c in spec.outcomes) for r in copies]
        elif spec.copy_by:
            ranks = [_or_least(r[spec.copy_by]) for r in copies]
        else:
            continue
        copies = [
            r for r, rank in zip(copies, ranks, strict=True) if rank == max(ranks)
        ]
    ids = {spec.user, spec.time, spec.item}
    others = sorted(set(spec.log_columns) - ids - set(spec.outcomes))
    row = dict(min(copies, key=lambda r: [_or_most(r[c]) for c in others]))
    for c in spec.outcomes:
        row[c] = max((r[c] for r in copies if r[c] is not None), default=None)
    return _with_times({c: row[c] for c in spec.log_columns}, spec)


def _or_least(value):
    return (0, 0) if value is None else (1, value)


def _or_most(value):
    return (1, 0) if value is None else (0, value)


def _join(r, sides, spec):
    for name, (key, columns) in spec.joins.items():
        side = sides[name].get(r[key], {})
        for column in columns:
            r[column] = side.get(column)


def _by(rows, column):
    groups = collections.defaultdict(list)
    for r in rows:
        groups[r[column]].append(r)
    return groups


# --- the user's own past ------------------------------------------------------------


def _add_trails(rows, spec):
    """Trail columns of one user's rows, in order, but for those that read outcomes."""
    if spec.gap_ms is None:
        return
    trail, trails, latest_end = [], [], None
    for r in rows:
        silent = latest_end is not None and r["_begin"] - latest_end > spec.gap_ms
        moved = trail and any(r[c] != trail[-1][c] for c in spec.trail_scope)
        if not trail or silent or moved:
            trail = []
            trails.append(trail)
        trail.append(r)
        latest_end = r["_end"] if latest_end is None else max(latest_end, r["_end"])
    for number, trail in enumerate(trails):
        for position, r in enumerate(trail, 1):
            r["_trail"] = number
            r["trail_position"] = position
            r["trail_seconds"] = (r["_begin"] - trail[0]["_begin"]) / 1000
            r["trail_length"] = len(trail)
            r["trail_relative"] = position / len(trail)


def _add_past(rows, spec):
    """Trail columns from outcomes, history and counters of one user's rows."""
    # sorted() is stable: rows known at the same time stay in the order of rows.
    by_known = sorted(rows, key=lambda r: r["_known"])
    prepared = [_prepare(counter, by_known) for counter in spec.counters]
    positive = [bool(spec.positive and spec.positive(e)) for e in by_known]
    for r in rows:
        past = [i for i, e in enumerate(by_known) if e["_known"] <= r["_begin"]]
        if spec.gap_ms is not None:
            same = [by_known[i] for i in past if by_known[i]["_trail"] == r["_trail"]]
            _add_trail_outcomes(r, same, spec)
        if spec.positive:
            liked = [by_known[i] for i in past if positive[i]]
            for c in spec.history_columns:
                r[f"history_{c}"] = [e[c] for e in liked[-spec.history_length :]]
        for counter, known in zip(spec.counters, prepared, strict=True):
            r[counter.name] = _count(counter, r, known)


def _add_trail_outcomes(r, past, spec):
    """`past`: the earlier rows of the same trail whose outcomes are known."""
    if spec.watched and spec.length:
        both = [e for e in past if e["_has_both"]]
        watched = sum(min(e["_watched"], e["_length"]) for e in both)
        length = sum(e["_length"] for e in both)
        r["trail_watched_share"] = watched / length if length else None
    for c in spec.trail_last:
        r[f"trail_last_{c}"] = past[-1][c] if past else None


def _add_requests(rows, spec):
    """The request of each of one user's rows, known by its first row, and places."""
    if spec.session is None:
        return
    for key, same in _by(rows, spec.session).items():
        requests = []
        for r in same:
            pause = r["_begin"] - requests[-1][-1]["_begin"] if requests else math.inf
            if pause > spec.pause_ms:
                requests.append([])
            requests[-1].append(r)
        for request in requests:
            first = request[0][spec.user], request[0]["_begin"], key
            for place, r in enumerate(request, 1):
                r["_request"] = None if key is None else first
                r["request_position"] = None if key is None else place
                r["request_size"] = None if key is None else len(request)


def _add_events(rows, events, h, spec, last_day):
    """Columns of one other log, and where its rows went."""
    account = collections.Counter()
    users, known = {r[spec.user] for r in rows}, collections.defaultdict(set)
    for e in events:
        if _local(h.time(e), spec.timezone).date() > last_day:
            account["outside_days"] += 1
        elif not h.where(e):
            account["filtered"] += 1
        else:
            # Of one moment the smaller comes first, column by column, None last.
            values = [_or_most(e[c]) for c in sorted(e) if c != h.user]
            event = (h.time(e), values, e)
            same = known[e[h.user]]
            if (h.time(e), tuple(values)) in same:
                account["repeated"] += 1
                continue
            same.add((h.time(e), tuple(values)))
            known.setdefault((e[h.user], "events"), []).append(event)
            account["used" if e[h.user] in users else "users_without_impressions"] += 1
    for r in rows:
        past = known.get((r[spec.user], "events"), [])
        past = sorted((e for e in past if e[0] < r["_begin"]), key=lambda e: e[:2])
        for name, function in h.columns.items():
            found = [function(e) for _, _, e in past]
            found = [v for f in found for v in (f if isinstance(f, list) else [f])]
            r[f"history_{h.name}_{name}"] = found[-h.length :]
    return account


def _prepare(counter, rows):
    """Matched value -> (known from, value) of each candidate row, as two lists."""
    found = {}
    for e in rows:
        if not counter.where(e):
            continue
        value = counter.value(e) if counter.value else None
        for matched in _matched(counter, e) or ():
            known, values = found.setdefault(matched, ([], []))
            known.append(e["_known"])
            values.append(value)
    return found


def _matched(counter, r):
    """The distinct values that a row is matched by; None if there is nothing."""
    if counter.match is None:
        return {"all"}
    found = counter.match(r)
    if not isinstance(found, list):
        found = [found]
    return {v for v in found if v is not None} or None


def _count(counter, r, prepared):
    wanted = _matched(counter, r)
    if wanted is None:
        return None
    known, values = [], []
    for matched in wanted:
        times, found = prepared.get(matched, ([], []))
        past = bisect.bisect_right(times, r["_begin"])
        known += times[:past]
        values += found[:past]
    if counter.measure == "count":
        return len(known)
    if counter.measure == "seconds_since":
        return (r["_begin"] - max(known)) / 1000 if known else None
    values = [v for v in values if v is not None]
    return _smoothed(sum(values), len(values), counter)


def _smoothed(total, count, spec):
    if count + spec.strength == 0:
        return None
    return (total + spec.prior * spec.strength) / (count + spec.strength)


# --- everybody's past ---------------------------------------------------------------


def _add_statistics(rows, spec):
    for s in spec.statistics:
        days = collections.defaultdict(list)  # (key, day it is known) -> millionths
        for e in rows:
            value = s.value(e)
            if value is not None and e[s.by] is not None:
                key = (e[s.by], e["_known_day"])
                days[key].append(round(value * _MILLIONTHS))
        known_days = sorted({day for _, day in days})
        for r in rows:
            r[s.name] = _statistic(s, r, days, known_days)


def _statistic(s, r, days, known_days):
    if r[s.by] is None:
        return None
    values = []
    for day in known_days:
        recent = not s.days or day >= r["_day"] - datetime.timedelta(days=s.days)
        if recent and day < r["_day"]:
            values += days.get((r[s.by], day), [])
    if s.measure == "count":
        return len(values)
    total = sum(values) / _MILLIONTHS
    return total if s.measure == "sum" else _smoothed(total, len(values), s)


def _add_quantiles(rows, training, spec):
    for q in spec.quantiles:
        groups = collections.defaultdict(list)  # group -> bins of its training rows
        for e in training:
            place = _place(q, e)
            if place:
                groups[place[0]].append(place[1])
        for bins in groups.values():
            bins.sort()
        for r in rows:
            place = _place(q, r)
            bins = groups.get(place[0]) if place else None
            r[q.name] = _rank(bins, place[1]) if bins else None


def _place(q, r):
    """(group, bin) of a row; None if it has no value."""
    value, by = q.value(r), q.by(r)
    if value is None or by is None:
        return None
    group = sum(1 for boundary in q.boundaries if boundary <= by)
    return group, math.floor(min(max(value, 0), q.max) / q.step)


def _rank(bins, place):
    """The share of sorted bins below a place, those at the place by half."""
    lower = bisect.bisect_left(bins, place)
    same = bisect.bisect_right(bins, place) - lower
    return (lower + same / 2) / len(bins)


# --- examples -----------------------------------------------------------------------


def _dropping_rule(r, spec, first_evaluation, users, items):
    """The first rule that drops a row, or None."""
    for rule, condition in spec.keep.items():
        if not condition(r):
            return rule
    if r["_day"] < first_evaluation:
        if items[r[spec.item]] < spec.min_item_impressions:
            return "min_item_impressions"
        if users[r[spec.user]] < spec.min_user_events:
            return "min_user_events"
    return None


def _example(r, spec):
    example = {}
    for name, (kind, function) in spec.features.items():
        example[name] = _encoded(function(r), kind)
    for name, task in spec.tasks.items():
        label = task.label(r)
        known = label is not None and math.isfinite(label)
        example[f"label_{name}"] = float(label) if known else 0.0
        example[f"mask_{name}"] = float(known and bool(task.space(r)))
    example["key_user"] = r[spec.user]
    example["key_item"] = r[spec.item]
    example["key_time_ms"] = r["_begin"]
    if spec.session is not None:
        example["key_request"] = r["_request"]
    for name, kind in spec.slices.items():
        example[f"slice_{name}"] = _encoded(r[name], kind)
    return example


def _encoded(value, kind):
    """A value of type `kind`, or a list of them where `kind` is a list of one type."""
    if isinstance(kind, list):
        return [_encoded(item, kind[0]) for item in value or []]
    if value is None:
        return _MISSING[kind]
    return {"int64": int, "float32": float, "string": str}[kind](value)
