"""A classic Beam pipeline for the same examples: one element a row.

Lines are parsed one by one into dicts, grouped by user and sorted; running deques and
dictionaries over each user's rows give trails, history and counters in one pass; side
files, counts and statistics of earlier days come as side inputs; each row becomes a
`tf.train.Example`. The spec's sections are read, its SQL is in `row_functions`.
"""

from __future__ import annotations

import bisect
import collections
import csv
import datetime
import glob
import heapq
import itertools
import math
import os
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from row_functions import Row, function_of

from feature_specs import Spec, label_key, mask_key
from feature_specs.spec import KEY_ITEM, KEY_TIME, KEY_USER, MISSING, slice_key
from pipeline.examples.days import SplitPlan

_PYTHON_TYPES = {"int64": int, "float64": float, "string": str}
_PER_MS = {"s": 1 / 1000, "ms": 1, "us": 1000}
_MILLIONTHS = 1_000_000


def run(
    spec: Spec,
    logs_dir: str,
    out_dir: str,
    plan: SplitPlan,
    beam_args: Sequence[str] = (),
) -> None:
    """Writes `out_dir/<split>-*.gz`, in this process by default."""
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    options = PipelineOptions([f"--runner={runner}", *beam_args])
    with beam.Pipeline(options=options) as pipeline:
        _generate(pipeline, spec, logs_dir, out_dir, plan)


def _generate(
    pipeline: beam.Pipeline, spec: Spec, logs_dir: str, out_dir: str, plan: SplitPlan
) -> None:
    users = (
        _read(pipeline, "log", spec.log.files, spec.log.columns, logs_dir)
        | "Add times" >> beam.ParDo(_AddTimes(spec, plan))
        | "By user" >> beam.GroupByKey()
        | "Sort users" >> beam.ParDo(_SortUser(spec))
    )
    shared = {
        **_side_files(pipeline, spec, logs_dir),
        **_training_counts(users, spec, plan),
        **_days(users, spec),
    }
    names = [*plan.train, *plan.evaluation]
    examples = users | "Make examples" >> beam.ParDo(
        _MakeExamples(spec, plan), **shared
    )
    splits = examples | "By split" >> beam.Partition(
        lambda pair, _: names.index(pair[0]), len(names)
    )
    for name, split in zip(names, splits, strict=True):
        _ = (
            split
            | f"Examples of {name}" >> beam.Values()
            | f"Write {name}"
            >> beam.io.WriteToTFRecord(f"{out_dir}/{name}", file_name_suffix=".gz")
        )


def _side_files(pipeline: beam.Pipeline, spec: Spec, logs_dir: str) -> dict:
    """Side inputs: the rows of each side file by its key."""
    return {
        name: beam.pvalue.AsDict(
            _read(pipeline, name, join.files, join.columns, logs_dir)
            | f"Key {name}" >> beam.Map(lambda r, on=join.key: (r[on], r))
        )
        for name, join in spec.log.joins.items()
    }


def _training_counts(users: beam.PCollection, spec: Spec, plan: SplitPlan) -> dict:
    """Side inputs: training rows by item, and by quantile, group and bin."""
    training = users | "Training rows" >> beam.FlatMap(_training_rows, plan)
    items = (
        training
        | "Items" >> beam.Map(lambda r: r[spec.log.item])
        | "Count items" >> beam.combiners.Count.PerElement()
    )
    if not spec.quantiles:
        return {"items": beam.pvalue.AsDict(items)}
    bins = (
        training
        | "Bins" >> beam.FlatMap(_bins, spec)
        | "Count bins" >> beam.combiners.Count.PerElement()
    )
    return {"items": beam.pvalue.AsDict(items), "bins": beam.pvalue.AsDict(bins)}


