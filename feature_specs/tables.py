"""A spec as readable tables: the log, columns made of it, features, tables, tasks."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.table import Table

from feature_specs.past import (
    HISTORY,
    REQUEST_COLUMNS,
    TRAIL_COLUMNS,
    TRAIL_LAST,
    CounterSpec,
    StatisticSpec,
    history_column,
)
from feature_specs.seen import Seen
from feature_specs.sides import whose
from feature_specs.spec import CENTURY_MS, LogSpec, Spec

_Row = tuple[str, str, str, str]  # name, kind, from what, window


def spec_tables(spec: Spec, seen: Seen | None = None) -> list[Table]:
    """The tables that `trailrank spec show` prints.

    Args:
        spec: What they show.
        seen: What a sample of logs showed of it: further columns of features and tasks.
    """
    made = _made_columns(spec)
    others = [_features(spec, seen), _embedding_tables(spec), _tasks(spec, seen)]
    others += [_facets(spec)] if spec.facets else []
    return [_log(spec), *([made] if made.rows else []), *others]


def _table(spec: Spec, what: str) -> Table:
    return Table(title=f"{spec.name}: {what}", title_justify="left", box=SIMPLE)


# --- the log --------------------------------------------------------------------------


def _log(spec: Spec) -> Table:
    table = _table(spec, "log")
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for head, text in _log_lines(spec):
        table.add_row(head, text)
    return table


def _log_lines(spec: Spec) -> Iterator[tuple[str, str]]:
    log, time = spec.log, spec.log.time
    yield "files", f"{log.files} ({log.format}), {len(log.columns)} columns"
    for name, join in log.joins.items():
        files = f"{join.files} ({join.format or log.format})"
        yield f"join {name}", f"{files} on {join.key}, {len(join.columns)} columns"
    for name, history in spec.histories.items():
        files = f"{history.files} ({history.format or log.format})"
        told = history.time.column or history.time.expr
        yield f"history {name}", f"{files} of {history.user} at {told}"
    for name, entry in spec.events.items():
        files = f"{entry.files} ({entry.format or log.format})"
        told = f"{files} by {', '.join(entry.key)}, within {entry.window}"
        yield f"events {name}", told
    told = time.column or time.expr
    yield "time", f"{told} ({time.unit}), days of {log.timezone}"
    if time.zone_column:
        yield "clocks", f"of the zone in {time.zone_column}"
    elif time.timezone not in ("", log.timezone):
        yield "clocks", time.timezone
    if log.folder_timezone not in ("", log.timezone):
        yield "files' days", log.folder_timezone
    if time.watched:
        at_most = f", at most {time.longest_ms:,}"
        bounded = time.longest_ms < CENTURY_MS
        unit = "ms" if time.watched.unit_ms == 1 else "s"
        yield f"watched, {unit}", time.watched.column + at_most * bounded
    if time.length:
        unit = "ms" if time.length.unit_ms == 1 else "s"
        yield f"length, {unit}", time.length.column
    yield "outcomes", ", ".join(log.outcomes)
    if log.request:
        pause = f", pauses of at most {log.request.seconds:g} s"
        told = log.request.key + pause * bool(log.request.session)
        yield "requests", told + ", kept together" * log.request.together
    if log.random:
        yield "random rows", log.random
    for rule, condition in spec.filters.keep.items():
        yield f"keep {rule}", condition
    if spec.trail:
        silence = f"{spec.trail.gap_minutes:g} min of silence"
        yield "a trail ends by", f"{silence}, or a new {', '.join(spec.trail.scope)}"
    yield "a run fails if", _limits(log)


def _limits(log: LogSpec) -> str:
    limits = [f"over {100 * log.max_reject_share:.3g} % of its lines are unreadable"]
    if log.min_day_share and log.days_per_split == 1:
        share = f"{100 * log.min_day_share:.3g} % of the median of the days before"
        limits.append(f"a day has fewer rows than {share}")
    return ", or ".join(limits)


# --- columns made of the log ----------------------------------------------------------


def _made_columns(spec: Spec) -> Table:
    """Every column that is not in the files, and what may read it."""
    table = _table(spec, "columns made of the log")
    for head in ("column", "kind"):
        table.add_column(head, no_wrap=True)
    table.add_column("from", overflow="fold", min_width=16)
    for head in ("window", "read by"):
        table.add_column(head, overflow="fold")
    rows = [*_events(spec), *_trail(spec), *_history(spec), *_histories(spec)]
    rows += [*_requests(spec), *_counters(spec), *_statistics(spec)]
    rows += [*_quantiles(spec), *_derived(spec)]
    for name, kind, source, window in rows:
        table.add_row(name, kind, source, window, _readers(spec, name))
    return table


def _readers(spec: Spec, column: str) -> str:
    """What may read a column; see `Spec.outcomes`, `Spec.future` and `sides`."""
    if column in spec.outcomes:
        return "labels"
    if column in spec.future:
        return "trail, labels"
    video = "video" in whose(spec).of(column)
    return "candidate, trail" if video else "all"


def _events(spec: Spec) -> Iterator[_Row]:
    for name, entry in spec.events.items():
        for column, text in entry.columns.items():
            yield column, "events", f"{name}: {text}", f"{entry.window} from its begin"


def _trail(spec: Spec) -> Iterator[_Row]:
    if spec.trail is None:
        return
    for name, trail_column in TRAIL_COLUMNS.items():
        if name in spec.column_types:
            yield name, "trail", trail_column.says, "its trail"
    for column in spec.trail.last:
        yield f"{TRAIL_LAST}{column}", "trail", f"last {column}", "its trail"


def _history(spec: Spec) -> Iterator[_Row]:
    if spec.history is None:
        return
    where, window = _where(spec.history.positive), f"last {spec.history.length}"
    for column in spec.history.columns:
        yield f"{HISTORY}{column}", "history", f"{column}{where}", window


def _histories(spec: Spec) -> Iterator[_Row]:
    for name, history in spec.histories.items():
        where, window = _where(history.where), f"last {history.length}"
        for column, text in history.columns.items():
            made = history_column(name, column)
            yield made, "history", f"{text} of {name}{where}", window


def _requests(spec: Spec) -> Iterator[_Row]:
    if spec.log.request:
        for name, says in REQUEST_COLUMNS.items():
            yield name, "request", says, "its request"


def _counters(spec: Spec) -> Iterator[_Row]:
    for counter in spec.counters:
        what = {
            "count": "count",
            "seconds_since": "seconds since the last",
            "mean": f"mean of {counter.value}",
        }[counter.measure]
        match = f", same {counter.match}" if counter.match else ""
        source = f"{what}{match}{_where(counter.where)}{_prior(counter)}"
        yield counter.name, "counter", source, "user's past"


def _statistics(spec: Spec) -> Iterator[_Row]:
    for statistic in spec.statistics:
        of = "" if statistic.value == "1" else f" of {statistic.value}"
        source = f"{statistic.measure}{of} by {statistic.by}{_prior(statistic)}"
        days = "all" if statistic.days == 0 else str(statistic.days)
        window = f"{days} {'day' if statistic.days == 1 else 'days'} before"
        yield statistic.name, "statistic", source, window


def _quantiles(spec: Spec) -> Iterator[_Row]:
    for quantile in spec.quantiles:
        bins = f"0 to {quantile.max:g} by {quantile.step:g}"
        source = f"rank of {quantile.value} ({bins})"
        if quantile.by:
            cuts = ", ".join(f"{cut:g}" for cut in quantile.boundaries)
            source += f" where {quantile.by} is alike, cut at {cuts}"
        yield quantile.name, "quantile", source, "training days"


def _derived(spec: Spec) -> Iterator[_Row]:
    for name, text in spec.derived.items():
        yield name, "derived", text, "its row"


def _where(condition: str) -> str:
    return "" if condition == "TRUE" else f" where {condition}"


def _prior(spec: CounterSpec | StatisticSpec) -> str:
    if not spec.strength:
        return ""
    return f"; prior {spec.prior:g}, weight {spec.strength:g}"


# --- features, embedding tables, tasks ------------------------------------------------


def _features(spec: Spec, seen: Seen | None) -> Table:
    table = _table(spec, "features")
    table.add_column("feature", no_wrap=True)
    for head in ("group", "kind", "type", "input of the model", "from"):
        table.add_column(head, overflow="fold")
    for head in ("missing", "values") if seen else ():
        table.add_column(head, justify="right", no_wrap=True)
    for feature in spec.features:
        found = (seen.lacks(feature.name), seen.count(feature.name)) if seen else ()
        table.add_row(
            feature.name,
            feature.group + (", paired" if feature.paired else ""),
            feature.kind,
            feature.dtype,
            feature.of_kind.describe(feature, spec.tables),
            "" if feature.column == feature.name else feature.expr,
            *found,
        )
    return table


def _embedding_tables(spec: Spec) -> Table:
    table = _table(spec, "embedding tables")
    for head in ("table", "rows", "width", "parameters", "shared by"):
        table.add_column(
            head, justify="left" if head in ("table", "shared by") else "right"
        )
    for name, entry in spec.tables.items():
        users = [feature.name for feature in spec.features if feature.table == name]
        size = entry.buckets * entry.width
        table.add_row(
            name, f"{entry.buckets:,}", str(entry.width), f"{size:,}", ", ".join(users)
        )
    return table


def _tasks(spec: Spec, seen: Seen | None) -> Table:
    table = _table(spec, "tasks")
    table.add_column("task", no_wrap=True)
    for head in (
        "kind",
        "label",
        "sample space",
        "loss weight",
        "fusion weight",
        "factor",
    ):
        table.add_column(head, overflow="fold")
    if seen:
        table.add_column("mean", justify="right", no_wrap=True)
    for task in spec.tasks:
        fusion = spec.fusion.weights.get(task.name, 0.0)
        table.add_row(
            task.name,
            task.kind + (" (sparse)" if task.sparse else ""),
            task.label,
            task.sample_space or "all",
            f"{task.loss_weight:g}",
            f"{fusion:g}",
            spec.fusion.transform_of(task).factor("y"),
            *([seen.mean(task.name)] if seen else []),
        )
    return table


def _facets(spec: Spec) -> Table:
    table = _table(spec, "facets")
    for head in ("facet", "feature", "partition"):
        table.add_column(head, no_wrap=True)
    for head in ("holds", "trained by"):
        table.add_column(head, overflow="fold")
    for name, facet in spec.facets.items():
        for partition, values in facet.partitions.items():
            holds = ", ".join(map(str, values))
            if partition == facet.default:
                holds = f"{holds}, all others".removeprefix(", ")
            trained = ", ".join(facet.trained_by(partition))
            table.add_row(name, facet.feature, partition, holds, trained)
    return table