def _days(users: beam.PCollection, spec: Spec) -> dict:
    """A side input: the running sums of days by statistic and key."""
    if not spec.statistics:
        return {}
    days = (
        users
        | "Values of days" >> beam.ParDo(_ValuesOfDays(spec))
        | "Add up days" >> beam.CombinePerKey(_add_pairs)
        | "Key days" >> beam.Map(lambda kv: (kv[0][:2], (kv[0][2], *kv[1])))
        | "Days of keys" >> beam.GroupByKey()
        | "Run up days" >> beam.MapTuple(lambda key, days: (key, _run_up(days)))
    )
    return {"days": beam.pvalue.AsDict(days)}


def _read(
    pipeline: beam.Pipeline, name: str, pattern: str, declared: dict, logs_dir: str
) -> beam.PCollection:
    """The rows of a CSV source as dicts."""
    path = os.path.join(logs_dir, pattern)
    with open(sorted(glob.glob(path))[0], newline="") as file:
        header = next(csv.reader(file))
    return (
        pipeline
        | f"Read {name}" >> beam.io.ReadFromText(path, skip_header_lines=1)
        | f"Parse {name}" >> beam.ParDo(_ParseLine(header, declared))
    )


class _ParseLine(beam.DoFn):
    def __init__(self, header: list[str], declared: dict[str, str]):
        self._columns = [
            (column, header.index(column), _PYTHON_TYPES[kind.removesuffix("?")])
            for column, kind in declared.items()
        ]

    def process(self, line: str) -> Iterator[Row]:
        values = next(csv.reader([line]))
        try:
            yield {
                column: kind(values[place]) if values[place] else None
                for column, place, kind in self._columns
            }
        except (ValueError, IndexError):
            beam.metrics.Metrics.counter("rows", "bad").inc()


class _AddTimes(beam.DoFn):
    """Row -> (user, row with begin, end, day and local time)."""

    def __init__(self, spec: Spec, plan: SplitPlan):
        self._log, self._last_day = spec.log, plan.days.last
        self._known_days = bool(spec.statistics)

    def setup(self) -> None:
        self._zone = zoneinfo.ZoneInfo(self._log.timezone)

    def process(self, r: Row) -> Iterator[tuple[Any, Row]]:
        time = self._log.time
        begin = int(r[time.column] // _PER_MS[time.unit])
        r["_begin"] = begin
        watched = r[time.watched_ms] or 0 if time.watched_ms else 0
        r["_watched"] = min(max(0, watched), time.longest_ms)
        r["_end"] = begin + r["_watched"]
        r["_known"] = max(r["_end"], begin + 1)
        r["event_time"] = self._local(begin)
        r["_day"] = r["event_time"].date()
        if self._known_days:
            r["_known_day"] = self._local(r["_known"]).date()
        if r["_day"] <= self._last_day:
            yield r[self._log.user], r

    def _local(self, time_ms: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(time_ms / 1000, self._zone)


class _SortUser(beam.DoFn):
    """(user, rows) -> his impressions in order, each once.

    The copies of simulated logs are equal, so that there is nothing to combine.
    """

    def __init__(self, spec: Spec):
        log = spec.log
        self._item = log.item
        self._others = sorted(set(log.columns) - {log.user, log.item, log.time.column})

    def process(self, element: tuple[Any, Iterable[Row]]) -> Iterator[list[Row]]:
        best: dict[tuple, Row] = {}
        for r in element[1]:
            key = (r["_begin"], r[self._item])
            if key not in best or self._rank(r) < self._rank(best[key]):
                best[key] = r
        yield [best[key] for key in sorted(best)]

    def _rank(self, r: Row) -> list[tuple]:
        values = (r[column] for column in self._others)
        return [(0, 0) if value is None else (1, value) for value in values]


def _training_rows(rows: list[Row], plan: SplitPlan) -> Iterator[Row]:
    return (r for r in rows if r["_day"] < plan.first_evaluation_day)


def _bins(r: Row, spec: Spec) -> Iterator[tuple[str, int, int]]:
    for quantile in spec.quantiles:
        place = _place(quantile, r)
        if place:
            yield (quantile.name, *place)


def _place(quantile: Any, r: Row) -> tuple[int, int] | None:
    """(group, bin) of a row."""
    value = function_of(quantile.value)(r)
    by = function_of(quantile.by)(r) if quantile.by else 0
    if value is None or by is None:
        return None
    clipped = min(max(value, 0), quantile.max)
    group = bisect.bisect_right(quantile.boundaries, by)
    return group, math.floor(clipped / quantile.step)


class _ValuesOfDays(beam.DoFn):
    """A user's rows -> ((statistic, key, day), (millionths, 1))."""

    def __init__(self, spec: Spec):
        self._statistics = spec.statistics

    def setup(self) -> None:
        self._values = [function_of(s.value) for s in self._statistics]

    def process(self, rows: list[Row]) -> Iterator[tuple[tuple, tuple[int, int]]]:
        for statistic, function in zip(self._statistics, self._values, strict=True):
            for r in rows:
                key, value = r[statistic.by], function(r)
                if key is not None and value is not None:
                    pair = (round(value * _MILLIONTHS), 1)
                    yield (statistic.name, key, r["_known_day"].toordinal()), pair


def _add_pairs(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    total = count = 0
    for value, rows in pairs:
        total += value
        count += rows
    return total, count


def _run_up(days: Iterable[tuple[int, int, int]]) -> tuple[list, list, list]:
    """(days, sums before each and after the last, counts likewise)."""
    ordered = sorted(days)
    sums = [0, *itertools.accumulate(total for _, total, _ in ordered)]
    counts = [0, *itertools.accumulate(count for _, _, count in ordered)]
    return [day for day, _, _ in ordered], sums, counts


class _MakeExamples(beam.DoFn):
    """A user's rows -> (split, serialized example)."""

    def __init__(self, spec: Spec, plan: SplitPlan):
        self._spec, self._plan = spec, plan

    def setup(self) -> None:
        spec = self._spec
        self._keep = [function_of(sql) for sql in spec.filters.keep.values()]
        self._derived = {n: function_of(sql) for n, sql in spec.derived.items()}
        self._features = [
            (f.name, f.dtype, f.is_sequence, function_of(f.expr)) for f in spec.features
        ]
        self._tasks = [
            (
                label_key(t.name),
                mask_key(t.name),
                function_of(t.label),
                function_of(t.sample_space),
            )
            for t in spec.tasks
        ]
        self._slices = [(slice_key(c), c) for c in spec.evaluation.slices]
        self._splits = {day: self._plan.split_of(day) for day in self._plan.days}
        self._groups: dict[tuple, tuple[list, list]] = {}

    def process(
        self,
        rows: list[Row],
        items: dict,
        bins: dict | None = None,
        days: dict | None = None,
        **sides: dict,
    ):
        spec, plan = self._spec, self._plan
        if bins and not self._groups:
            self._groups = _run_up_bins(bins)
        training = sum(r["_day"] < plan.first_evaluation_day for r in rows)
        for r in rows:
            for name, join in spec.log.joins.items():
                side = sides[name].get(r[join.key])
                for column in join.columns:
                    if column != join.key:
                        r[column] = side[column] if side else None
        _add_trails(rows, spec)
        past = _Past(spec)
        for r in rows:
            past.move_to(r)
            past.add_columns(r)
            past.begin(r)
            if not self._is_kept(r, training, items):
                continue
            self._add_shared(r, days or {})
            yield self._splits[r["_day"]], self._example(r).SerializeToString()

    def _is_kept(self, r: Row, training: int, items: dict) -> bool:
        filters = self._spec.filters
        if r["_day"] < self._plan.days.first or not all(k(r) for k in self._keep):
            return False
        if r["_day"] >= self._plan.first_evaluation_day:
            return True
        shown = items.get(r[self._spec.log.item], 0)
        return (
            shown >= filters.min_item_impressions
            and training >= filters.min_user_events
        )

    def _add_shared(self, r: Row, days: dict) -> None:
        """Columns that all users' rows give."""
        for statistic in self._spec.statistics:
            r[statistic.name] = _statistic(statistic, r, days)
        for quantile in self._spec.quantiles:
            r[quantile.name] = _rank(quantile, r, self._groups)
        for name, function in self._derived.items():
            r[name] = function(r)

    def _example(self, r: Row) -> tf.train.Example:
        spec, example = self._spec, tf.train.Example()
        # Filled in place: building the parts first takes twice as long.
        values = example.features.feature
        for name, dtype, is_sequence, function in self._features:
            found = function(r)
            if not is_sequence:
                found = [found]
            if found:
                missing = MISSING[dtype]
                _put(values[name], [missing if x is None else x for x in found], dtype)
        for label_name, mask_name, label_of, space_of in self._tasks:
            label = label_of(r)
            known = label is not None and math.isfinite(label)
            values[label_name].float_list.value.append(label if known else 0.0)
            values[mask_name].float_list.value.append(bool(known and space_of(r)))
        columns = {KEY_USER: spec.log.user, KEY_ITEM: spec.log.item, KEY_TIME: "_begin"}
        for name, column in (*columns.items(), *self._slices):
            dtype = spec.column_types.get(column, "int64")
            value = MISSING[dtype] if r[column] is None else r[column]
            _put(values[name], [value], dtype)
        return example


def _put(feature: tf.train.Feature, values: list, dtype: str) -> None:
    """Fills an empty feature."""
    if dtype == "float32":
        feature.float_list.value.extend(values)
    elif dtype == "int64":
        feature.int64_list.value.extend(map(int, values))
    else:
        feature.bytes_list.value.extend(text.encode() for text in values)


# --- columns of one user's rows -----------------------------------------------------


def _add_trails(rows: list[Row], spec: Spec) -> None:
    """Adds the trail's columns but for those that read outcomes."""
    if spec.trail is None:
        return
    gap_ms = spec.trail.gap_minutes * 60_000
    scope = spec.trail.scope[1:]
    trails: list[list[Row]] = []
    latest_end = -math.inf
    for r in rows:
        before = trails[-1][-1] if trails else None
        moved = before is None or any(r[c] != before[c] for c in scope)
        if moved or r["_begin"] - latest_end > gap_ms:
            trails.append([])
        trails[-1].append(r)
        latest_end = max(latest_end, r["_end"])
    for number, trail in enumerate(trails):
        for position, r in enumerate(trail, 1):
            r["_trail"] = number
            r["trail_position"] = position
            r["trail_seconds"] = (r["_begin"] - trail[0]["_begin"]) / 1000
            r["trail_length"] = len(trail)
            r["trail_relative"] = position / len(trail)


class _Past:
    """What is known of a user's rows so far, moved from one row to the next."""

    def __init__(self, spec: Spec):
        self._spec = spec
        self._running: list[tuple[int, int, Row]] = []  # heap by the time of knowing
        self._begun = 0
        history = spec.history
        self._positive = function_of(history.positive) if history else None
        kept = history.length if history else 0
        self._history: collections.deque[Row] = collections.deque(maxlen=kept)
        self._trails: dict[int, list] = {}  # trail -> [watched, length, last row]
        self._counters = [_RunningCounter(counter) for counter in spec.counters]

    def begin(self, r: Row) -> None:
        """Takes a row up, whose outcome is not known yet."""
        heapq.heappush(self._running, (r["_known"], self._begun, r))
        self._begun += 1

    def move_to(self, now: Row) -> None:
        """Counts all outcomes that are known when a row begins."""
        while self._running and self._running[0][0] <= now["_begin"]:
            _, _, r = heapq.heappop(self._running)
            if self._positive and self._positive(r):
                self._history.append(r)
            if self._spec.trail:
                self._add_to_trail(r)
            for counter in self._counters:
                counter.add(r)

    def _add_to_trail(self, r: Row) -> None:
        trail = self._trails.setdefault(r["_trail"], [0, 0, None])
        time = self._spec.log.time
        length = max(0, r[time.length_ms] or 0) if time.length_ms else 0
        trail[0] += min(r["_watched"], length)
        trail[1] += length
        trail[2] = r

    def add_columns(self, r: Row) -> None:
        """Adds history, counters and the trail's outcomes to a row."""
        spec = self._spec
        if spec.history:
            for column in spec.history.columns:
                r[f"history_{column}"] = [past[column] for past in self._history]
        if spec.trail:
            watched, length, last = self._trails.get(r["_trail"], (0, 0, None))
            r["trail_watched_share"] = watched / length if length else None
            for column in spec.trail.last:
                r[f"trail_last_{column}"] = last[column] if last else None
        for counter in self._counters:
            r[counter.name] = counter.value(r)


class _RunningCounter:
    """A counter of one user: totals by matched value."""

    def __init__(self, spec: Any):
        self.name, self._spec = spec.name, spec
        self._match = function_of(spec.match) if spec.match else lambda r: "all"
        self._where = function_of(spec.where)
        self._value = function_of(spec.value) if spec.value else lambda r: 0
        self._known: dict[Any, list] = {}  # value -> [count, sum, last known]

    def add(self, r: Row) -> None:
        if not self._where(r):
            return
        value = self._value(r)
        if value is None and self._spec.measure == "mean":
            return
        for key in self._keys(r):
            total = self._known.setdefault(key, [0, 0.0, 0])
            total[0] += 1
            total[1] += value or 0
            total[2] = r["_known"]

    def value(self, r: Row) -> Any:
        keys = self._keys(r)
        if not keys:
            return None
        found = [self._known[key] for key in keys if key in self._known]
        count = sum(total[0] for total in found)
        if self._spec.measure == "count":
            return count
        if self._spec.measure == "seconds_since":
            last = max((total[2] for total in found), default=None)
            return None if last is None else (r["_begin"] - last) / 1000
        return _smoothed(sum(total[1] for total in found), count, self._spec)

    def _keys(self, r: Row) -> set:
        match = self._match(r)
        values = match if isinstance(match, list) else [match]
        return {value for value in values if value is not None}


# --- columns of all users' rows -----------------------------------------------------


def _statistic(statistic: Any, r: Row, days: dict) -> Any:
    key = r[statistic.by]
    if key is None:
        return None
    total = count = 0
    if (statistic.name, key) in days:
        known, sums, counts = days[statistic.name, key]
        today = r["_day"].toordinal()
        start = bisect.bisect_left(known, today - statistic.days)
        start = start if statistic.days else 0
        stop = bisect.bisect_left(known, today)
        total, count = sums[stop] - sums[start], counts[stop] - counts[start]
    if statistic.measure == "count":
        return count
    value = total / _MILLIONTHS
    return value if statistic.measure == "sum" else _smoothed(value, count, statistic)


def _smoothed(total: float, count: int, spec: Any) -> float | None:
    weight = count + spec.strength
    return (total + spec.prior * spec.strength) / weight if weight else None


def _run_up_bins(bins: dict[tuple, int]) -> dict[tuple, tuple[list, list]]:
    """(quantile, group) -> (its bins, rows before each and after the last)."""
    groups = collections.defaultdict(list)
    for (name, group, place), count in sorted(bins.items()):
        groups[name, group].append((place, count))
    return {
        key: (
            [place for place, _ in places],
            [0, *itertools.accumulate(count for _, count in places)],
        )
        for key, places in groups.items()
    }


def _rank(quantile: Any, r: Row, groups: dict[tuple, tuple[list, list]]) -> Any:
    """The share of a row's group below it, equal ones by half."""
    place = _place(quantile, r)
    if place is None or (quantile.name, place[0]) not in groups:
        return None
    places, counts = groups[quantile.name, place[0]]
    below = counts[bisect.bisect_left(places, place[1])]
    up_to = counts[bisect.bisect_right(places, place[1])]
    return (below + up_to) / 2 / counts[-1]
